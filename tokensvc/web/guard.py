"""Who is calling, and how often they may."""

import math
import re
import time
from collections.abc import Callable
from functools import wraps
from typing import Concatenate, Final, ParamSpec

from flask import Flask, Response, g, request
from flask.typing import ResponseReturnValue
from flask_limiter import Limiter, RateLimitExceeded, RequestLimit

from tokensvc.domain.errors import RateLimitedError, RequestError, SessionError
from tokensvc.domain.model import Session
from tokensvc.domain.ports import SessionVerifier
from tokensvc.web.failed_attempts import FailedAttempts
from tokensvc.web.problems import problem
from tokensvc.web.record import current_record

P = ParamSpec("P")
View = Callable[P, ResponseReturnValue]
SessionView = Callable[Concatenate[Session, P], ResponseReturnValue]

_BEARER: Final = re.compile(r"(?i:bearer) ([^ ,]+)")
"""One token, one space; the scheme in any case (RFC 9110, section 11.1).

Two Authorization headers reach us joined by a comma, which no token holds.
"""


def signed_in(
    verifier: SessionVerifier, failed_attempts: FailedAttempts
) -> Callable[[SessionView[P]], View[P]]:
    """Hand the view the session of whoever is calling, or answer 401 in its stead.

    An address that is refused too often is answered 429 instead.
    """

    def decorate(view: SessionView[P]) -> View[P]:
        @wraps(view)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> ResponseReturnValue:
            _demand_one_reading()
            started = time.perf_counter()
            record = current_record()
            try:
                header = request.headers.get("Authorization")
                session = verifier.verify(unverified_bearer_token(header))
            except SessionError as error:
                failed_attempts.charge(error, record.client_address)
                raise
            record.verify_s = time.perf_counter() - started
            record.name_caller(session)
            g.session = session
            return view(session, *args, **kwargs)

        return guarded

    return decorate


def caller() -> str:
    """Return whose allowance is spent. Asked only after `signed_in`: never empty, never raises."""
    session: Session = g.session
    return session.limit_key


def _demand_one_reading() -> None:
    """Refuse a request that a proxy in front may have read in another way than we do.

    Methods have a case (RFC 9110, section 9.1), and a request of HTTP/1.1 has one
    Host (RFC 9112, section 3.2); the server minds neither, and joins two by a comma.
    """
    environ = request.environ
    if environ["REQUEST_METHOD"] != request.method:
        raise RequestError("method_in_lower_case")
    if "," in environ.get("HTTP_HOST", ""):
        raise RequestError("host_repeated")
    if not environ.get("HTTP_HOST") and environ["SERVER_PROTOCOL"] == "HTTP/1.1":
        raise RequestError("host_missing")


def unverified_bearer_token(header: str | None) -> str:
    """Return the token in an Authorization header, or raise `SessionError`."""
    if header is None:
        raise SessionError("header_missing")
    match = _BEARER.fullmatch(header)
    if match is None:
        raise SessionError("header_malformed")
    return match[1]


class RouteLimiter(Limiter):
    """Flask-Limiter, for limits that stand on routes and nowhere else.

    It also looks at each request before its route, for limits of the whole app: there
    are none here, and to find that out takes as long as to count.
    """

    def _check_request_limit(
        self,
        callable_name: str | None = None,
        in_middleware: bool = True,  # noqa: FBT001, FBT002 (Flask-Limiter's signature)
    ) -> None:
        if not in_middleware:
            super()._check_request_limit(callable_name, in_middleware)


def tell_limits(app: Flask, limiter: Limiter, *, now: Callable[[], float] = time.time) -> None:
    """Say in each limited answer what is left, and turn a breach into its problem.

    Header fields as in draft-ietf-httpapi-ratelimit-headers-10.
    """

    @app.errorhandler(RateLimitExceeded)
    def over_the_limit(error: RateLimitExceeded) -> Response:
        reset_s = [reset_s for limit, _, reset_s in _windows(limiter, now()) if limit.breached]
        return problem(
            RateLimitedError(
                reason=f"over {error.limit.limit}" if error.limit else "",
                retry_after_s=max(reset_s, default=1),
            )
        )

    @app.after_request
    def write_limits(response: Response) -> Response:
        windows = _windows(limiter, now())
        if windows:
            whose = g.get("limited", "user")
            names = [whose, *(f"{whose}-{rank}" for rank in range(2, len(windows) + 1))]
            response.headers["RateLimit-Policy"] = ", ".join(
                f'"{name}";q={limit.limit.amount};w={limit.limit.get_expiry()}'
                for name, (limit, _, _) in zip(names, windows, strict=True)
            )
            response.headers["RateLimit"] = min(
                (remaining, f'"{name}";r={remaining};t={reset_s}')
                for name, (_, remaining, reset_s) in zip(names, windows, strict=True)
            )[1]
        return response


def _reset_s(limit: RequestLimit, now: float) -> int:
    """Return the seconds until *limit* resets, whatever the clock of the storage says."""
    return min(max(1, math.ceil(limit.window.reset_time - now)), limit.limit.get_expiry())


def _windows(limiter: Limiter, now: float) -> list[tuple[RequestLimit, int, int]]:
    """Return the limits that this request met: each with what is left and when it resets.

    A storage that fails just now has had its say when the request was counted;
    then nothing is told.
    """
    try:
        return [(limit, limit.remaining, _reset_s(limit, now)) for limit in limiter.current_limits]
    except Exception:  # noqa: BLE001 (every storage has errors of its own)
        return []
