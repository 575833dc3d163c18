"""The login: a session token comes in, a CometChat auth token goes out."""

import json
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import wraps
from typing import Final
from wsgiref.types import StartResponse, WSGIEnvironment

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue
from flask_limiter import Limiter

from tokensvc.domain.audit import Fingerprinter
from tokensvc.domain.errors import (
    BodyTooLargeError,
    DirectoryMisconfiguredError,
    DirectoryUnavailableError,
    KeysUnavailableError,
    MediaTypeError,
    RateLimitedError,
    RequestError,
    SessionError,
    SessionExpiredError,
    StorageUnavailableError,
    UidNotAllowedError,
    UserDeactivatedError,
    UserDeletedError,
    UserQuotaReachedError,
    UserSuspendedError,
)
from tokensvc.domain.issuing import TokenIssuer
from tokensvc.domain.model import Session
from tokensvc.domain.ports import SessionVerifier
from tokensvc.domain.strict_json import JSONError, parse_json
from tokensvc.web.body_places import BodyPlaces, read_body
from tokensvc.web.failed_attempts import FailedAttempts
from tokensvc.web.guard import SessionView, caller, signed_in
from tokensvc.web.openapi import Operation, documented
from tokensvc.web.record import current_record

MAX_BODY_BYTES: Final = 1024
MAX_BODIES_AT_ONCE: Final = 8
"""Bodies that are waited for in a process; clients have no need to send one."""
MAX_BODIES_OF_ONE: Final = 1
"""Of these, one user's."""
TOKEN_ANSWER: Final = {
    "type": "object",
    "required": [
        *("uid", "authToken", "appId", "region"),
        *("issuedAt", "expiresAt", "refreshAfter", "userCreated"),
    ],
    "properties": {
        "uid": {"type": "string", "pattern": "^[a-z0-9_-]{1,100}$"},
        "authToken": {"type": "string", "description": "For CometChat.login(authToken)."},
        "appId": {"type": "string"},
        "region": {"type": "string"},
        "issuedAt": {"type": "integer", "description": "UNIX seconds."},
        "expiresAt": {"type": ["integer", "null"], "description": "UNIX seconds, if it ends."},
        "refreshAfter": {"type": ["integer", "null"], "description": "UNIX seconds, if it ends."},
        "userCreated": {"type": "boolean", "description": "Whether this was the first login."},
    },
    "additionalProperties": False,
}
CREATE_AUTH_TOKEN: Final = Operation(
    answer=TOKEN_ANSWER,
    status=201,
    errors=(
        SessionError,
        SessionExpiredError,
        UserDeactivatedError,
        UserDeletedError,
        UserSuspendedError,
        UidNotAllowedError,
        RateLimitedError,
        DirectoryMisconfiguredError,
        DirectoryUnavailableError,
        KeysUnavailableError,
        UserQuotaReachedError,
        StorageUnavailableError,
    ),
    needs_session=True,
    request_body={"type": "object", "properties": {}, "additionalProperties": False},
    headers={
        "RateLimit-Policy": "What is allowed, as in draft-ietf-httpapi-ratelimit-headers-10.",
        "RateLimit": "What is left of the tightest of it, and the seconds until it resets.",
    },
)
HEADERS: Final = [
    ("Content-Type", "application/json"),
    ("Cache-Control", "no-store"),
    ("Pragma", "no-cache"),
]
_NO_BODY: Final = (None, "", "0")
_AS_JSON: Final = json.JSONEncoder(separators=(",", ":")).encode
"""Made once: Flask, for an answer that is a dictionary, makes an encoder for each."""


class TokenAnswer(Response):
    """An answer that goes out as it is: whole, its length known, and nothing to close after it."""

    def __call__(self, _environ: WSGIEnvironment, begin: StartResponse) -> Iterable[bytes]:
        """Send it; werkzeug would copy the headers, to complete what is complete."""
        begin(self.status, self.headers.to_wsgi_list())
        return [self.get_data()]


