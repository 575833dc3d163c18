"""Faults of the process itself: killed, told to end, out of file descriptors."""

import json
import os
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pytest
import requests

from tests.builders import SECRET, a_service, a_sessions_table, a_token, bearer
from tests.exhaustion import no_threads
from tests.faults.rows import Row
from tests.processes import Process, serving
from tests.raw_server import Conversation, an_answer, raw_server
from tests.rotating import a_file
from tokensvc.cli.serve import is_free

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/task").is_dir(), reason="which processes are workers is read from /proc"
)
RECOVERY_S: Final = 10.0
"""Within this, a login is answered again after a fault has ended."""
TOKEN: Final = b'{"data": {"uid": "alice", "authToken": "alice_1"}}'
GENEROUS: Final = {"TOKENSVC_LIMITS__PER_USER": "100000 per minute"}

RESPAWNED = "“Unexpected exit from worker” on stderr"
KILLED = Row("process", "kill -9 of the only worker", 0, "ok", RESPAWNED)
KILLED_OF_TWO = Row("process", "kill -9 of one of two workers", 201, "ok", RESPAWNED)
KILLED_SERVER = Row(
    "process",
    "kill -9 of the server, and not of its workers",
    0,
    "ok",
    "the workers end too, so that whoever started the server can start it again",
)
TOLD_TO_END = Row("process", "SIGTERM while logins are in flight", 201, "ok", "")
NO_DESCRIPTORS = Row(
    "process", "file descriptors used up", 0, "ok", "connections that the load balancer waits for"
)
NO_THREADS = Row(
    "process",
    "threads used up, and no connection to CometChat open",
    503,
    "directory_unavailable",
    "connection_failed",
)
BAD_SETTINGS = Row(
    "process", "a worker is replaced while a settings file is bad", 201, "ok", "settings_refused"
)
ROWS: Final = (
    *(KILLED, KILLED_OF_TWO, KILLED_SERVER, BAD_SETTINGS),
    *(TOLD_TO_END, NO_DESCRIPTORS, NO_THREADS),
)


@contextmanager
def a_process(tmp_path: Path, *, workers: int, **environ: str) -> Iterator[Process]:
    chosen = {"TOKENSVC_SERVER__WORKERS": str(workers), **GENEROUS, **environ}
    with (
        raw_server(an_answer(TOKEN)) as vendor,
        serving(tmp_path, vendor_url=vendor.url, **chosen) as process,
    ):
        yield process


def login(process: Process, *, timeout_s: float = 10) -> int:
    """Return the status of a login, or 0 for none."""
    try:
        return requests.post(
            f"{process.url}/v1/auth-tokens", headers=bearer(a_token()), timeout=timeout_s
        ).status_code
    except requests.RequestException:
        return 0


def within_recovery(holds: Callable[[], bool]) -> bool:
    """Return whether *holds* becomes true in the time that recovery may take."""
    deadline = time.monotonic() + RECOVERY_S
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.05)
    return False


def workers_of(process: Process) -> list[int]:
    """Return the process ids of the server's workers."""
    tasks = Path(f"/proc/{process.popen.pid}/task")
    return [int(pid) for task in tasks.iterdir() for pid in (task / "children").read_text().split()]


def test_killed_worker_is_replaced(tmp_path: Path) -> None:
    """Logins work again soon after the only worker was killed, with no hand on it."""
    with a_process(tmp_path, workers=1) as process:
        (worker,) = workers_of(process)
        assert login(process) == 201

        os.kill(worker, signal.SIGKILL)

        assert within_recovery(lambda: login(process) == 201)
        assert worker not in workers_of(process)
        assert "Unexpected exit from worker" in process.stderr.read_text()


def test_other_worker_goes_on(tmp_path: Path) -> None:
    """With two workers the one that lives takes the new connections."""
    with a_process(tmp_path, workers=2) as process:
        assert within_recovery(lambda: len(workers_of(process)) == 2)
        killed = workers_of(process)[0]

        os.kill(killed, signal.SIGKILL)

        # A connection that the dead worker had accepted may be lost: the next one is not.
        assert within_recovery(
            lambda: [login(process) for _ in range(5)] == [KILLED_OF_TWO.status] * 5
        )
        assert within_recovery(lambda: len(set(workers_of(process)) - {killed}) == 2)


