"""The service as it is shipped: its own server, its own process."""

import json
import logging
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from tests.builders import a_token, an_environment, bearer
from tests.cli.test_commands import run
from tests.processes import Process, serving
from tests.raw_server import an_answer, raw_server
from tokensvc.cli.serve import NotHasty

TOKEN = json.dumps({"data": {"uid": "alice", "authToken": "alice_1"}}).encode()
GENEROUS = {"TOKENSVC_LIMITS__PER_USER": "100000 per minute"}


def login(process: Process, **changes: str) -> requests.Response:
    return requests.post(
        f"{process.url}/v1/auth-tokens", headers=bearer(a_token(**changes)), timeout=30
    )


def test_login_through_the_real_server(tmp_path: Path) -> None:
    """A login goes through, and leaves one JSON line on stdout."""
    with (
        raw_server(an_answer(TOKEN)) as vendor,
        serving(tmp_path, vendor_url=vendor.url) as process,
    ):
        answer = login(process)
        process.end()

    (line,) = [line for line in process.records() if line["route"] == "/v1/auth-tokens"]
    assert (answer.status_code, answer.json()["authToken"]) == (201, "alice_1")
    assert (line["uid"], line["vendor_calls"]) == ("alice", 1)


def test_stdout_is_for_audit_lines_alone(tmp_path: Path) -> None:
    """Whatever else the server has to say goes to stderr."""
    with (
        raw_server(an_answer(TOKEN)) as vendor,
        serving(tmp_path, vendor_url=vendor.url) as process,
    ):
        process.end()

    assert {line["event"] for line in process.records()} == {"request"}
    assert "granian" in process.stderr.read_text()
    assert "seems quite high" not in process.stderr.read_text()


@pytest.mark.parametrize(("workers", "lines"), [("2", 1), ("1", 0)])
def test_memory_limits_are_warned_of(tmp_path: Path, workers: str, lines: int) -> None:
    """Start-up says that each process counts for itself, where there are several."""
    with (
        raw_server(an_answer(TOKEN)) as vendor,
        serving(tmp_path, vendor_url=vendor.url, TOKENSVC_SERVER__WORKERS=workers) as process,
    ):
        process.end()

    assert process.stderr.read_text().count("each worker process counts by itself") == lines


def test_sigterm_finishes_what_is_being_answered(tmp_path: Path) -> None:
    """A login in flight is answered before the process ends, and the exit code is 0."""
    asked, go_on = threading.Event(), threading.Event()

    def wait_and_answer(connection: socket.socket) -> None:
        asked.set()
        go_on.wait(10)
        connection.sendall(an_answer(TOKEN))

    with (
        raw_server(wait_and_answer) as vendor,
        serving(tmp_path, vendor_url=vendor.url) as process,
        ThreadPoolExecutor() as pool,
    ):
        in_flight = pool.submit(login, process)
        asked.wait(10)
        process.popen.send_signal(signal.SIGTERM)
        go_on.set()

        assert in_flight.result().status_code == 201
        assert process.popen.wait(30) == 0


def test_ctrl_c_ends_all_processes(tmp_path: Path) -> None:
    """Ctrl-C, which reaches parent and workers at once, ends them soon and cleanly."""
    with (
        raw_server(an_answer(TOKEN)) as vendor,
        serving(tmp_path, vendor_url=vendor.url, TOKENSVC_SERVER__WORKERS="2") as process,
    ):
        assert process.interrupt() == 0
        assert "Traceback" not in process.stderr.read_text()


def test_probes_answer_while_cometchat_hangs(tmp_path: Path) -> None:
    """Every place for calls is taken; probes still find a thread, and logins are told at once."""
    release = threading.Event()

    def hang(connection: socket.socket) -> None:
        release.wait(20)
        connection.close()

    with (
        raw_server(hang) as vendor,
        serving(tmp_path, vendor_url=vendor.url, **SMALL, **GENEROUS) as process,
        ThreadPoolExecutor(16) as pool,
    ):
        logins = [pool.submit(login, process) for _ in range(12)]
        probes = [requests.get(f"{process.url}/livez", timeout=5).status_code for _ in range(20)]
        release.set()
        answers = [login.result() for login in logins]

    assert probes == [200] * 20
    assert {answer.json()["code"] for answer in answers} == {"directory_unavailable"}
    refused = [line for line in process.records() if line.get("reason") == "bulkhead_full"]
    assert len(refused) >= 6
    assert all(line["duration_s"] < 1 for line in refused)


SMALL = {
    "TOKENSVC_SERVER__THREADS": "10",
    "TOKENSVC_COMETCHAT__MAX_IN_FLIGHT": "4",
    "TOKENSVC_COMETCHAT__READ_TIMEOUT_S": "4",
}


