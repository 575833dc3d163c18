"""The soak of the whole way: processes are killed, and CometChat fails, while deliveries go on.

`make soak` runs it with a thousand kills on each engine, and prints figures.
"""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

import requests

from tests.databases import PostgreSQL, a_sqlite_database
from tests.faults.nursery import Nursery
from tests.faults.soak import Fork, Soak, Verdict, judge
from tests.faults.soak_child import Ledger
from tests.faults.soak_inbox import nothing_waits
from tests.ports import a_free_port
from tests.sync.stories import (
    ANSWERED_WITHIN_S,
    Listener,
    Story,
    Teller,
    a_deployment,
    endings,
    overtaken,
)
from tokensvc.adapters.database import Database
from tokensvc.adapters.engines import Waits
from tokensvc.adapters.inbox import SQLInbox
from tokensvc.cli.serve import is_free

KILLS: Final = 1000
UIDS: Final = tuple(f"user-{number}" for number in range(32))
"""Many, as whoever is killed holds some of them until the lease is over."""
LOOK_EVERY_S: Final = 0.01
GONE_WITHIN_S: Final = 30.0
OUTAGE_S: Final = 0.7
"""How long CometChat is away: longer than an event is tried."""
BETWEEN_OUTAGES_S: Final = 4.0
"""So that most of the time there is work to be killed in."""


@dataclass
class Command(Fork):
    """A `tokensvc` command and all processes that it starts, killed together."""

    folder: Path = field(kw_only=True)
    ledger: Ledger = field(kw_only=True)
    port: int | None = field(kw_only=True, default=None)
    """Where it listens, if it does."""
    _killed: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        if self._stdout.exists():
            self._stdout.rename(self.folder / f"stdout-{self.pid}")
        super().start()
        self._killed = threading.Event()
        threading.Thread(target=self._announce, args=(self._killed,), daemon=True).start()

    def kill(self) -> None:
        self._killed.set()
        with suppress(ProcessLookupError):
            os.killpg(self.pid or 0, signal.SIGKILL)
        super().kill()
        deadline = time.monotonic() + GONE_WITHIN_S
        while self.port and not is_free("127.0.0.1", self.port):
            assert time.monotonic() < deadline, "it does not die"
            time.sleep(LOOK_EVERY_S)

    def logs(self) -> list[str]:
        """Return the log of each of its lives."""
        return [path.read_text() for path in self.folder.glob("stdout*")]

    def stderr(self) -> str:
        """Return what all its lives have printed beside their logs."""
        return (self.folder / "stderr").read_text()

    @property
    def _stdout(self) -> Path:
        return self.folder / "stdout"

    def _announce(self, killed: threading.Event) -> None:
        """Write down when it is at work, unless it is killed before."""
        while not killed.wait(LOOK_EVERY_S):
            if self._is_at_work():
                self.ledger.write("ready", self.name)
                return

    def _is_at_work(self) -> bool:
        """Return whether a web process answers, or a worker has said its first word."""
        try:
            if self.port:
                url = f"http://127.0.0.1:{self.port}/readyz"
                return requests.get(url, timeout=ANSWERED_WITHIN_S).ok
            return self._stdout.stat().st_size > 0
        except OSError:
            return False


@dataclass
class Tellers:
    """Those who deliver. They are part of the soak, never announce themselves, and so live on."""

    tellers: Sequence[Teller]
    name: str = "tellers"
    adds_work: bool = True
    _telling: Sequence[Future[None]] = ()

    def start(self) -> None:
        pool = ThreadPoolExecutor(len(self.tellers))
        self._telling = [pool.submit(teller.tell) for teller in self.tellers]
        pool.shutdown(wait=False)

    def kill(self) -> None:
        """Let each have its last delivery acknowledged."""
        for teller in self.tellers:
            teller.stopping.set()
        telling, self._telling = self._telling, ()
        for story in telling:
            story.result()


@dataclass
class Vendor:
    """CometChat, which is not killed but away for a while, and comes back by itself."""

    listener: Listener
    ledger: Ledger
    name: str = "cometchat"
    adds_work: bool = False

    def start(self) -> None:
        back = threading.Timer(BETWEEN_OUTAGES_S, self.ledger.write, ("ready", self.name))
        back.daemon = True
        back.start()

    def kill(self) -> None:
        self.listener.fail_for(OUTAGE_S)


