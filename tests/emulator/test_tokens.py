"""Auth tokens: made, listed, looked up, changed, deleted, flushed, archived."""

import re
from typing import Any

import pytest

from tests.emulator.emulated import NOW, Caller, a_caller


@pytest.mark.parametrize(
    "body", [None, {}, {"force": True}, {"force": False}, {"platform": "WEB", "appInfo": {}}]
)
def test_create(vendor: Caller, alice: str, body: Any) -> None:
    """A token comes with or without a body: its uid, its value and its time."""
    data = vendor.data("POST", f"/users/{alice}/auth_tokens", json=body)

    assert data == {"uid": alice, "authToken": data["authToken"], "createdAt": NOW}


def test_format(vendor: Caller) -> None:
    """The lower-cased uid, '_', ten digits of time and 30 of lower-case hex."""
    vendor.create("A_b")

    assert re.fullmatch(r"a_b_1700000040[0-9a-f]{30}", vendor.token("A_B"))


@pytest.mark.parametrize("force", ["true", 1, [], {}])
def test_force_is_a_flag(vendor: Caller, alice: str, force: Any) -> None:
    """Anything but true and false is refused, and no token is made."""
    path = f"/users/{alice}/auth_tokens"

    assert list(vendor.details("POST", path, json={"force": force})) == ["force"]
    assert vendor.app.tokens == {}


@pytest.mark.parametrize(
    ("switch", "body", "is_new"),
    [
        (False, None, True),
        (False, {"force": False}, True),
        (True, None, False),
        (True, {"force": False}, False),
        (True, {"force": True}, True),
    ],
)
def test_force(switch: bool, body: Any, is_new: bool) -> None:  # noqa: FBT001 (cases)
    """Only with the switch, and without force, is the newest token given again."""
    with a_caller(reuse_token_without_force=switch) as vendor:
        vendor.create()
        vendor.token()
        newest = vendor.data("POST", "/users/alice/auth_tokens", json={"force": True})
        vendor.clock.now += 5

        data = vendor.data("POST", "/users/alice/auth_tokens", json=body)

        assert (data != newest) is is_new


def test_reuse_without_a_token() -> None:
    """Who has no token yet gets a first one, and another user's is never reused."""
    with a_caller(reuse_token_without_force=True) as vendor:
        vendor.create("alice")
        vendor.create("bob")
        vendor.token("bob")

        assert vendor.kept_token(vendor.token("alice")).uid == "alice"


def test_force_spares_the_old(vendor: Caller, alice: str) -> None:
    """A forced token does not end the older ones."""
    old = vendor.token()

    vendor.data("POST", f"/users/{alice}/auth_tokens", json={"force": True})

    assert vendor.client("GET", "/me", old).status_code == 200


def test_list(vendor: Caller, alice: str) -> None:
    """The user's own tokens, newest first, in pages."""
    vendor.create("bob")
    first, second, _ = vendor.token(), vendor.token(), vendor.token("bob")

    answer = vendor.call("GET", f"/users/{alice}/auth_tokens").json()

    assert [token["authToken"] for token in answer["data"]] == [second, first]
    assert answer["meta"]["pagination"]["total"] == 2


def test_look_up(vendor: Caller, alice: str) -> None:
    """One token is answered as it was when it was made."""
    data = vendor.data("POST", f"/users/{alice}/auth_tokens")

    assert vendor.data("GET", f"/users/{alice}/auth_tokens/{data['authToken']}") == data


def test_update(vendor: Caller, alice: str) -> None:
    """The device is kept with the token; what is no device field is not."""
    path = f"/users/{alice}/auth_tokens/{vendor.token()}"

    data = vendor.data("PUT", path, json={"platform": "ios", "appInfo": {"v": 1}, "uid": "bob"})

    assert (data["platform"], data["appInfo"], data["uid"]) == ("ios", {"v": 1}, alice)
    assert vendor.data("GET", path) == data


def test_delete(vendor: Caller, alice: str) -> None:
    """A deleted token is gone on both sides; the other one is not."""
    gone, kept = vendor.token(), vendor.token()

    data = vendor.data("DELETE", f"/users/{alice}/auth_tokens/{gone}")

    assert data["success"] is True
    assert [vendor.client("GET", "/me", token).status_code for token in (gone, kept)] == [401, 200]