def test_two_workers_share_the_port(tmp_path: Path) -> None:
    """Several processes answer on one port."""
    with (
        raw_server(an_answer(TOKEN)) as vendor,
        serving(
            tmp_path, vendor_url=vendor.url, TOKENSVC_SERVER__WORKERS="2", **GENEROUS
        ) as process,
    ):
        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda _: login(process).status_code, range(100)))
        process.end()

    assert answers == [201] * 100
    assert process.stderr.read_text().count("Spawning worker") == 2


def test_two_authorization_headers_are_refused(tmp_path: Path) -> None:
    """Over the real server two headers do not become one good one."""
    with (
        raw_server(an_answer(TOKEN)) as vendor,
        serving(tmp_path, vendor_url=vendor.url) as process,
    ):
        answers = [
            _raw(process, f"Authorization: Bearer {a_token()}", second)
            for second in (f"Authorization: Bearer {a_token(sub='bob')}", "Authorization: Bearer x")
        ]

    assert all(answer.startswith(b"HTTP/1.1 401") for answer in answers)
    assert vendor.requests == []


def _raw(process: Process, *headers: str) -> bytes:
    host, port = process.url.removeprefix("http://").split(":")
    lines = ["POST /v1/auth-tokens HTTP/1.1", "Host: x", "Content-Length: 0", *headers, "", ""]
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall("\r\n".join(lines).encode())
        return connection.recv(65536)


def test_large_bodies_are_refused(tmp_path: Path) -> None:
    """A body over the limit is 413, with and without a Content-Length."""
    with (
        raw_server(an_answer(TOKEN)) as vendor,
        serving(tmp_path, vendor_url=vendor.url) as process,
    ):
        url, headers = f"{process.url}/v1/auth-tokens", bearer(a_token())
        plain = requests.post(url, data=b"x" * 100_000, headers=headers, timeout=10)
        chunked = requests.post(url, data=iter([b"x" * 5000] * 20), headers=headers, timeout=10)

    assert (plain.status_code, chunked.status_code) == (413, 413)
    assert vendor.requests == []


def test_start_opens_no_connection(tmp_path: Path) -> None:
    """The service becomes ready without asking anybody: a vendor that is down delays no start."""
    with raw_server(an_answer(TOKEN)) as vendor, serving(tmp_path, vendor_url=vendor.url):
        assert vendor.connections == 0


def test_slow_bodies_do_not_take_the_threads(tmp_path: Path) -> None:
    """Clients that never finish their bodies leave threads to probes and to other logins."""
    with (
        raw_server(an_answer(TOKEN)) as vendor,
        serving(tmp_path, vendor_url=vendor.url, **TEN_THREADS, **GENEROUS) as process,
    ):
        unfinished = [_begin_body(process) for _ in range(30)]
        probes = [requests.get(f"{process.url}/livez", timeout=5).status_code for _ in range(10)]
        status = login(process).status_code
        for connection in unfinished:
            connection.close()

    assert (probes, status) == ([200] * 10, 201)


TEN_THREADS = {"TOKENSVC_SERVER__THREADS": "10", "TOKENSVC_COMETCHAT__MAX_IN_FLIGHT": "4"}


def _begin_body(process: Process) -> socket.socket:
    host, port = process.url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=5)
    connection.sendall(
        b"POST /v1/auth-tokens HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
        + f"Authorization: Bearer {a_token()}\r\n\r\n{{".encode()
    )
    return connection


def test_port_is_not_shared(tmp_path: Path) -> None:
    """A second server on a port ends with a sentence, and takes no request from the first."""
    with (
        raw_server(an_answer(TOKEN)) as vendor,
        serving(tmp_path, vendor_url=vendor.url) as process,
    ):
        port = process.url.rpartition(":")[2]
        done = run("serve", "--port", port, environ=an_environment())

    assert (done.returncode, done.stdout) == (1, "")
    assert f"Error: cannot listen on 127.0.0.1, port {port}" in done.stderr


def test_localhost_is_an_address(tmp_path: Path) -> None:
    """The name that everybody types works."""
    with (
        raw_server(an_answer(TOKEN)) as vendor,
        serving(tmp_path, vendor_url=vendor.url, TOKENSVC_SERVER__HOST="localhost") as process,
    ):
        assert login(process).status_code == 201


@pytest.mark.parametrize(("after_s", "is_told"), [(0.01, False), (60.0, True)])
@pytest.mark.parametrize("said", ["Shutting down granian", "Stopping old worker-1"])
def test_a_worker_that_has_just_ended_is_not_said_to_be_killed(
    said: str, after_s: float, *, is_told: bool
) -> None:
    """The server says so of half of those that end as they should; who does not, is told of."""
    told = NotHasty()

    def passes(message: str, at: float) -> bool:
        record = logging.makeLogRecord({"msg": message})
        record.created = at
        return bool(told.filter(record))

    assert passes(said, 100.0)
    refusing = "Killing worker-1 after it refused to gracefully stop"
    assert passes(refusing, 100.0 + after_s) == is_told
