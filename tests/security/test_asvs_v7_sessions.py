"""ASVS V7: a session is proven each time, and ends when it should."""

import json
from collections.abc import Iterator

import pytest
import requests

from tests.builders import (
    API_KEY,
    APP_ID,
    NOW,
    OTHER_SECRET,
    Service,
    a_service,
    a_service_with,
    a_sessions_table,
    a_token,
    a_user,
)
from tests.fakes import FakeDirectory
from tests.raw_server import an_answer, raw_server
from tokensvc.emulator import EmulatorServer

ANSWER = json.dumps({"data": {"uid": "alice", "authToken": "alice_1"}}).encode()


class Clock:
    """Time that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def test_v7_2_1_a_good_token_once_is_no_good_token_for_ever() -> None:
    """Nothing is remembered of a token that was proven: its twin with another signature fails."""
    service = a_service_with(FakeDirectory())
    good = a_token()

    statuses = [service.login(text).status_code for text in (good, good[:-4] + "AAAA", good)]

    assert statuses == [201, 401, 201]


def test_v7_4_1_expiry_ends_the_session() -> None:
    """The very token that opened the door a while ago is refused when its time is over."""
    clock = Clock()
    token = a_token(iat=NOW, exp=NOW + 600)
    with raw_server(an_answer(ANSWER)) as vendor:
        service = a_service({"cometchat": {"base_url": f"{vendor.url}/v3"}}, now=clock)
        before = service.login(token).status_code
        clock.now = NOW + 631
        after = service.login(token)

    assert (before, after.status_code) == (201, 401)
    assert after.get_json()["action"] == "reauthenticate"
    assert len(vendor.requests) == 1


@pytest.fixture
def emulator() -> Iterator[EmulatorServer]:
    with EmulatorServer(app_id=APP_ID, api_key=API_KEY) as server:
        yield server


def a_service_on(emulator: EmulatorServer) -> Service:
    return a_service({"cometchat": {"base_url": emulator.rest_url}})


def status_of_chat(emulator: EmulatorServer, auth_token: str) -> int:
    """Log in at CometChat, as the SDK does; return how that ended."""
    headers = {"authToken": auth_token, "appId": APP_ID}
    return requests.get(f"{emulator.url}/v3.0/me", headers=headers, timeout=10).status_code


def test_v7_4_2_deactivated_user_is_shut_out(emulator: EmulatorServer) -> None:
    """A user whom an operator deactivates gets no more tokens, and the one they have is dead."""
    service = a_service_on(emulator)
    held = service.login().get_json()["authToken"]
    before = status_of_chat(emulator, held)
    requests.delete(
        f"{emulator.rest_url}/users/alice", headers={"apikey": API_KEY}, timeout=10
    ).raise_for_status()

    assert (before, status_of_chat(emulator, held)) == (200, 401)
    assert service.login().get_json()["code"] == "user_deactivated"


def test_v7_4_5_one_user_is_ended_by_deactivation() -> None:
    """Deactivating one user at CometChat ends them alone, however good their session token is."""
    directory = FakeDirectory()
    service = a_service_with(directory)
    service.login(a_token(sub="bob"))
    directory.deactivate(a_user("alice"))

    statuses = [service.login(a_token(sub=sub)).status_code for sub in ("alice", "bob")]

    assert statuses == [403, 201]


def test_v7_4_5_all_users_are_ended_by_a_new_key() -> None:
    """After the issuer's key was replaced no older session token opens anything."""
    tokens = [a_token(sub=sub) for sub in ("alice", "bob")]
    before = a_service_with(FakeDirectory())
    after = a_service_with(FakeDirectory(), sessions=[a_sessions_table(secret=OTHER_SECRET)])

    assert [before.login(token).status_code for token in tokens] == [201, 201]
    assert [after.login(token).status_code for token in tokens] == [401, 401]
    assert after.login(a_token(key=OTHER_SECRET)).status_code == 201
