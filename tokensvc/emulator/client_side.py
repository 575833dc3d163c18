"""The client side: what the vendor's SDKs call with an auth token.

The token decides who is logged in: it is looked up in the emulator's own store,
and what the client says about itself is not believed.
"""

import secrets
from typing import Any, Final

from tokensvc.emulator import errors
from tokensvc.emulator.call import Answer, Call, Route
from tokensvc.emulator.world import App, Token, User

API_VERSION: Final = "v3.0"
DEVICE_FIELDS: Final = ("platform", "deviceId", "appInfo")


def log_in(call: Call) -> Answer:
    """`PUT /me`: what `login(authToken)` sends."""
    token, user = _authenticated(call)
    token.device.update(
        {name: call.members[name] for name in DEVICE_FIELDS if name in call.members}
    )
    return Answer(_me(call, token, user))


def get_me(call: Call) -> Answer:
    """`GET /me`."""
    return Answer(_me(call, *_authenticated(call)))


def log_out(call: Call) -> Answer:
    """`DELETE /me`: what `logout()` sends (that it ends the token is unverified)."""
    token, _ = _authenticated(call)
    if call.switches.logout_ends_token:
        call.app.end_token(token)
    return Answer({"success": True, "message": "Logged out successfully."})


def make_jwt(call: Call) -> Answer:
    """`POST /me/jwt`: for the WebSocket, which is not emulated."""
    _authenticated(call)
    return Answer({"jwt": _random_jwt()})


def get_settings(call: Call) -> Answer:
    """`GET /settings`."""
    _authenticated(call)
    return Answer(_settings(call.app))


def open_session(call: Call) -> Answer:
    """`POST /user_sessions`: the SDK's own bookkeeping."""
    _authenticated(call)
    return Answer({"sessionId": secrets.token_hex(16)})


def make_call_token(call: Call) -> Answer:
    """`POST /call_tokens` of the calls side: `generateToken(sessionId, authToken)`."""
    _, user = _authenticated(call)
    session_id = call.members.get("sessionId")
    if not isinstance(session_id, str) or not session_id:
        raise errors.invalid({"sessionId": ["The sessionId field is required."]})
    return Answer({"token": _random_jwt(), "uid": user.uid})


def _authenticated(call: Call) -> tuple[Token, User]:
    value = call.headers.get("authtoken", "")
    if not value:
        raise errors.client_token_missing()
    token = call.app.tokens.get(value)
    user = call.app.users.get(token.uid) if token else None
    if token is None or user is None or token.archived or user.deactivated_at is not None:
        raise errors.client_token_unknown(value)
    return token, user


def _me(call: Call, token: Token, user: User) -> dict[str, Any]:
    host = f"{call.app.app_id}.websocket-{call.app.region}.cometchat.io"
    return {
        **user.public(),
        "authToken": token.value,
        "jwt": _random_jwt(),
        "wsChannel": {"identity": f"[{call.app.app_id}]{user.uid}@{host}"},
        "settings": _settings(call.app),
    }


def _settings(app: App) -> dict[str, Any]:
    def host(side: str) -> str:
        return f"{app.app_id}.{side}-{app.region}.cometchat.io"

    return {
        "APP_VERSION": 4,
        "CHAT_API_VERSION": API_VERSION,
        "CLIENT_API_HOST": host("apiclient"),
        "ADMIN_API_HOST": host("api"),
        "CHAT_HOST_APP_SPECIFIC": host("websocket"),
        "CHAT_WSS_PORT": "443",
        "ANALYTICS_PING_DISABLED": True,
    }


def _random_jwt() -> str:
    """Return an opaque text: nothing here reads it."""
    return ".".join(secrets.token_hex(8) for _ in range(3))


ROUTES = [
    Route("client", "PUT", "me", log_in, rate_class="core"),
    Route("client", "GET", "me", get_me),
    Route("client", "DELETE", "me", log_out),
    Route("client", "POST", "me/jwt", make_jwt),
    Route("client", "GET", "settings", get_settings),
    Route("client", "POST", "user_sessions", open_session),
    Route("calls", "POST", "call_tokens", make_call_token),
]
