"""ASVS V15.4: threads do not collide, and none is left waiting."""

import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.builders import (
    API_KEY,
    APP_ID,
    Service,
    a_service,
    a_service_with,
    a_token,
    bearer,
)
from tests.fakes import FakeDirectory
from tests.processes import serving
from tests.raw_server import Conversation, an_answer, raw_server
from tokensvc.domain.errors import UserNotFoundError
from tokensvc.domain.model import AuthToken, ChatUser, Uid
from tokensvc.emulator import EmulatorServer

ANSWER = an_answer(json.dumps({"data": {"uid": "alice", "authToken": "alice_1"}}).encode())


def in_threads(service: Service, count: int) -> list[Any]:
    """Log in *count* times at once: all threads begin together."""
    together = threading.Barrier(count)

    def login(_: int) -> Any:
        client = service.app.test_client()
        together.wait(20)
        return client.post("/v1/auth-tokens", headers=bearer(a_token()))

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(login, range(count)))


@pytest.fixture
def emulator() -> Iterator[EmulatorServer]:
    with EmulatorServer(app_id=APP_ID, api_key=API_KEY) as server:
        yield server


def test_v15_4_1_threads_count_exactly(emulator: EmulatorServer) -> None:
    """Of 32 logins at once exactly as many pass as the limit allows, and each has its log line."""
    service = a_service(
        {"cometchat": {"base_url": emulator.rest_url}, "limits": {"per_user": "10 per day"}}
    )

    statuses = [answer.status_code for answer in in_threads(service, 32)]

    assert (statuses.count(201), statuses.count(429)) == (10, 22)
    assert len(service.records()) == 32
    assert len({record["request_id"] for record in service.records()}) == 32


class Meeting(FakeDirectory):
    """A directory of which all callers learn that the user is missing before one can create it."""

    def __init__(self, callers: int) -> None:
        super().__init__()
        self._together = threading.Barrier(callers)
        self._lock = threading.Lock()
        self._told = 0

    def create_auth_token(self, uid: Uid) -> AuthToken:
        with self._lock:
            self._told += 1
            is_early = self._told <= self._together.parties
        if is_early:
            self._together.wait(20)
            raise UserNotFoundError("ERR_UID_NOT_FOUND")
        return super().create_auth_token(uid)

    def create_user(self, user: ChatUser) -> AuthToken | None:
        with self._lock:
            return super().create_user(user)


def test_v15_4_2_first_logins_at_once_make_one_user() -> None:
    """All see that the user is missing, one creates it, and the others lose nothing by it."""
    directory = Meeting(12)

    answers = [answer.get_json() for answer in in_threads(a_service_with(directory), 12)]

    assert [answer["uid"] for answer in answers] == ["alice"] * 12
    assert [answer["userCreated"] for answer in answers].count(True) == 1
    assert list(directory.users) == [Uid("alice")]


def test_v15_4_3_places_are_given_back() -> None:
    """After failures of all kinds the only place is free again: nothing is left locked."""
    failures = [
        an_answer(b"", status="500 Oops"),
        an_answer(b"<html>", "Content-Type: text/html"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{",
        an_answer(b'{"data": {"uid": "bob", "authToken": "bob_1"}}'),
    ]
    for failure in failures:
        with raw_server(_said_and_closed(failure)) as vendor:
            service = a_service({"cometchat": {"base_url": f"{vendor.url}/v3", "max_in_flight": 1}})
            for _ in range(3):
                assert service.login().status_code == 503
                assert service.records()[-1]["reason"] != "bulkhead_full"


def _said_and_closed(text: bytes) -> Conversation:
    def say_and_close(wire: socket.socket) -> None:
        wire.sendall(text)
        wire.shutdown(socket.SHUT_RDWR)

    return say_and_close


def test_v15_4_4_probes_find_a_thread(tmp_path: Path) -> None:
    """While CometChat hangs and every login waits for it, the health probes are answered."""
    asked, go_on = threading.Semaphore(0), threading.Event()

    def hang(wire: Any) -> None:
        asked.release()
        go_on.wait(30)
        wire.sendall(ANSWER)

    slow = {"READ_TIMEOUT_S": "20", "TOTAL_TIMEOUT_S": "30", "MAX_IN_FLIGHT": "4"}
    environ = {f"TOKENSVC_COMETCHAT__{name}": value for name, value in slow.items()}
    with (
        raw_server(hang) as vendor,
        serving(
            tmp_path, vendor_url=vendor.url, TOKENSVC_SERVER__THREADS="6", **environ
        ) as process,
        ThreadPoolExecutor(4) as pool,
    ):
        url = f"{process.url}/v1/auth-tokens"
        logins = [
            pool.submit(requests.post, url, headers=bearer(a_token()), timeout=60) for _ in range(4)
        ]
        for _ in logins:
            assert asked.acquire(timeout=15)
        probes = [requests.get(f"{process.url}/livez", timeout=5).status_code for _ in range(20)]
        go_on.set()
        statuses = [login.result(30).status_code for login in logins]

    assert (probes, statuses) == ([200] * 20, [201] * 4)
