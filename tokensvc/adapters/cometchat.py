"""CometChat's REST API (v3), as far as issuing tokens needs it.

The vendor publishes no HTTP status for most of its errors, and some that are
widely assumed are wrong (a taken uid is a 400, not a 409): what happened is read
from `error.code`, and the status counts only where an answer has no such code.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from tokensvc.adapters.http_client import HTTPAnswer
from tokensvc.adapters.request_budget import Share
from tokensvc.adapters.rest_keys import RESTKeys
from tokensvc.adapters.upstream import Request, Upstream
from tokensvc.domain.errors import (
    DirectoryAnswerError,
    DirectoryMisconfiguredError,
    DirectoryUnavailableError,
    ProfileRefusedError,
    TokenServiceError,
    UserExistsError,
    UserNotFoundError,
    UserQuotaReachedError,
)
from tokensvc.domain.model import AuthToken, ChatUser, Uid
from tokensvc.domain.strict_json import JSONError, parse_json_object

T = TypeVar("T")

_AUTH_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,512}")
"""Opaque (its form is unverified), but for what can travel in a header and a JSON text."""
_FORCED: Final = b'{"force": true}'

ERRORS: Final[Mapping[str, type[TokenServiceError]]] = {
    "ERR_UID_NOT_FOUND": UserNotFoundError,
    "ERR_UID_ALREADY_EXISTS": UserExistsError,
    "ERR_PLAN_QUOTA_RESTRICTION": UserQuotaReachedError,
    "ERR_PLAN_RESTRICTION": DirectoryMisconfiguredError,
    "ERR_SUBSCRIPTION_EXPIRED": DirectoryMisconfiguredError,
    "ERR_ROLE_NOT_FOUND": DirectoryMisconfiguredError,
    "ERR_BAD_REQUEST": ProfileRefusedError,
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


KEY_REFUSALS: Final = frozenset(
    {
        *("AUTH_ERR_EMPTY_APIKEY", "AUTH_ERR_APIKEY_NOT_FOUND", "AUTH_ERR_NO_ACCESS"),
        *("answer_not_understood_401", "answer_not_understood_403"),
    }
)
"""The reasons that mean our key: unknown, or without the scope. Another key may have it."""


@dataclass(frozen=True, slots=True)
class CometChatClient:
    """`ChatDirectory` over the REST API, with one of *keys*."""

    upstream: Upstream
    keys: RESTKeys
    app_id: str
    share: Share = "login"
    """Whose part of the plan its calls are."""

    def create_auth_token(self, uid: Uid) -> AuthToken:
        # Not idempotent: after a lost answer the first token stays, and the record says so.
        # Without force the vendor may hand out an old token again (unverified).
        call = Request("create_auth_token", "POST", f"/users/{uid}/auth_tokens", _FORCED)
        call.subject = uid

        def read(answer: HTTPAnswer) -> AuthToken:
            token = _auth_token(data_of(answer, UserNotFoundError), uid)
            if token is None:
                raise DirectoryUnavailableError("answer_without_token")
            return token

        return self.ask(call, read)

    def create_user(self, user: ChatUser) -> AuthToken | None:
        call = request(
            "create_user", "POST", "/users", {**user_fields(user), "withAuthToken": True}
        )
        call.subject = user.uid
        try:
            return self.ask(
                call, lambda answer: _auth_token(data_of(answer, UserExistsError), user.uid)
            )
        except UserExistsError:
            if call.may_be_done:
                # The first answer was lost, not the user: it is the one we have just made.
                return None
            raise

    def reactivate_user(self, uid: Uid) -> None:
        call = request("reactivate_user", "PUT", "/users", {"uidsToActivate": [uid]})
        call.subject = uid
        self.ask(call, data_of)

    def ask(self, call: Request, read: Callable[[HTTPAnswer], T]) -> T:
        """Return what *read* makes of the answer, or raise what the answer means.

        Asks with the preferred key, and with the other one where that is refused.
        """
        call.share = self.share
        key, *others = self.keys.in_order()
        try:
            return self.upstream.call(call, self._headers(key), read)
        except DirectoryMisconfiguredError as error:
            if error.reason not in KEY_REFUSALS:
                raise
            if not others:
                self.keys.refused()
                raise
        return self._ask_with_other(others[0], call, read)

    def _ask_with_other(self, key: str, call: Request, read: Callable[[HTTPAnswer], T]) -> T:
        try:
            value = self.upstream.call(call, self._headers(key), read)
        except DirectoryMisconfiguredError as error:
            if error.reason in KEY_REFUSALS:
                self.keys.refused()
            raise
        except DirectoryAnswerError:
            self.keys.prefer(key)
            raise
        self.keys.prefer(key)
        return value

    def _headers(self, key: str) -> dict[str, str]:
        return {"apikey": key, "appId": self.app_id}


def request(operation: str, method: str, path: str, body: object = None) -> Request:
    """Return one call: what the log names it, and what is asked; None sends no body."""
    return Request(operation, method, path, b"" if body is None else json.dumps(body).encode())


def user_fields(user: ChatUser) -> dict[str, object]:
    """Return the body that creates *user*: absent, never null or empty (those are refused)."""
    profile = user.profile
    fields = {
        "uid": user.uid,
        "name": profile.name,
        "avatar": profile.avatar,
        "role": profile.role,
        "tags": list(profile.tags),
        "metadata": dict(profile.metadata),
    }
    return {name: value for name, value in fields.items() if value}


def data_of(
    answer: HTTPAnswer, expected: type[DirectoryAnswerError] | None = None
) -> dict[str, object]:
    """Return the `data` of *answer*, or raise what the answer means.

    *expected* is the one word about the user that makes sense as an answer.
    """
    data = envelope_of(answer, expected).get("data")
    if answer.is_success and isinstance(data, dict):
        return data
    raise meaning_of(None, answer)


def envelope_of(
    answer: HTTPAnswer, expected: type[DirectoryAnswerError] | None = None
) -> dict[str, object]:
    """Return the members of *answer*, or raise what the error in it means."""
    envelope = members_of(answer)
    error = envelope.get("error")
    if not isinstance(error, dict):
        return envelope
    meaning = meaning_of(error.get("code"), answer)
    if isinstance(meaning, DirectoryAnswerError) and type(meaning) is not expected:
        raise DirectoryUnavailableError(f"unexpected_{meaning.reason}")
    raise meaning


def members_of(answer: HTTPAnswer) -> dict[str, object]:
    """Return the members of *answer*, whatever it says; none if it is no JSON object."""
    try:
        return parse_json_object(answer.body) if answer.is_json else {}
    except JSONError:
        return {}


def meaning_of(code: object, answer: HTTPAnswer) -> TokenServiceError:
    """Return the error that *code*, or else the status of *answer*, stands for."""
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
