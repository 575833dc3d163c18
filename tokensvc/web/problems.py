"""Errors become application/problem+json (RFC 9457), here only."""

import math
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from flask import Flask, Response, json
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException, InternalServerError

from tokensvc.domain.errors import (
    BodyTooLargeError,
    DeliveryConflictError,
    DeliveryRefusedError,
    DirectoryMisconfiguredError,
    DirectoryUnavailableError,
    KeysUnavailableError,
    MediaTypeError,
    MethodNotAllowedError,
    RateLimitedError,
    RequestError,
    RouteNotFoundError,
    SessionError,
    StorageUnavailableError,
    TokenServiceError,
    UidNotAllowedError,
    UserDeactivatedError,
    UserDeletedError,
    UserQuotaReachedError,
    UserSuspendedError,
)
from tokensvc.web.record import current_record

STATUSES: Final[Mapping[type[TokenServiceError], int]] = {
    RequestError: 400,
    SessionError: 401,
    DeliveryRefusedError: 401,
    UserDeactivatedError: 403,
    UserDeletedError: 403,
    UserSuspendedError: 403,
    RouteNotFoundError: 404,
    MethodNotAllowedError: 405,
    DeliveryConflictError: 409,
    BodyTooLargeError: 413,
    MediaTypeError: 415,
    UidNotAllowedError: 422,
    RateLimitedError: 429,
    TokenServiceError: 500,
    DirectoryMisconfiguredError: 502,
    DirectoryUnavailableError: 503,
    KeysUnavailableError: 503,
    UserQuotaReachedError: 503,
    StorageUnavailableError: 503,
}
"""Every error that a caller can meet; an error that is not here answers as its parent does."""

_OF_WERKZEUG: Final[Mapping[int, type[RequestError]]] = {
    404: RouteNotFoundError,
    405: MethodNotAllowedError,
    413: BodyTooLargeError,
    415: MediaTypeError,
}

_PACKAGE: Final = Path(__file__).parents[1]


def answer_with_problems(app: Flask) -> None:
    """Make every error of *app* a problem document, a crash included."""

    @app.errorhandler(TokenServiceError)
    def known(error: TokenServiceError) -> ResponseReturnValue:
        return problem(error)

    @app.errorhandler(HTTPException)
    def of_the_framework(error: HTTPException) -> ResponseReturnValue:
        kind = _OF_WERKZEUG.get(error.code or 0, RequestError)
        answer = problem(kind(f"http_{error.code}"))
        # Allow (405) is the framework's to know; its body is not wanted.
        kept = {name: value for name, value in error.get_headers() if name == "Allow"}
        answer.headers.update(kept)
        return answer

    @app.errorhandler(Exception)
    def crash(error: Exception) -> ResponseReturnValue:
        return problem(TokenServiceError(_where(error)))

    @app.errorhandler(InternalServerError)
    def crash_after_the_view(error: InternalServerError) -> ResponseReturnValue:
        # What writes the answer down has failed: no fault of the caller's.
        return problem(TokenServiceError(_where(error.original_exception or error)))


def problem(error: TokenServiceError) -> Response:
    """Return the one answer to *error*, and write it into the record."""
    record = current_record()
    record.name_failure(error)
    document = problem_of(error, record.request_id)
    headers = headers_of(document)
    if isinstance(error, SessionError):
        headers["WWW-Authenticate"] = 'Bearer error="invalid_token"'
    return Response(json.dumps(document), document["status"], headers)


def problem_of(error: TokenServiceError, request_id: str) -> dict[str, Any]:
    """Return what the answer to *error* says."""
    document = {
        "type": f"urn:tokensvc:problem:{error.code}",
        "title": error.title,
        "status": status_of(type(error)),
        "code": error.code,
        "action": error.action,
        "requestId": request_id,
    }
    if error.retry_after_s is not None:
        document["retryAfter"] = max(1, math.ceil(error.retry_after_s))
    return document


def headers_of(document: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers of the answer that says *document*."""
    headers = {"Content-Type": "application/problem+json", "Cache-Control": "no-store"}
    if "retryAfter" in document:
        headers["Retry-After"] = str(document["retryAfter"])
    return headers


def status_of(kind: type[TokenServiceError]) -> int:
    """Return the status of *kind*, or of the nearest of its parents."""
    return next(STATUSES[parent] for parent in kind.__mro__ if parent in STATUSES)


def _where(error: BaseException) -> str:
    """Return the kind of a crash and its place in our code: no text, no values."""
    ours = [
        f"{Path(frame.filename).relative_to(_PACKAGE)}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).is_relative_to(_PACKAGE)
    ]
    return f"{type(error).__name__} at {ours[-1] if ours else 'unknown'}"