@dataclass(frozen=True, slots=True)
class ChatApp:
    """Where a client logs in with its token: the app's id and its region."""

    app_id: str
    region: str


@dataclass(frozen=True, slots=True)
class TokenRoom:
    """What the login is made of."""

    verifier: SessionVerifier
    failed_attempts: FailedAttempts
    demand_chance: Callable[[], None]
    """Raises `DirectoryUnavailableError` while CometChat would not be asked at all."""
    issuer: TokenIssuer
    one_deadline: Callable[[], AbstractContextManager[object]]
    """Opens the time in which all calls of one login must be done."""
    fingerprinter: Fingerprinter
    chat_app: ChatApp
    now: Callable[[], float]


def tokens_blueprint(room: TokenRoom, limiter: Limiter, *, per_user: str) -> Blueprint:
    """Return the routes that issue tokens."""
    tokens = Blueprint("tokens", __name__, url_prefix="/v1")
    body_places = BodyPlaces(MAX_BODIES_AT_ONCE, of_one=MAX_BODIES_OF_ONE)

    @tokens.post("/auth-tokens")
    @documented(CREATE_AUTH_TOKEN)
    @signed_in(room.verifier, room.failed_attempts)
    @_uncounted(room.demand_chance)
    @limiter.limit(per_user, key_func=caller)
    def create_auth_token(session: Session) -> ResponseReturnValue:
        """Issue a fresh CometChat auth token to the signed-in user."""
        _demand_empty_body(body_places)
        with room.one_deadline():
            issued = room.issuer.issue(session)
        record = current_record()
        record.token_fingerprint = room.fingerprinter.of(issued.token)
        record.user_created = issued.user_created
        body = {
            "uid": issued.token.uid,
            "authToken": issued.token.value,
            "appId": room.chat_app.app_id,
            "region": room.chat_app.region,
            "issuedAt": int(room.now()),
            "expiresAt": None,
            "refreshAfter": None,
            "userCreated": issued.user_created,
        }
        return TokenAnswer(_AS_JSON(body) + "\n", 201, HEADERS)

    return tokens


def _uncounted(demand_chance: Callable[[], None]) -> Callable[[SessionView[[]]], SessionView[[]]]:
    """Let *demand_chance* refuse a login before it spends any of its user's allowance.

    While CometChat is down, no place is free for one more call, or the plan's minute is
    used up, whoever asks again when they are told to would find themselves over their
    limit afterwards.
    """

    def decorate(view: SessionView[[]]) -> SessionView[[]]:
        @wraps(view)
        def asked(session: Session) -> ResponseReturnValue:
            demand_chance()
            return view(session)

        return asked

    return decorate


def _demand_empty_body(places: BodyPlaces) -> None:
    """Refuse any wish in the body: who is logged in is for the session token alone to say.

    A body can be sent as slowly as its sender likes, and the server waits: no more
    threads than there are *places* do that at once. One that breaks off, or whose
    chunks make no sense, reaches us as an empty one; and so does what is left of a
    request with Content-Length and Transfer-Encoding, which two readers end at two
    places. None of them can be told from the others.
    """
    environ = request.environ
    if "HTTP_TRANSFER_ENCODING" not in environ and (
        # Nearly always the first; Flask would make an object of all headers for it.
        environ.get("CONTENT_LENGTH") in _NO_BODY or not request.content_length
    ):
        return
    with places.place_of(caller()):
        body = read_body()
    if not body or len(body) < (request.content_length or 0):
        raise RequestError("body_unreadable")
    if len(body) > MAX_BODY_BYTES:
        # A body of undeclared length is cut by the framework, not refused.
        raise BodyTooLargeError("body_too_large")
    if request.mimetype != "application/json":
        raise MediaTypeError("body_not_json")
    try:
        if parse_json(body) == {}:
            return
    except JSONError:
        raise RequestError("body_malformed") from None
    raise RequestError("body_not_empty")