@dataclass(frozen=True)
class ServiceVerdict:
    """What the ledger says, and where everything was in the end."""

    ledger: Verdict
    killed: Mapping[str, int]
    """How often each process was."""
    wrong_endings: Mapping[str, tuple[object, object]]
    buried: int
    outages: int
    """How often CometChat was away."""
    overtaken: int
    """Events in whose stead, as CometChat failed at one, a worker has told a newer one."""
    tracebacks: Sequence[str]
    """What a process that broke by itself has printed."""

    @property
    def is_good(self) -> bool:
        """Whether nothing was lost, nothing was reordered, and all is as it should be."""
        found = (self.ledger.lost, self.ledger.reordered, self.wrong_endings, self.tracebacks)
        return self.buried == 0 and not any(found)

    def __str__(self) -> str:
        killed = ", ".join(f"{name} {times}" for name, times in self.killed.items())
        wrong = len(self.wrong_endings)
        return (
            f"{self.ledger}, {self.overtaken} overtaken, {self.buried} buried,"
            f" {wrong} wrong in the end ({killed}, {self.outages} outages)"
        )


def commands(environ: Mapping[str, str], path: Path, nursery: Nursery) -> list[Command]:
    """Return two web processes and two workers that share one deployment, and a ledger at *path*.

    What they print is beside the ledger.
    """
    ledger = Ledger(path)

    def command(word: str, number: int) -> Command:
        name = f"{word}-{number}"
        own = path.with_name(f"{path.name}-{name}")
        own.mkdir()
        port = a_free_port() if word == "serve" else None
        variables = {**environ, **({"TOKENSVC_SERVER__PORT": str(port)} if port else {})}
        words = [str(own), json.dumps(variables), word]
        return Command(name, words, nursery, folder=own, ledger=ledger, port=port)

    return [command(word, number) for word in ("serve", "worker") for number in (1, 2)]


def soak_service(url: str, path: Path, kills: int) -> ServiceVerdict:
    """Soak the service on the database at *url*, and print the figures."""
    started = time.monotonic()
    ledger = Ledger(path)
    with (
        closing(Database(url, Waits(statement_timeout_s=30))) as database,
        Nursery("tests.faults.soak_service_child") as nursery,
        Listener(ledger) as listener,
    ):
        victims = commands(a_deployment(listener.url, url), path, nursery)
        doors = [f"http://127.0.0.1:{victim.port}" for victim in victims if victim.port]
        tellers = [Teller(Story(uid), doors, ledger, listener.newest_of) for uid in UIDS]
        vendor = Vendor(listener, ledger)
        soak = Soak(path, [Tellers(tellers), vendor, *victims], kills, seed=kills)
        soak.run(lambda: nothing_waits(SQLInbox(database)))
        passed_over = overtaken(tellers, chain.from_iterable(v.logs() for v in victims))
        verdict = ServiceVerdict(
            ledger=judge(soak, passed_over),
            killed={victim.name: soak.starts[victim.name] - 1 for victim in victims},
            outages=soak.starts[vendor.name] - 1,
            overtaken=len(passed_over),
            wrong_endings=endings(tellers, listener, database),
            buried=SQLInbox(database).status().buried,
            tracebacks=[text for victim in victims if "Traceback" in (text := victim.stderr())],
        )
    took_s = time.monotonic() - started
    sys.stdout.write(f"{path.name}: {kills} kills in {took_s:.0f} s: {verdict}\n")
    return verdict


def main() -> None:
    """Kill a thousand times on each engine, and print what came of it."""
    folder = Path(mkdtemp(prefix="tokensvc-soak-"))
    server = PostgreSQL(folder / "pg")
    urls = {"SQLite": a_sqlite_database(folder / "tokensvc.db"), "PostgreSQL": server.a_database()}
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else KILLS
    try:
        verdicts = [soak_service(url, folder / engine, kills) for engine, url in urls.items()]
    finally:
        server.remove()
    if not all(verdict.is_good for verdict in verdicts):
        sys.exit(1)


if __name__ == "__main__":
    main()
