"""CometChat's REST API (v3), as far as issuing tokens needs it.

The vendor publishes no HTTP status for most of its errors, and some that are
widely assumed are wrong (a taken uid is a 400, not a 409): what happened is read
from `error.code`, and the status counts only where an answer has no such code.
"""

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from tokensvc.adapters.http_client import HTTPAnswer, HTTPClient, HTTPFailureError
from tokensvc.adapters.upstream import Bulkhead
from tokensvc.domain.audit import VendorCall
from tokensvc.domain.errors import (
    DirectoryAnswerError,
    DirectoryMisconfiguredError,
    DirectoryUnavailableError,
    TokenServiceError,
    UserExistsError,
    UserNotFoundError,
    UserQuotaReachedError,
)
from tokensvc.domain.model import AuthToken, ChatUser, Uid
from tokensvc.domain.strict_json import JSONError, parse_json_object

_AUTH_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,512}")
"""Opaque (its form is unverified), but for what can travel in a header and a JSON text."""

ERRORS: Final[Mapping[str, type[TokenServiceError]]] = {
    "ERR_UID_NOT_FOUND": UserNotFoundError,
    "ERR_UID_ALREADY_EXISTS": UserExistsError,
    "ERR_PLAN_QUOTA_RESTRICTION": UserQuotaReachedError,
    "ERR_PLAN_RESTRICTION": DirectoryMisconfiguredError,
    "ERR_SUBSCRIPTION_EXPIRED": DirectoryMisconfiguredError,
    "ERR_ROLE_NOT_FOUND": DirectoryMisconfiguredError,
    "ERR_BAD_REQUEST": DirectoryMisconfiguredError,
    "ERR_INVALID_UID": DirectoryMisconfiguredError,
    "ERR_API_NOT_FOUND": DirectoryMisconfiguredError,
    "ERR_INVALID_API_VERSION": DirectoryMisconfiguredError,
    "AUTH_ERR_EMPTY_APPID": DirectoryMisconfiguredError,
    "AUTH_ERR_INVALID_APPID": DirectoryMisconfiguredError,
    "AUTH_ERR_EMPTY_APIKEY": DirectoryMisconfiguredError,
    "AUTH_ERR_APIKEY_NOT_FOUND": DirectoryMisconfiguredError,
    "AUTH_ERR_NO_ACCESS": DirectoryMisconfiguredError,
    "ERR_TOO_MANY_REQUESTS": DirectoryUnavailableError,
    "TOO_MANY_REQUEST": DirectoryUnavailableError,
    "ERR_OPERATION_FAILED": DirectoryUnavailableError,
    "ERR_EXCEPTION": DirectoryUnavailableError,
    "ERR_MISSION_FAILED": DirectoryUnavailableError,
    "ERR_BAD_ERROR_RESPONSE": DirectoryUnavailableError,
    "ERR_WS_USER_CREATION_FAILED": DirectoryUnavailableError,
}
"""What each code of the vendor means to us; a code that is not here is judged by its status.

The codes are documented; their HTTP statuses are mostly unverified, and unused.
"""

STATUSES: Final[Mapping[int, type[TokenServiceError]]] = {
    401: DirectoryMisconfiguredError,
    402: UserQuotaReachedError,
    403: DirectoryMisconfiguredError,
}
"""What a status means when the answer has no code that we know."""


@dataclass(frozen=True, slots=True)
class _Call:
    operation: str
    method: str
    path: str
    expects: type[DirectoryAnswerError] | None = None
    """The one word about the user that makes sense as an answer."""


@dataclass(frozen=True, slots=True)
class CometChatClient:
    """`ChatDirectory` over the REST API. *observe_call* is told of every call."""

    http: HTTPClient
    bulkhead: Bulkhead
    api_keys: Callable[[], Sequence[str]] = field(repr=False)
    """The REST API keys in force, the current one first."""
    app_id: str
    observe_call: Callable[[VendorCall], None]

    def create_auth_token(self, uid: Uid) -> AuthToken:
        # Without force the vendor may hand out an old token again (unverified).
        call = _Call("create_auth_token", "POST", f"/users/{uid}/auth_tokens", UserNotFoundError)
        token = _auth_token(self._data_of(call, {"force": True}), uid)
        if token is None:
            raise DirectoryUnavailableError("answer_without_token")
        return token

    def create_user(self, user: ChatUser) -> AuthToken | None:
        call = _Call("create_user", "POST", "/users", UserExistsError)
        return _auth_token(self._data_of(call, _user_fields(user)), user.uid)

    def reactivate_user(self, uid: Uid) -> None:
        self._data_of(_Call("reactivate_user", "PUT", "/users"), {"uidsToActivate": [uid]})

    def _data_of(self, call: _Call, body: object) -> dict[str, object]:
        """Return the `data` of the answer, or raise what the answer means."""
        started = time.perf_counter()
        outcome = "ok"
        try:
            with self.bulkhead.place():
                return _data(self._send(call, body))
        except TokenServiceError as error:
            outcome = error.reason
            if isinstance(error, DirectoryAnswerError) and type(error) is not call.expects:
                raise DirectoryUnavailableError(f"unexpected_{error.reason}") from None
            raise
        finally:
            duration_s = time.perf_counter() - started
            self.observe_call(VendorCall(call.operation, outcome, duration_s))

    def _send(self, call: _Call, body: object) -> HTTPAnswer:
        headers = {"apikey": self.api_keys()[0], "appId": self.app_id}
        try:
            return self.http.send(call.method, call.path, json.dumps(body).encode(), headers)
        except HTTPFailureError as failure:
            raise DirectoryUnavailableError(failure.reason) from None


def _user_fields(user: ChatUser) -> dict[str, object]:
    """Return the body that creates *user*: absent, never null or empty (those are refused)."""
    profile = user.profile
    fields = {
        "uid": user.uid,
        "name": profile.name,
        "avatar": profile.avatar,
        "role": profile.role,
        "tags": list(profile.tags),
        "metadata": dict(profile.metadata),
        "withAuthToken": True,
    }
    return {name: value for name, value in fields.items() if value}


def _data(answer: HTTPAnswer) -> dict[str, object]:
    try:
        envelope = parse_json_object(answer.body) if answer.is_json else {}
    except JSONError:
        envelope = {}
    error = envelope.get("error")
    if isinstance(error, dict):
        raise _meaning(error.get("code"), answer)
    data = envelope.get("data")
    if answer.is_success and isinstance(data, dict):
        return data
    raise _meaning(None, answer)


def _meaning(code: object, answer: HTTPAnswer) -> TokenServiceError:
    known = ERRORS.get(code) if isinstance(code, str) else None
    kind = known or STATUSES.get(answer.status, DirectoryUnavailableError)
    # Only codes from our own table are quoted: the rest is somebody else's text.
    reason = str(code) if known else f"answer_not_understood_{answer.status}"
    if kind is DirectoryUnavailableError:
        return DirectoryUnavailableError(reason, retry_after_s=answer.retry_after_s or 2.0)
    return kind(reason)


def _auth_token(data: Mapping[str, object], uid: Uid) -> AuthToken | None:
    """Return the token in *data*, if there is one and it belongs to *uid*."""
    if data.get("uid") != uid:
        raise DirectoryUnavailableError("answer_for_another_uid")
    value = data.get("authToken")
    if value is None:
        return None
    if not isinstance(value, str) or not _AUTH_TOKEN.fullmatch(value):
        raise DirectoryUnavailableError("token_malformed")
    return AuthToken(uid, value)
