"""Raw sockets: the server in use, asked in ways that no client library would ask."""

import resource
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
import requests

from tests.builders import API_KEY, APP_ID, a_token, bearer
from tests.processes import Process, serving
from tests.security.raw_client import Answer, connect, exchange
from tests.security.raw_requests import (
    ACCEPTED,
    BROKEN_OFF,
    CHUNKED,
    JSON,
    PAIRS,
    REFUSED,
    SMUGGLED,
    a_login,
    a_request,
)
from tokensvc.emulator import EmulatorServer

GENEROUS = {
    "TOKENSVC_LIMITS__PER_USER": "100000 per minute",
    "TOKENSVC_LIMITS__FAILED_PER_ADDRESS": "100000 per minute",
    "TOKENSVC_HTTP__TRUSTED_PROXIES": '["127.0.0.1/32"]',
}
HEADER_TIMEOUT_S = 10
IDLE = 5000


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """Return the service on its own server, as an operator runs it."""
    folder = tmp_path_factory.mktemp("service")
    with (
        many_open_files(),
        EmulatorServer(port=0, app_id=APP_ID, region="us", api_key=API_KEY) as emulator,
        serving(folder, vendor_url=emulator.rest_url.removesuffix("/v3"), **GENEROUS) as process,
    ):
        yield process
        assert process.stderr.read_text().count("Spawning worker") == 1
        assert "Traceback" not in process.stderr.read_text()
        assert max(record.get("status", 0) for record in process.records()) < 500


@contextmanager
def many_open_files() -> Iterator[None]:
    """Allow as many open files as the idle connections need; the service inherits it."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = 2 * IDLE if before[1] == resource.RLIM_INFINITY else min(2 * IDLE, before[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(enough, before[0]), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def lives(service: Process) -> bool:
    return requests.get(f"{service.url}/livez", timeout=5).status_code == 200


def uids(answers: list[Answer]) -> list[str]:
    """Return whose tokens were handed out."""
    return [answer.json()["uid"] for answer in answers if answer.status == 201]


@pytest.mark.parametrize("raw", REFUSED.values(), ids=REFUSED.keys())
def test_refused(service: Process, raw: bytes) -> None:
    """What is wrong or ambiguous gets a 4xx or no answer at all, and nobody's token."""
    answers = exchange(service.url, raw)

    assert all(400 <= answer.status < 500 for answer in answers)
    assert len(answers) <= 1
    assert {answer.media_type for answer in answers} <= {None, "application/problem+json"}
    assert lives(service)


@pytest.mark.parametrize("raw", BROKEN_OFF.values(), ids=BROKEN_OFF.keys())
def test_broken_off(service: Process, raw: bytes) -> None:
    """A request that never came whole is no login, even if what came would make one."""
    answers = exchange(service.url, raw, breaks_off=True)

    assert all(400 <= answer.status < 500 for answer in answers)
    assert lives(service)


@pytest.mark.parametrize("rest", ["", "\r\n", "\r\nzz\r\n\r\n"])
def test_chunks_that_break_off_behind_json(service: Process, rest: str) -> None:
    """Behind a first chunk that is `{}` the server does not tell us of the broken ones.

    It is a login of its own sender, whose headers came whole; and the last request
    on its connection.
    """
    raw = a_login(CHUNKED, JSON, body="2\r\n{}" + rest, ends=False)

    answers = exchange(service.url, raw + SMUGGLED.encode("latin-1") * bool(rest), breaks_off=True)

    assert set(uids(answers)) <= {"alice"}
    assert lives(service)


@pytest.mark.parametrize("raw", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_accepted(service: Process, raw: bytes) -> None:
    """What has one reading is read so: one answer, with the token of its sender."""
    assert uids(exchange(service.url, raw)) == ["alice"]


@pytest.mark.parametrize("raw", PAIRS.values(), ids=PAIRS.keys())
def test_smuggled(service: Process, raw: bytes) -> None:
    """A second request that hides in the first is never answered."""
    answers = exchange(
        service.url, raw + SMUGGLED.encode("latin-1") * (SMUGGLED.encode() not in raw)
    )

    assert "bob" not in uids(answers)
    assert all(answer.status < 500 for answer in answers)


def test_pipelined(service: Process) -> None:
    """Two honest requests in one go are two answers, in order, each for its own sender."""
    raw = a_login("Content-Length: 0", ends=False) + SMUGGLED.encode()

    assert uids(exchange(service.url, raw)) == ["alice", "bob"]


def test_pipelined_without_a_token(service: Process) -> None:
    """A request does not inherit the session of the one before it on its connection."""
    answers = exchange(service.url, a_login(ends=False) + a_request("Host: x"))

    assert [answer.status for answer in answers] == [201, 401]


@pytest.mark.parametrize("order", ["real-last", "twin-last", "twin-alone"])
def test_header_twins(service: Process, order: str) -> None:
    """A twin with underscores passes for the real X-Forwarded-For; the last one counts.

    The server hands both over under one name, so that nothing behind it can tell
    them apart: a proxy in front has to drop the twins.
    """
    real, twin = "X-Forwarded-For: 198.51.100.1", "X_Forwarded_For: 203.0.113.9"
    headers = {"real-last": [twin, real], "twin-last": [real, twin], "twin-alone": [twin]}[order]

    exchange(service.url, a_login(f"User-Agent: {order}", *headers))

    record = service.record_of(order)
    assert record["client_address"] == ("198.51.100.1" if order == "real-last" else "203.0.113.9")


def test_slow_headers(service: Process) -> None:
    """Headers that drip in are not waited for: the connection is closed, and nobody minds."""
    with ExitStack() as stack:
        slow = [stack.enter_context(connect(service.url)) for _ in range(50)]
        started = time.monotonic()
        for connection in slow:
            connection.sendall(a_login()[:-2])
            connection.settimeout(HEADER_TIMEOUT_S + 5)

        assert requests.post(
            f"{service.url}/v1/auth-tokens", headers=bearer(a_token()), timeout=5
        ).ok
        assert lives(service)
        for connection in slow:
            assert b"201" not in connection.recv(1000)
    assert HEADER_TIMEOUT_S - 1 < time.monotonic() - started < HEADER_TIMEOUT_S + 5


def test_idle_connections(service: Process) -> None:
    """Thousands of connections that say nothing cost no login and no probe."""
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 2 * IDLE:
        pytest.skip(f"needs {2 * IDLE} open files; the hard limit (ulimit -Hn) is lower")
    with ExitStack() as stack:
        for _ in range(IDLE):
            stack.enter_context(connect(service.url))

        statuses = [_status(service) for _ in range(20)]
        assert lives(service)
    assert statuses == [201] * 20


def _status(service: Process) -> int:
    started = time.monotonic()
    answer = requests.post(f"{service.url}/v1/auth-tokens", headers=bearer(a_token()), timeout=5)
    assert time.monotonic() - started < 2
    return answer.status_code
