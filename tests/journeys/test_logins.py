"""Logins from door to emulator: what arrives at CometChat, counted there."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.builders import API_KEY, APP_ID, a_token, bearer
from tests.processes import Process
from tokensvc.emulator import EmulatorServer


def login(process: Process, **changes: str) -> requests.Response:
    """Log in as a client does."""
    return requests.post(
        f"{process.url}/v1/auth-tokens", headers=bearer(a_token(**changes)), timeout=30
    )


def calls_to(emulator: EmulatorServer) -> list[tuple[str, str, int]]:
    return [(entry.method, entry.path, entry.status) for entry in emulator.requests]


def test_first_login_is_two_calls(service: Process, emulator: EmulatorServer) -> None:
    """The user is missing, is created, and the token comes with the creation."""
    answer = login(service, name="Alice A.", picture="https://x.test/a.png")

    assert (answer.status_code, answer.json()["userCreated"]) == (201, True)
    assert calls_to(emulator) == [
        ("POST", "/v3/users/alice/auth_tokens", 404),
        ("POST", "/v3/users", 200),
    ]
    assert emulator.requests[1].body == {
        "uid": "alice",
        "name": "Alice A.",
        "avatar": "https://x.test/a.png",
        "withAuthToken": True,
    }


def test_returning_user_is_one_call(service: Process, emulator: EmulatorServer) -> None:
    """From the second login on CometChat is asked once."""
    first = login(service).json()
    emulator.requests.clear()

    second = login(service)

    assert (second.status_code, second.json()["userCreated"]) == (201, False)
    assert calls_to(emulator) == [("POST", "/v3/users/alice/auth_tokens", 200)]
    assert emulator.requests[0].body == {"force": True}
    assert second.json()["authToken"] != first["authToken"]


def test_token_is_the_users_own(service: Process, emulator: EmulatorServer) -> None:
    """The token that is handed out is one of this user's at CometChat."""
    token = login(service).json()["authToken"]

    assert emulator.world.apps[APP_ID].tokens[token].uid == "alice"


def test_fifty_first_logins_at_once(service: Process, emulator: EmulatorServer) -> None:
    """All of them get a token of their own, and one user exists afterwards."""
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: login(service), range(50)))

    assert Counter(answer.status_code for answer in answers) == {201: 50}
    assert len({answer.json()["authToken"] for answer in answers}) == 50
    assert sum(answer.json()["userCreated"] for answer in answers) == 1
    assert list(emulator.world.apps[APP_ID].users) == ["alice"]


def test_deactivated_user(service: Process, emulator: EmulatorServer) -> None:
    """A user deactivated at CometChat is refused, and stays deactivated."""
    login(service)
    requests.delete(
        f"{emulator.rest_url}/users/alice", headers={"apikey": API_KEY}, timeout=5
    ).raise_for_status()

    answer = login(service)

    assert (answer.status_code, answer.json()["code"]) == (403, "user_deactivated")
    assert emulator.world.apps[APP_ID].users["alice"].deactivated_at is not None


@pytest.mark.parametrize("subject", ["Alice", "alice/../bob", "../bob", "%62ob", "alice?x", "a b"])
def test_subject_that_is_no_uid_never_arrives(
    service: Process, emulator: EmulatorServer, subject: str
) -> None:
    """A subject that could mean somebody else reaches no URL."""
    answer = login(service, sub=subject)

    assert (answer.status_code, answer.json()["code"]) == (422, "uid_not_allowed")
    assert emulator.requests == []


def test_unknown_role(service: Process, emulator: EmulatorServer) -> None:
    """Only what is configured reaches CometChat: a role claim that no setting names does not."""
    answer = login(service, role="nobody")

    assert answer.status_code == 201
    assert "role" not in emulator.requests[1].body


def test_wrong_key(service: Process, emulator: EmulatorServer) -> None:
    """A key that CometChat refuses is the operator's fault to mend: 502, stop."""
    emulator.world.apps[APP_ID].keys.clear()

    answer = login(service)

    assert (answer.status_code, answer.json()["code"]) == (502, "directory_misconfigured")
    assert answer.json()["action"] == "stop"


def test_vendor_that_is_gone(service: Process, emulator: EmulatorServer) -> None:
    """Nobody answers at CometChat: 503, and when to come back."""
    emulator.stop()

    answer = login(service)

    assert (answer.status_code, answer.json()["code"]) == (503, "directory_unavailable")
    assert int(answer.headers["Retry-After"]) >= 1
