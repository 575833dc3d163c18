"""The client side: what the vendor's SDKs call with a token, from any page."""

from typing import Any

import pytest

from tests.emulator.emulated import APP_ID, Caller, a_caller

ENDPOINTS = [
    ("PUT", "/me"),
    ("GET", "/me"),
    ("DELETE", "/me"),
    ("POST", "/me/jwt"),
    ("GET", "/settings"),
    ("POST", "/user_sessions"),
    ("POST", "/call_tokens"),
]
DEVICE = {"platform": "WEB", "deviceId": "d", "appInfo": {"version": "v4.2.0"}}


@pytest.fixture
def token(vendor: Caller, alice: str) -> str:
    """Have a token of alice's."""
    return vendor.token(alice)


@pytest.mark.parametrize("method", ["PUT", "GET"])
def test_me(vendor: Caller, token: str, method: str) -> None:
    """The answer is the token's user with all that the SDK reads."""
    data = vendor.client(method, "/me", token, json=DEVICE).json()["data"]

    assert (
        data.items()
        >= {
            "uid": "alice",
            "name": "Alice",
            "status": "offline",
            "role": "default",
            "authToken": token,
            "wsChannel": {"identity": f"[{APP_ID}]alice@{APP_ID}.websocket-us.cometchat.io"},
        }.items()
    )
    assert data["jwt"].count(".") == 2


@pytest.mark.parametrize("path", ["/me", "/settings"])
def test_settings(vendor: Caller, token: str, path: str) -> None:
    """The settings name real hosts and the version, on both ways to them."""
    data = vendor.client("GET", path, token).json()["data"]

    assert data.get("settings", data) == {
        "APP_VERSION": 4,
        "CHAT_API_VERSION": "v3.0",
        "CLIENT_API_HOST": f"{APP_ID}.apiclient-us.cometchat.io",
        "ADMIN_API_HOST": f"{APP_ID}.api-us.cometchat.io",
        "CHAT_HOST_APP_SPECIFIC": f"{APP_ID}.websocket-us.cometchat.io",
        "CHAT_WSS_PORT": "443",
        "ANALYTICS_PING_DISABLED": True,
    }


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
def test_unknown_token(vendor: Caller, method: str, path: str) -> None:
    """A token of nobody is 401 everywhere, in the recorded text."""
    answer = vendor.client(method, path, "alice_x", json={"sessionId": "s"})

    assert answer.status_code == 401
    assert answer.json()["error"] == {
        "code": "AUTH_ERR_AUTH_TOKEN_NOT_FOUND",
        "source": "chat-api",
        "message": (
            "The auth token alice_x does not exist. Please make sure you are logged in "
            "and have a valid auth token or try login again."
        ),
        "devMessage": (
            "The auth token alice_x does not exist. Please make sure you are logged in "
            "and have a valid auth token or try login again."
        ),
    }


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
def test_no_token(vendor: Caller, method: str, path: str) -> None:
    """No token is 401 with another code, and a key is no token."""
    answer = vendor.call(method, path)

    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "AUTH_ERR_EMPTY_AUTH_TOKEN"


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
def test_good_token(vendor: Caller, token: str, method: str, path: str) -> None:
    """A good token opens every endpoint."""
    assert vendor.client(method, path, token, json={"sessionId": "s"}).status_code == 200


def test_client_is_not_believed(vendor: Caller, token: str) -> None:
    """Who is logged in is the token's user, whatever the client says."""
    vendor.create("bob")

    data = vendor.client("PUT", "/me", token, json={"uid": "bob", "authToken": "x"}).json()["data"]

    assert (data["uid"], data["authToken"]) == ("alice", token)


def test_login_names_the_device(vendor: Caller, token: str) -> None:
    """What logged in is kept with the token, and nothing else that was sent."""
    vendor.client("PUT", "/me", token, json={**DEVICE, "uid": "bob"})

    assert vendor.kept_token(token).device == DEVICE


@pytest.mark.parametrize(("switch", "status"), [(True, 401), (False, 200)])
def test_logout(switch: bool, status: int) -> None:  # noqa: FBT001 (cases)
    """A logout ends its own token, if the switch says so, and no other."""
    with a_caller(logout_ends_token=switch) as vendor:
        vendor.create()
        token, other = vendor.token(), vendor.token()

        assert "data" in vendor.client("DELETE", "/me", token).json()
        assert vendor.client("GET", "/me", token).status_code == status
        assert vendor.client("GET", "/me", other).status_code == 200


@pytest.mark.parametrize(("body", "status"), [({"sessionId": "s"}, 200), ({"sessionId": 5}, 400)])
def test_call_token(vendor: Caller, token: str, body: Any, status: int) -> None:
    """A call token needs a session id, and comes in three parts."""
    answer = vendor.client("POST", "/call_tokens", token, json=body)

    assert answer.status_code == status
    assert answer.json().get("data", {"token": ".."})["token"].count(".") == 2


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
def test_preflight(vendor: Caller, method: str, path: str) -> None:
    """A page's preflight is let through for what it asks, without a token."""
    asked = {
        "Origin": "http://page.example.test",
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "appid,authtoken,content-type,resource,sdk,more",
    }

    headers = vendor.client("OPTIONS", path, headers=asked).headers

    assert headers["Access-Control-Allow-Origin"] == asked["Origin"]
    assert method in headers["Access-Control-Allow-Methods"].split(", ")
    assert headers["Access-Control-Allow-Headers"] == asked["Access-Control-Request-Headers"]


@pytest.mark.parametrize("origin", [None, "http://page.example.test"])
@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/me"), ("GET", "/nothing"), ("GET", "/users"), ("PATCH", "/me")]
)
def test_cors_on_refusals(vendor: Caller, method: str, path: str, origin: str | None) -> None:
    """A page can read refusals too, whoever it is."""
    headers = {"Origin": origin} if origin else {}

    answer = vendor.client(method, path, headers=headers)

    assert answer.status_code >= 400
    assert answer.headers["Access-Control-Allow-Origin"] == (origin or "*")


def test_preflight_is_no_call(vendor: Caller, token: str) -> None:
    """An OPTIONS does nothing but allow: the token of a `DELETE /me` outlives its preflight."""
    vendor.client("OPTIONS", "/me", token, headers={"Access-Control-Request-Method": "DELETE"})

    assert vendor.client("GET", "/me", token).status_code == 200
