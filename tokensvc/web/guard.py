"""Who is calling, and how often they may."""

import math
import re
import time
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, Final, ParamSpec, cast

from flask import Flask, Response, g, request
from flask.typing import ResponseReturnValue
from flask_limiter import Limiter, RateLimitExceeded, RequestLimit
from flask_limiter._limits import RuntimeLimit
from limits.util import WindowStats

from tokensvc.domain.errors import RateLimitedError, RequestError, SessionError
from tokensvc.domain.model import Session
from tokensvc.domain.ports import SessionVerifier
from tokensvc.domain.windows import HitCounter, Window, WindowState
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


class MetLimit(RequestLimit):
    """A limit that a request meets, and its window as it was when the request was counted."""

    def __init__(self, limiter: "RouteLimiter", limit: RuntimeLimit) -> None:
        # In braces, so that all windows of a caller are in one slot of a Redis in cluster mode.
        whose = f"{{{limit.key_func()}}}"
        place = limiter.key_prefix, whose, limit.scope_for(request.endpoint or "", None)
        super().__init__(limiter, limit.limit, list(place), breached=False, shared=limit.shared)
        self.cause = limit
        self.asked = Window(self.key, self.limit.amount, self.limit.get_expiry())

    def tell(self, state: WindowState) -> None:
        """Keep what the storage says of the window."""
        _, limit, expiry_s = self.asked
        self.breached = state.is_full
        self._window = WindowStats(state.oldest + expiry_s, limit - state.hits)

    def reset_s(self, now: float) -> int:
        """Return the seconds until it resets, whatever the clock of the storage says."""
        return min(max(1, math.ceil(self.window.reset_time - now)), self.asked.expiry_s)


class RouteLimiter(Limiter):
    """Flask-Limiter, for limits that stand on routes alone, and stay as they are.

    It would find out anew for each request which limits of app, blueprint and route
    apply, parse them, and ask its storage twice for each. Here those of a route are
    parsed once, and the storage (a `HitCounter`) is asked once for all their windows:
    what one of them refuses is counted in none.
    """

    def __init__(
        self,
        key_func: Callable[[], str],
        *,
        key_prefix: str,
        **options: Any,  # noqa: ANN401 (Flask-Limiter's)
    ) -> None:
        super().__init__(key_func, key_prefix=key_prefix, **options)
        self.key_prefix = key_prefix
        self._parsed: dict[str, list[RuntimeLimit]] = {}

    def met(self) -> list[MetLimit]:
        """Return the limits that this request has met, those of the shortest windows first."""
        return cast(list[MetLimit], self.current_limits)

    def _check_request_limit(
        self,
        callable_name: str | None = None,
        in_middleware: bool = True,  # noqa: FBT001, FBT002 (Flask-Limiter's signature)
    ) -> None:
        if in_middleware or callable_name is None:
            return
        met = [MetLimit(self, limit) for limit in self._limits_of(callable_name)]
        states = cast(HitCounter, self.storage).hit_all([limit.asked for limit in met])
        for limit, state in zip(met, states, strict=True):
            limit.tell(state)
        self.context.view_rate_limits = [*met]
        for limit in met:
            if limit.breached:
                raise RateLimitExceeded(limit.cause)

    def _limits_of(self, callable_name: str) -> list[RuntimeLimit]:
        limits = self._parsed.get(callable_name)
        if limits is None:
            limits = self.limit_manager.decorated_limits(callable_name)
            if any(_asks_for_more(limit) for limit in limits):
                raise ValueError("a limit here has nothing but its windows and its key")
            limits.sort(key=lambda limit: limit.limit)
            self._parsed[callable_name] = limits
        return limits


def _asks_for_more(limit: RuntimeLimit) -> bool:
    """Return whether *limit* has an option of Flask-Limiter's that `RouteLimiter` leaves out."""
    options = (
        limit.exempt_when,
        limit.methods,
        limit.deduct_when,
        limit.meta_limits,
        limit.on_breach,
    )
    return any(options) or limit.per_method or limit.shared or limit.cost != 1


def tell_limits(app: Flask, limiter: RouteLimiter, *, now: Callable[[], float] = time.time) -> None:
    """Say in each limited answer what is left, and turn a breach into its problem.

    Header fields as in draft-ietf-httpapi-ratelimit-headers-10.
    """

    @app.errorhandler(RateLimitExceeded)
    def over_the_limit(error: RateLimitExceeded) -> Response:
        reset_s = [limit.reset_s(now()) for limit in limiter.met() if limit.breached]
        return problem(
            RateLimitedError(
                reason=f"over {error.limit.limit}" if error.limit else "",
                retry_after_s=max(reset_s, default=1),
            )
        )

    @app.after_request
    def write_limits(response: Response) -> Response:
        limits = limiter.met()
        if limits:
            whose = g.get("limited", "user")
            names = [whose, *(f"{whose}-{rank}" for rank in range(2, len(limits) + 1))]
            response.headers["RateLimit-Policy"] = ", ".join(
                f'"{name}";q={limit.asked.limit};w={limit.asked.expiry_s}'
                for name, limit in zip(names, limits, strict=True)
            )
            at = now()
            response.headers["RateLimit"] = min(
                (limit.remaining, f'"{name}";r={limit.remaining};t={limit.reset_s(at)}')
                for name, limit in zip(names, limits, strict=True)
            )[1]
        return response
