"""The REST side's auth tokens: create, list, look up, change, delete, flush."""

from tokensvc.emulator import errors
from tokensvc.emulator.call import Answer, Call, Route, a_page
from tokensvc.emulator.validation import parse_flag
from tokensvc.emulator.world import Token

DEVICE_FIELDS = ("platform", "userAgent", "deviceId", "appInfo")


def create_token(call: Call) -> Answer:
    """`POST /users/{uid}/auth_tokens`, with or without a body."""
    forced = parse_flag(call.members, "force")
    user = call.app.live_user(call.path["uid"])
    live = call.app.tokens_of(user.uid)
    reuse = live and call.switches.reuse_token_without_force and not forced
    token = live[0] if reuse else call.world.mint_token(call.app, user.uid)
    return Answer({"uid": token.uid, "authToken": token.value, "createdAt": token.created_at})


def list_tokens(call: Call) -> Answer:
    """`GET /users/{uid}/auth_tokens`: newest first."""
    user = call.app.live_user(call.path["uid"])
    return a_page(call, [token.public() for token in call.app.tokens_of(user.uid)])


def get_token(call: Call) -> Answer:
    """`GET /users/{uid}/auth_tokens/{token}`."""
    return Answer(_token(call).public())


def update_token(call: Call) -> Answer:
    """`PUT /users/{uid}/auth_tokens/{token}`: which device it is for."""
    token = _token(call)
    token.device.update(
        {name: call.members[name] for name in DEVICE_FIELDS if name in call.members}
    )
    return Answer(token.public())


def delete_token(call: Call) -> Answer:
    """`DELETE /users/{uid}/auth_tokens/{token}` (its text is unverified)."""
    token = _token(call)
    call.app.end_token(token)
    message = f"Auth Token deleted successfully for uid {token.uid}."
    return Answer({"success": True, "message": message})


def flush_tokens(call: Call) -> Answer:
    """`DELETE /users/{uid}/auth_tokens`: all of them."""
    user = call.app.live_user(call.path["uid"])
    call.app.end_tokens(user.uid)
    message = f"Cleared Auth Tokens successfully for uid {user.uid}."
    return Answer({"success": True, "message": message})


def _token(call: Call) -> Token:
    user = call.app.live_user(call.path["uid"])
    token = call.app.tokens.get(call.path["token"])
    if token is None or token.uid != user.uid or token.archived:
        raise errors.token_unknown(call.path["token"])
    return token


MINTERS = frozenset({"fullAccess", "authOnly"})
TOKENS = "users/{uid}/auth_tokens"
ONE_TOKEN = f"{TOKENS}/{{token}}"
ROUTES = [
    Route("rest", "POST", TOKENS, create_token, rate_class="core", scopes=MINTERS),
    Route("rest", "GET", TOKENS, list_tokens),
    Route("rest", "DELETE", TOKENS, flush_tokens),
    Route("rest", "GET", ONE_TOKEN, get_token),
    Route("rest", "PUT", ONE_TOKEN, update_token),
    Route("rest", "DELETE", ONE_TOKEN, delete_token),
]