def test_flush(vendor: Caller, alice: str) -> None:
    """All tokens of the user go, in the documented words, and nobody else's."""
    vendor.create("bob")
    vendor.token(), vendor.token()
    kept = vendor.token("bob")

    data = vendor.data("DELETE", f"/users/{alice}/auth_tokens")

    assert data == {
        "success": True,
        "message": "Cleared Auth Tokens successfully for uid alice.",
    }
    assert list(vendor.app.tokens) == [kept]


@pytest.mark.parametrize("ending", ["deleted", "flushed", "logged out", "archived", "user deleted"])
def test_ended_tokens_are_not_listed(ending: str) -> None:
    """However a token ended, no list shows it, and no request for one gets it again."""
    with a_caller(tokens_per_user=1, reuse_token_without_force=True) as vendor:
        vendor.create()
        token = vendor.token()
        _end(vendor, token, ending)
        listed = [entry["authToken"] for entry in vendor.data("GET", "/users/alice/auth_tokens")]

        assert token not in listed
        assert vendor.token() != token


def _end(vendor: Caller, token: str, ending: str) -> None:
    tokens = "/users/alice/auth_tokens"
    match ending:
        case "deleted":
            vendor.data("DELETE", f"{tokens}/{token}")
        case "flushed":
            vendor.data("DELETE", tokens)
        case "logged out":
            vendor.client("DELETE", "/me", token)
        case "archived":
            vendor.data("POST", tokens, json={"force": True})
        case "user deleted":
            vendor.data("DELETE", "/users/alice", json={"permanent": True})
            vendor.create()


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize("whose", ["unknown", "deleted", "somebody else's"])
def test_token_that_is_not_there(vendor: Caller, alice: str, method: str, whose: str) -> None:
    """Unknown, deleted or another user's: 404, in the REST side's code."""
    vendor.create("bob")
    value = {"unknown": "alice_1", "somebody else's": vendor.token("bob")}.get(whose)
    if value is None:
        value = vendor.token()
        vendor.data("DELETE", f"/users/{alice}/auth_tokens/{value}")

    refusal = vendor.refusal(method, f"/users/{alice}/auth_tokens/{value}")

    assert refusal == (404, "ERR_AUTH_TOKEN_NOT_FOUND")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", ""),
        ("GET", ""),
        ("DELETE", ""),
        ("GET", "/x_1"),
        ("PUT", "/x_1"),
        ("DELETE", "/x_1"),
    ],
)
def test_tokens_of_nobody(vendor: Caller, method: str, path: str) -> None:
    """An unknown user comes before an unknown token."""
    refusal = vendor.refusal(method, f"/users/nobody/auth_tokens{path}")

    assert refusal == (404, "ERR_UID_NOT_FOUND")


def test_the_hundredth_token(vendor: Caller, alice: str) -> None:
    """A hundred tokens of one user are all valid."""
    first, *_ = [vendor.token() for _ in range(100)]

    assert vendor.client("GET", "/me", first).status_code == 200
    assert vendor.app.tokens_of(alice)[-1].value == first


def test_one_token_too_many(vendor: Caller, alice: str) -> None:
    """The 101st archives the oldest, on both sides, and no other."""
    first, second, *_ = [vendor.token() for _ in range(101)]

    rest = [
        vendor.call("GET", f"/users/{alice}/auth_tokens/{token}").status_code
        for token in (first, second)
    ]
    client = [vendor.client("GET", "/me", token).status_code for token in (first, second)]

    assert (rest, client) == ([404, 200], [401, 200])


def test_archive_is_per_user() -> None:
    """Another user's tokens do not count."""
    with a_caller(tokens_per_user=1) as vendor:
        for uid in ("alice", "bob"):
            vendor.create(uid)
        alices, _ = vendor.token("alice"), vendor.token("bob")

        assert vendor.client("GET", "/me", alices).status_code == 200


@pytest.mark.parametrize(("switch", "has_token"), [(True, True), (False, False)])
def test_token_with_new_user(switch: bool, has_token: bool) -> None:  # noqa: FBT001 (cases)
    """`withAuthToken` is honoured only with its switch."""
    with a_caller(token_with_new_user=switch) as vendor:
        assert ("authToken" in vendor.create(withAuthToken=True)) is has_token
