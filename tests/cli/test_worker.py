"""The worker as an operator runs it: alone and beside the server, killed and told to end."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.builders import API_KEY, APP_ID, a_token, a_uid, an_environment, bearer
from tests.ports import a_free_port
from tests.processes import Process, a_storage_in, running
from tokensvc.adapters.accounts import SQLAccounts
from tokensvc.adapters.database import Database
from tokensvc.adapters.inbox import SQLInbox
from tokensvc.domain.accounts import AccountState, EventKind, UserEvent
from tokensvc.domain.model import Profile
from tokensvc.emulator import EmulatorServer

LEASE_S = "1"


def until(condition: Callable[[], Any], within_s: float = 60.0) -> Any:
    """Wait for other processes."""
    ends_at = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < ends_at
        threading.Event().wait(0.05)
    return found


class Place:
    """An emulator, a database, and what is in both."""

    def __init__(self, folder: Path, emulator: EmulatorServer) -> None:
        self.folder = folder
        self.emulator = emulator
        self.database = Database(a_storage_in(folder))
        self.inbox = SQLInbox(self.database)
        self.accounts = SQLAccounts(self.database)
        self.port = a_free_port()

    def environment(self, **changes: str) -> dict[str, str]:
        return an_environment(
            **{
                "TOKENSVC_COMETCHAT__BASE_URL": f"{self.emulator.url}/v3",
                "TOKENSVC_COMETCHAT__TOTAL_TIMEOUT_S": "0.1",
                "TOKENSVC_WORKER__LEASE_S": LEASE_S,
                "TOKENSVC_SERVER__WORKERS": "1",
                "TOKENSVC_SERVER__PORT": str(self.port),
                **changes,
            }
        )

    @contextmanager
    def worker(self) -> Iterator[Process]:
        """Run `tokensvc worker`, and wait for its first line."""
        with running(
            self.folder, "worker", url=self.emulator.url, environ=self.environment(), ready=None
        ) as process:
            until(process.records)
            yield process

    @contextmanager
    def server(self) -> Iterator[Process]:
        """Run `tokensvc serve --with-worker`, and wait for both."""
        url = f"http://127.0.0.1:{self.port}"
        environ = self.environment(TOKENSVC_COMETCHAT__TOTAL_TIMEOUT_S="2")
        with running(self.folder, "serve", "--with-worker", url=url, environ=environ) as process:
            until(process.records)
            yield process

    def put(self, kind: str, version: int, uid: str = "alice") -> None:
        profile = Profile(name=f"{uid} {version}") if kind in {"created", "updated"} else None
        event = UserEvent(EventKind(kind), a_uid(uid), version, "app", f"{uid}{version}", profile)
        self.inbox.put([event], body_hash=b"x")

    def has_done_more_than(self, count: int) -> bool:
        """Return whether more than *count* events are done by now."""
        return self.inbox.status().done > count

    def names(self) -> dict[str, str]:
        """Return the live users at CometChat."""
        users = self.emulator.world.apps[APP_ID].users.values()
        return {user.uid: user.fields["name"] for user in users if not user.deactivated_at}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with EmulatorServer(app_id=APP_ID, api_key=API_KEY) as emulator:
        yield Place(tmp_path, emulator)


def child_of(pid: int, *, but: int | None = None) -> int | None:
    """Return the worker that process *pid* has started; *but* is one that is still dying."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
            words = path.with_name("cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        child = int(path.parent.name)
        if parent == pid and b"worker" in words and child != but:
            return child
    return None


def test_the_inbox_is_worked_off(place: Place) -> None:
    """What waits in the database comes true at CometChat; SIGTERM ends the worker with 0."""
    place.put("created", 1)
    place.put("updated", 2)
    with place.worker() as process:
        place.put("created", 3, "bob")
        until(lambda: place.inbox.status().done == 3)
        assert process.end() == 0

    assert place.names() == {"alice": "alice 2", "bob": "bob 3"}
    names = [record["event"] for record in process.records()]
    assert names.count("sync_event_applied") == 3
    assert "sync_heartbeat" in names
    assert "Traceback" not in process.stderr.read_text()


def test_a_killed_worker_loses_nothing(place: Place) -> None:
    """Killed in the midst of many events, its successor does the rest, each user in order."""
    rounds = 3
    for begun in range(rounds):
        for version in range(20):
            for number in range(8):
                place.put("updated", 20 * begun + version, f"user-{number}")
        done = place.inbox.status().done
        with place.worker() as process:
            until(partial(place.has_done_more_than, done))
            process.popen.kill()
            process.popen.wait(10)
    with place.worker():
        until(lambda: place.inbox.status().done == rounds * 20 * 8)

    assert place.names() == {f"user-{number}": f"user-{number} 59" for number in range(8)}


def test_settings_that_are_wrong_end_it(place: Place) -> None:
    """Bad settings exit with 78 and are all named."""
    environ = place.environment(TOKENSVC_WORKER__THREADS="0")
    with (
        pytest.raises(AssertionError, match="TOKENSVC_WORKER__THREADS"),
        running(place.folder, "worker", url="http://127.0.0.1:9", environ=environ, ready=None),
    ):
        pass


def test_a_first_login_reaches_the_accounts(place: Place) -> None:
    """Beside the server: a user created by their login gets an account, and a deletion holds."""
    with place.server() as process:
        url = f"{process.url}/v1/auth-tokens"
        assert requests.post(url, headers=bearer(a_token(name="Al")), timeout=10).status_code == 201
        account = until(lambda: place.accounts.find(a_uid("alice")))
        place.put("deleted", int(time.time() * 1000) + 5000)
        until(lambda: place.names() == {})
        refused = requests.post(url, headers=bearer(a_token(name="Al")), timeout=10)
        assert process.end() == 0

    assert (account.state, account.profile.name) == (AccountState.ACTIVE, "Al")
    assert (refused.status_code, refused.json()["code"]) == (403, "user_deleted")


def test_a_worker_beside_the_server_is_started_again(place: Place) -> None:
    """Exactly one worker is there; killed, another takes its place, and it ends with its server."""
    with place.server() as process:
        first = until(lambda: child_of(process.popen.pid))
        os.kill(first, signal.SIGKILL)
        second = until(lambda: child_of(process.popen.pid, but=first))
        place.put("created", 1)
        until(lambda: place.inbox.status().done == 1)
        assert process.end() == 0

    assert not Path(f"/proc/{second}").exists()


def test_ctrl_c_ends_both(place: Place) -> None:
    """Ctrl-C in the server's terminal ends the worker too, and nobody starts another meanwhile."""
    with place.server() as process:
        pid = until(lambda: child_of(process.popen.pid))
        process.interrupt()

    assert not Path(f"/proc/{pid}").exists()
    assert "started again" not in process.stderr.read_text()


def test_a_worker_does_not_outlive_a_killed_server(place: Place) -> None:
    """Where the server is killed its worker notices, and ends by itself."""
    with place.server() as process:
        pid = until(lambda: child_of(process.popen.pid))
        process.popen.kill()
        process.popen.wait(10)

        until(lambda: not Path(f"/proc/{pid}").exists())
