"""ASVS V16.5: an error gives nothing away, and opens no door."""

import io
import json
import threading
from dataclasses import replace
from typing import Any

import pytest

from tests.builders import (
    API_KEY,
    a_service,
    a_service_with,
    a_token,
    bearer,
    settings,
)
from tests.fakes import FakeDirectory
from tests.raw_server import an_answer, raw_server
from tokensvc.app import app_around
from tokensvc.domain.issuing import TokenIssuer
from tokensvc.domain.model import AuthToken, Session, Uid
from tokensvc.services import assemble

ANSWER = an_answer(json.dumps({"data": {"uid": "alice", "authToken": "alice_1"}}).encode())


class Crashing(FakeDirectory):
    """A directory with a defect, whose text holds a secret."""

    crashes: int = 1

    def create_auth_token(self, uid: Uid) -> AuthToken:
        if self.crashes:
            self.crashes -= 1
            raise ZeroDivisionError(f"secret of {uid} {API_KEY}")
        return super().create_auth_token(uid)


@pytest.mark.parametrize("body", [b"", b"<html>Traceback", b'{"error": {"message": "SELECT"}}'])
def test_v16_5_1_errors_tell_nothing(body: bytes) -> None:
    """Whatever CometChat says when it fails, the client reads our fixed words alone."""
    with raw_server(an_answer(body, status="500 Oops")) as vendor:
        answer = a_service({"cometchat": {"base_url": f"{vendor.url}/v3"}}).login()

    assert {**answer.get_json(), "requestId": "", "retryAfter": 0} == {
        "type": "urn:tokensvc:problem:directory_unavailable",
        "title": "CometChat cannot be reached at the moment",
        "status": 503,
        "code": "directory_unavailable",
        "action": "retry",
        "requestId": "",
        "retryAfter": 0,
    }


def test_v16_5_2_a_failing_neighbour_is_survived() -> None:
    """While CometChat fails logins get 503; when it is back they work, without a restart."""
    is_broken = threading.Event()

    def answer(wire: Any) -> None:
        wire.sendall(an_answer(b"", status="500 Oops") if is_broken.is_set() else ANSWER)

    with raw_server(answer) as vendor:
        service = a_service({"cometchat": {"base_url": f"{vendor.url}/v3"}})
        is_broken.set()
        during = [service.login().status_code for _ in range(3)]
        ready = service.client.get("/readyz").status_code
        is_broken.clear()
        after = service.login().status_code

    assert (during, ready, after) == ([503] * 3, 200, 201)


def test_v16_5_2_a_neighbour_that_stays_down_is_left_alone() -> None:
    """After enough failures CometChat is not asked for a while: the breaker answers."""
    with raw_server(an_answer(b"", status="500 Oops")) as vendor:
        service = a_service({"cometchat": {"base_url": f"{vendor.url}/v3"}})
        for number in range(25):
            service.login(a_token(sub=f"user-{number}"))
        asked = len(vendor.requests)
        answer = service.login()

    assert (answer.status_code, int(answer.headers["Retry-After"]) >= 1) == (503, True)
    assert len(vendor.requests) == asked


def test_v16_5_2_a_dead_redis_is_survived() -> None:
    """Without Redis logins go on, and limits hold in the process."""
    limits = {"per_user": "2 per day", "storage_url": "redis://127.0.0.1:9/0"}
    service = a_service_with(FakeDirectory(), limits=limits)

    assert [service.login().status_code for _ in range(3)] == [201, 201, 429]


class CrashingVerifier:
    """A verifier with a defect."""

    def verify(self, unverified_token: str) -> Session:
        raise KeyError(unverified_token)


def test_v16_5_3_a_defect_opens_no_door() -> None:
    """If the verification itself breaks, nobody gets a token, and CometChat is not asked."""
    directory = FakeDirectory()
    chosen = settings()
    services = assemble(chosen, log_stream=io.StringIO())
    room = replace(services.tokens, verifier=CrashingVerifier(), issuer=TokenIssuer(directory))
    app = app_around(replace(services, tokens=room), chosen)

    answer = app.test_client().post("/v1/auth-tokens", headers=bearer(a_token()))

    assert (answer.status_code, directory.calls) == (500, [])
    assert "authToken" not in answer.text


def test_v16_5_4_a_crash_is_caught_and_stops_nothing() -> None:
    """A defect answers one request with 500 and its record; the next is served as ever."""
    service = a_service_with(Crashing())

    first, second = service.login(), service.login()

    assert (first.status_code, first.get_json()["code"]) == (500, "internal_error")
    assert second.status_code == 201
    assert "secret of" not in first.text + service.log.getvalue()
    assert [line["status"] for line in service.records()] == [500, 201]
