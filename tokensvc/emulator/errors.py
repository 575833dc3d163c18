"""The vendor's errors: codes from its error guide, statuses and texts as far as they were seen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Details = Mapping[str, Sequence[str]]


@dataclass
class APIError(Exception):
    """One refusal, as the envelope `{"error": {…}}` will carry it."""

    status: int
    code: str
    message: str
    dev_message: str = ""
    details: Details = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def envelope(self) -> dict[str, object]:
        """Return the answer's body; details are there on validation alone."""
        error: dict[str, object] = {
            "message": self.message,
            "devMessage": self.dev_message or self.message,
            "source": "chat-api",
            "code": self.code,
        }
        if self.details:
            error["details"] = self.details
        return {"error": error}


def path_unknown() -> APIError:
    """Neither the path nor the method is known: one answer for both (recorded)."""
    return APIError(
        404,
        "ERR_API_NOT_FOUND",
        "The API endpoint is invalid. Please verify the API call.",
        "The endpoint of the API is invalid. Please have the API call checked.",
    )


def version_unknown() -> APIError:
    """The path begins with a version that is not served (status and text unverified)."""
    return APIError(
        404, "ERR_INVALID_API_VERSION", "The API version is invalid. Please verify the API call."
    )


def app_missing() -> APIError:
    """The host names no app and there is no appId header (status unverified)."""
    return APIError(401, "AUTH_ERR_EMPTY_APPID", "The appId is missing. Please provide it.")


def app_unknown() -> APIError:
    """There is no such app in this region (status and text unverified)."""
    return APIError(401, "AUTH_ERR_INVALID_APPID", "The appId is invalid. Please verify it.")


def key_missing() -> APIError:
    """There is no apikey header (status and text unverified)."""
    return APIError(401, "AUTH_ERR_EMPTY_APIKEY", "The apiKey is missing. Please provide it.")


def key_unknown(key: str) -> APIError:
    """The key is not one of the app's (recorded, the key masked as here)."""
    masked = _masked(key)
    return APIError(
        401,
        "AUTH_ERR_APIKEY_NOT_FOUND",
        f"The key {masked} does not exist. Please use correct apiKey.",
        f"The {masked} key doesn't work. Please use correct apiKey.",
    )


def scope_too_small(key: str) -> APIError:
    """The key is one of the app's and may not do this (recorded; in 2022 with the key in clear)."""
    masked = _masked(key)
    return APIError(
        403,
        "AUTH_ERR_NO_ACCESS",
        f"The key {masked} cannot be used to perform this operation. "
        "Please use API key with a correct scope to perform the operation.",
        f"The {masked} key does not have enough clearance. "
        "To perform the operation, please use the API key with the correct scope.",
    )


def invalid(details: Details) -> APIError:
    """Validation failed (recorded)."""
    message = "Failed to validate the data sent with the request."
    return APIError(400, "ERR_BAD_REQUEST", message, details=details)


def uid_unknown(uid: str) -> APIError:
    """There is no such user, or it is deactivated: one answer for both (recorded)."""
    return APIError(
        404,
        "ERR_UID_NOT_FOUND",
        f"The UID {uid} does not exist, please make sure you have created a user with UID {uid}.",
        f"The UID {uid} does not exist, "
        f"so please make sure you have created a user with UID {uid}.",
    )


def uid_taken(uid: str) -> APIError:
    """The uid is taken, also by a deactivated user: 400, not 409 (seen live; text unverified)."""
    return APIError(
        400,
        "ERR_UID_ALREADY_EXISTS",
        f"The uid {uid} already exists. "
        "Please use another uid or try after permanently deleting the user.",
    )


def quota_reached() -> APIError:
    """The plan takes no more users (status and code seen live; text unverified)."""
    return APIError(
        402, "ERR_PLAN_QUOTA_RESTRICTION", "The user quota of the plan has been reached."
    )


def role_unknown(role: str) -> APIError:
    """The role must have been created before (status unverified)."""
    return APIError(
        404,
        "ERR_ROLE_NOT_FOUND",
        f"The role {role} does not exist. Please use correct role or use create role API.",
    )


def role_taken(role: str) -> APIError:
    """The role is there already."""
    return APIError(400, "ERR_ROLE_ALREADY_EXISTS", f"The role {role} already exists.")


def role_kept() -> APIError:
    """The default role cannot be deleted (status and text unverified)."""
    return APIError(400, "ERR_ROLE_DELETE_DENIED", "The default role cannot be deleted.")


def token_unknown(token: str) -> APIError:
    """The REST side's word for it (text unverified)."""
    return APIError(404, "ERR_AUTH_TOKEN_NOT_FOUND", f"The auth token {token} does not exist.")


def client_token_missing() -> APIError:
    """The client side was called without a token (status and text unverified)."""
    return APIError(401, "AUTH_ERR_EMPTY_AUTH_TOKEN", "The authToken is missing.")


def client_token_unknown(token: str) -> APIError:
    """The client side's word for a token that is unknown, ended or suspended (recorded)."""
    return APIError(
        401,
        "AUTH_ERR_AUTH_TOKEN_NOT_FOUND",
        f"The auth token {token} does not exist. Please make sure you are logged in "
        "and have a valid auth token or try login again.",
    )


def too_many(wait_s: int, headers: Mapping[str, str]) -> APIError:
    """A minute's allowance is used up (text unverified)."""
    return APIError(
        429,
        "ERR_TOO_MANY_REQUESTS",
        f"Too many requests. Please retry after {wait_s} seconds.",
        headers=headers,
    )


def too_many_imports(wait_s: int, per_minute: int, headers: Mapping[str, str]) -> APIError:
    """The bulk import has an allowance of its own (text documented)."""
    return APIError(
        429,
        "ERR_TOO_MANY_REQUESTS",
        f"Too many requests for data import API. {per_minute} per minute is the maximum "
        f"request allowed. Please retry for seconds after {wait_s}.",
        headers=headers,
    )


def import_malformed() -> APIError:
    """The import's body is no object of users (status and text unverified)."""
    return APIError(
        400, "ERR_IMPORT_INVALID_USER_FORMAT", "The users must be an object keyed by uid."
    )


def crash() -> APIError:
    """The emulator itself failed."""
    return APIError(500, "ERR_EXCEPTION", "Something went wrong. Please try again.")


def _masked(key: str) -> str:
    """Show five characters at either end (how a short key is masked is unverified)."""
    return f"{key[:5]}{'*' * (len(key) - 10)}{key[-5:]}" if len(key) > 10 else "*****"  # noqa: PLR2004