def test_workers_end_with_a_killed_server(tmp_path: Path) -> None:
    """Nobody goes on answering in its place, and the port is free for its successor."""
    with a_process(tmp_path, workers=2) as process:
        assert within_recovery(lambda: len(workers_of(process)) == 2)
        workers = workers_of(process)

        process.popen.kill()
        process.popen.wait(10)

        assert within_recovery(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
        assert login(process) == KILLED_SERVER.status
        assert is_free("127.0.0.1", int(process.url.rpartition(":")[2]))


def answering_after(event: threading.Event) -> Conversation:
    """Return a vendor that answers once *event* has happened."""

    def answer(connection: socket.socket) -> None:
        event.wait(RECOVERY_S)
        connection.sendall(an_answer(TOKEN))

    return answer


def test_orphaned_workers_finish_their_answers(tmp_path: Path) -> None:
    """A login that was let in before the server was killed is answered."""
    has_ended = threading.Event()

    with (
        raw_server(answering_after(has_ended)) as vendor,
        serving(tmp_path, vendor_url=vendor.url) as process,
        ThreadPoolExecutor(1) as pool,
    ):
        (worker,) = workers_of(process)
        in_flight = pool.submit(login, process)
        assert within_recovery(lambda: len(vendor.requests) == 1)
        process.popen.kill()
        process.popen.wait(10)
        assert within_recovery(lambda: "Stopping worker" in process.stderr.read_text())
        has_ended.set()

        assert in_flight.result() == 201
        assert within_recovery(lambda: not Path(f"/proc/{worker}").exists())


@pytest.mark.parametrize(
    "spoil", [lambda file: file.write_text(""), Path.unlink], ids=["empty", "missing"]
)
def test_worker_is_replaced_though_a_secret_is_bad(
    tmp_path: Path, spoil: Callable[[Path], Any]
) -> None:
    """The new worker has the secret that was good, and the other one does not end with it."""
    table = a_sessions_table(secret=None, secret_file=a_file(tmp_path, "secret", SECRET))
    with a_process(tmp_path, workers=2, TOKENSVC_SESSIONS=json.dumps([table])) as process:
        assert within_recovery(lambda: len(workers_of(process)) == 2)
        spoil(tmp_path / "secret")
        killed, kept = workers_of(process)

        os.kill(killed, signal.SIGKILL)

        assert within_recovery(
            lambda: len(workers_of(process)) == 2 and killed not in workers_of(process)
        )
        assert within_recovery(lambda: login(process) == BAD_SETTINGS.status)
        assert {login(process) for _ in range(20)} == {BAD_SETTINGS.status}
        assert kept in workers_of(process)
        assert catches(process, signal.SIGALRM)
        assert process.end() == 0
    refused = [line for line in process.records() if line["event"] == BAD_SETTINGS.operator]
    assert [(line["faults"], line["alarm"]) for line in refused] == [(2, True)]
    assert "sessions[0].secret_file (TOKENSVC_SESSIONS): " in process.stderr.read_text()


def catches(process: Process, number: int) -> bool:
    """Return whether *process* has a handler for this signal: the timer that it looks by."""
    lines = Path(f"/proc/{process.popen.pid}/status").read_text().splitlines()
    (mask,) = (int(line.split()[1], 16) for line in lines if line.startswith("SigCgt:"))
    return bool(mask >> (number - 1) & 1)


def test_sigterm_drains(tmp_path: Path) -> None:
    """Whoever was let in is answered; the process then ends with 0."""
    told_to_end = threading.Event()

    with (
        raw_server(answering_after(told_to_end)) as vendor,
        serving(tmp_path, vendor_url=vendor.url, **GENEROUS) as process,
        ThreadPoolExecutor(8) as pool,
    ):
        logins = [pool.submit(login, process) for _ in range(8)]
        assert within_recovery(lambda: len(vendor.requests) == 8)
        process.popen.send_signal(signal.SIGTERM)
        told_to_end.set()

        assert process.popen.wait(30) == 0
    assert [answer.result() for answer in logins] == [TOLD_TO_END.status] * 8
    assert len([line for line in process.records() if line["status"] == 201]) == 8


def test_threads_used_up() -> None:
    """Without a thread for the look-up a login is told to come back; with one it succeeds."""
    with raw_server(an_answer(TOKEN)) as vendor:
        service = a_service({"cometchat": {"base_url": f"{vendor.url}/v3"}})
        with no_threads():
            during = service.login()

        after = service.login()

    assert (during.status_code, during.get_json()["code"]) == (NO_THREADS.status, NO_THREADS.code)
    assert service.records()[0]["reason"] == NO_THREADS.operator
    assert after.status_code == 201


def test_descriptors_used_up(tmp_path: Path) -> None:
    """Connections beyond the limit wait outside; the process lives, and goes on when they leave."""
    with a_process(tmp_path, workers=1) as process:
        (worker,) = workers_of(process)
        in_use = len(list(Path(f"/proc/{worker}/fd").iterdir()))
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (in_use + 20, in_use + 20))
        host, port = process.url.removeprefix("http://").split(":")
        idle: list[socket.socket] = []
        with suppress(OSError):
            idle += [socket.create_connection((host, int(port)), timeout=2) for _ in range(60)]

        during = login(process, timeout_s=2)
        for connection in idle:
            connection.close()

        assert during in {0, 503}
        assert within_recovery(lambda: login(process) == 201)
        assert workers_of(process) == [worker]
        assert {line["status"] for line in process.records()} <= {200, 201, 503}
