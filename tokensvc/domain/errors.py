"""Everything that can go wrong, named for what the caller does next."""

import secrets
from enum import StrEnum
from typing import ClassVar, Final

from tokensvc.domain.model import TokenHeader


class Action(StrEnum):
    """What a client does about an error."""

    RETRY = "retry"
    """The same call may succeed later; wait `retryAfter` seconds where it is given."""
    REAUTHENTICATE = "reauthenticate"
    """Get a new session token from your own app, then call again."""
    STOP = "stop"
    """Calling again does not help; a person has to change something."""


class TokenServiceError(Exception):
    """The root: its *code* and *title* are the only texts a stranger sees.

    *reason* is for the audit record. It is a fixed word of ours or a code from
    the vendor's published list, never a text that somebody else wrote.
    """

    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "The service failed to answer"
    action: ClassVar[Action] = Action.RETRY

    def __init__(self, reason: str = "", *, retry_after_s: float | None = None) -> None:
        super().__init__(reason or self.code)
        self.reason = reason
        self.retry_after_s = retry_after_s


# The session token.


class CallerError(TokenServiceError):
    """The session token leaves open who is calling.

    `unverified_header` and `issuer` are for the audit record: how the token says
    it was signed, and the configured issuer that it claims to come from. Where no
    such issuer is configured, `unverified_issuer` is what the token claims. `subject` and
    `token_id` are what a token says that is proven, and refused for something else.
    """

    unverified_header: TokenHeader | None = None
    issuer: str | None = None
    unverified_issuer: str | None = None
    subject: str | None = None
    token_id: str | None = None


class SessionError(CallerError):
    """The session token is absent, malformed or refused."""

    code = "session_invalid"
    title = "The session token was refused"
    action = Action.REAUTHENTICATE


class SessionExpiredError(SessionError):
    """The session token has expired, and everything else about it is good."""

    code = "session_expired"
    title = "The session token has expired"


class KeysUnavailableError(CallerError):
    """The keys that could prove the session token are not at hand, and may be soon.

    No fault of the caller's: a refusal would make clients log their users out.
    """

    code = "keys_unavailable"
    title = "The session token cannot be verified at the moment"

    def __init__(self, reason: str, *, retry_after_s: float = 2.0) -> None:
        super().__init__(reason, retry_after_s=retry_after_s)


class UidNotAllowedError(CallerError):
    """The session's subject cannot be a CometChat uid."""

    code = "uid_not_allowed"
    title = "The user's id cannot be used at CometChat"
    action = Action.STOP


# The request.


class RequestError(TokenServiceError):
    """The request itself is wrong, whoever sent it."""

    code = "request_invalid"
    title = "The request was not understood"
    action = Action.STOP


class RouteNotFoundError(RequestError):
    """There is nothing at this path."""

    code = "not_found"
    title = "There is nothing at this path"


class MethodNotAllowedError(RequestError):
    """The path exists; the method is not one of its own."""

    code = "method_not_allowed"
    title = "This path does not answer to this method"


class BodyTooLargeError(RequestError):
    """The body is larger than the route takes."""

    code = "body_too_large"
    title = "The request body is too large"


class MediaTypeError(RequestError):
    """The body is not declared as JSON."""

    code = "unsupported_media_type"
    title = "The request body must be application/json"


class RateLimitedError(TokenServiceError):
    """The user has asked too often; `retry_after_s` says when to come back."""

    code = "rate_limited"
    title = "Too many requests"


# CometChat: the errors that a client sees.


class UserDeactivatedError(TokenServiceError):
    """The user exists at CometChat and is deactivated."""

    code = "user_deactivated"
    title = "The user is deactivated at CometChat"
    action = Action.STOP


class UserDeletedError(TokenServiceError):
    """The user was deleted by the app; no login brings them back."""

    code = "user_deleted"
    title = "The user was deleted"
    action = Action.STOP


class UserSuspendedError(TokenServiceError):
    """The app has suspended the user."""

    code = "user_suspended"
    title = "The user is suspended"
    action = Action.STOP


class UserQuotaReachedError(TokenServiceError):
    """CometChat takes no more users on this plan; those it has can log in."""

    code = "user_quota_reached"
    title = "No more users can be created at CometChat"
    action = Action.STOP


class DirectoryMisconfiguredError(TokenServiceError):
    """CometChat refuses what the operator configured: the key, the app, the role."""

    code = "directory_misconfigured"
    title = "The service is not set up correctly for CometChat"
    action = Action.STOP


class ProfileRefusedError(DirectoryMisconfiguredError):
    """CometChat refuses what it is told of one user; the others are not concerned."""


class DirectoryUnavailableError(TokenServiceError):
    """CometChat is busy, out of reach or makes no sense; later may be better."""

    code = "directory_unavailable"
    title = "CometChat cannot be reached at the moment"

    def __init__(self, reason: str, *, retry_after_s: float = 2.0) -> None:
        super().__init__(reason, retry_after_s=retry_after_s)


OVER_IN_S: Final = (1, 2, 3, 4)


class OverloadedError(DirectoryUnavailableError):
    """As many calls to CometChat are in flight as are allowed at once.

    Those who are refused together are told to come back apart, after one of `OVER_IN_S`.
    """

    title = "The service is busy at the moment"

    def __init__(self, reason: str = "bulkhead_full") -> None:
        super().__init__(reason, retry_after_s=secrets.choice(OVER_IN_S))


# Webhooks, and what is stored of them.


class SourceNotFoundError(RouteNotFoundError):
    """No webhook source of this name is configured."""


class DeliveryRefusedError(TokenServiceError):
    """The delivery is not signed by its sender, or too old; nothing of it was stored.

    *reason* is for the audit record alone.
    """

    code = "delivery_refused"
    title = "The delivery was refused"
    action = Action.STOP


class DeliveryConflictError(TokenServiceError):
    """The delivery's id is known, with another body: one of the two is forged or broken."""

    code = "delivery_conflict"
    title = "A delivery with this id and another body is known"
    action = Action.STOP


class StorageUnavailableError(TokenServiceError):
    """The database cannot be asked or written to; nothing is known to have been stored."""

    code = "storage_unavailable"
    title = "The service cannot store anything at the moment"

    def __init__(self, reason: str, *, retry_after_s: float = 5.0) -> None:
        super().__init__(reason, retry_after_s=retry_after_s)


class LeaseLostError(TokenServiceError):
    """Somebody else has the event by now: what was done with it here must not be written down."""


class AccountChangedError(TokenServiceError):
    """The account was written by somebody else since it was read."""


# CometChat: the errors that issuing answers itself, so that no client sees them.


class DirectoryAnswerError(TokenServiceError):
    """CometChat's word about one user, which the domain acts on."""


class UserNotFoundError(DirectoryAnswerError):
    """CometChat says that the user is missing: never created, or deactivated."""


class UserExistsError(DirectoryAnswerError):
    """CometChat says that the uid is taken, by a live or a deactivated user."""
