"""Who is calling, and how often they may."""

import math
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, wraps
from typing import Any, Concatenate, Final, NamedTuple, ParamSpec, cast

from flask import Flask, Response, g, request
from flask.typing import ResponseReturnValue
from flask_limiter import Limiter, RateLimitExceeded
from flask_limiter._limits import RuntimeLimit

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
USER: Final = "user"
"""What the limits of a route are called where nothing else is said: they are one user's."""
_WHOSE: Final = "\0"
"""Stands in a key for whoever it is of; nothing else in it can be this."""


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
                header = request.environ.get("HTTP_AUTHORIZATION")
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
    method = environ["REQUEST_METHOD"]
    if method != method.upper():
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


class Quota(NamedTuple):
    """So many calls in any so many seconds."""

    limit: int
    window_s: int


@dataclass(frozen=True, slots=True)
class RouteLimits:
    """The limits of one route, the shortest windows first, and the key of each in two parts."""

    whose: Callable[[], str]
    causes: Sequence[RuntimeLimit]
    keys: Sequence[tuple[str, str]]
    quotas: tuple[Quota, ...]

    def windows(self) -> list[Window]:
        """Return the windows of whoever is calling."""
        # In braces, so that all windows of a caller are in one slot of a Redis in cluster mode.
        whose = f"{{{self.whose()}}}"
        return [
            Window(f"{before}{whose}{after}", limit, window_s)
            for (before, after), (limit, window_s) in zip(self.keys, self.quotas, strict=True)
        ]


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
        self._known: dict[tuple[str, str], RouteLimits] = {}

    def init_app(self, app: Flask) -> None:
        """Serve *app*, without hooks around its requests: nothing here is for them to do."""
        # Where it is registered it takes its hooks to be there.
        app.extensions.setdefault("limiter", set()).add(self)
        super().init_app(app)

    def identify_request(self) -> str:
        """Return nothing: the limits of a route are known by its function."""
        return ""

    def _check_request_limit(
        self,
        callable_name: str | None = None,
        in_middleware: bool = True,  # noqa: FBT001, FBT002 (Flask-Limiter's signature)
    ) -> None:
        if in_middleware or callable_name is None:
            return
        limits = self._limits_of(callable_name, request.endpoint or "")
        states = cast(HitCounter, self.storage).hit_all(limits.windows())
        g.met = Met(limits.quotas, states)
        for cause, state in zip(limits.causes, states, strict=True):
            if state.is_full:
                raise RateLimitExceeded(cause)

    def _limits_of(self, callable_name: str, endpoint: str) -> RouteLimits:
        limits = self._known.get((callable_name, endpoint))
        if limits is None:
            found = self.limit_manager.decorated_limits(callable_name)
            limits = self._known[callable_name, endpoint] = self._read(found, endpoint)
        return limits

    def _read(self, found: list[RuntimeLimit], endpoint: str) -> RouteLimits:
        if any(map(_asks_for_more, found)) or len({limit.key_func for limit in found}) != 1:
            raise ValueError("a limit here has nothing but its windows, and one key for all")
        found.sort(key=lambda limit: limit.limit)
        keys = [limit.limit.key_for(self.key_prefix, _WHOSE, endpoint) for limit in found]
        return RouteLimits(
            whose=found[0].key_func,
            causes=found,
            keys=[(before, after) for before, _, after in (key.partition(_WHOSE) for key in keys)],
            quotas=tuple(Quota(limit.limit.amount, limit.limit.get_expiry()) for limit in found),
        )


def _asks_for_more(limit: RuntimeLimit) -> bool:
    """Return whether *limit* has an option of Flask-Limiter's that `RouteLimiter` leaves out."""
    options = (
        limit.exempt_when,
        limit.methods,
        limit.deduct_when,
        limit.meta_limits,
        limit.on_breach,
        limit.scope,
    )
    return any(options) or limit.per_method or limit.shared or limit.cost != 1


@dataclass(frozen=True, slots=True)
class Met:
    """The limits that a request has met, and their windows as it found them."""

    quotas: tuple[Quota, ...]
    states: Sequence[WindowState]

    def retry_after_s(self, now: float) -> int:
        """Return the seconds until all that are full let somebody in again."""
        resets = zip(self._resets_s(now), self.states, strict=True)
        return max((reset_s for reset_s, state in resets if state.is_full), default=1)

    def left(self, names: Sequence[str], now: float) -> str:
        """Return what is left of the tightest, and when that resets, as `RateLimit` says it."""
        return min(
            (
                (quota.limit - state.hits, f'"{name}";r={quota.limit - state.hits};t={reset_s}')
                for name, quota, state, reset_s in zip(
                    names, self.quotas, self.states, self._resets_s(now), strict=True
                )
            )
        )[1]

    def _resets_s(self, now: float) -> list[int]:
        """Return the seconds until each resets, whatever the clock of the storage says."""
        return [
            min(max(1, math.ceil(state.oldest + window_s - now)), window_s)
            for (_, window_s), state in zip(self.quotas, self.states, strict=True)
        ]


@lru_cache
def _names(whose: str, quotas: tuple[Quota, ...]) -> tuple[Sequence[str], str]:
    """Return what *quotas* are called, and the `RateLimit-Policy` that says what they are."""
    names = [whose, *(f"{whose}-{rank}" for rank in range(2, len(quotas) + 1))]
    told = [
        f'"{name}";q={limit};w={window_s}'
        for name, (limit, window_s) in zip(names, quotas, strict=True)
    ]
    return names, ", ".join(told)


def tell_limits(app: Flask, *, now: Callable[[], float] = time.time) -> None:
    """Say in each limited answer what is left, and turn a breach into its problem.

    Header fields as in draft-ietf-httpapi-ratelimit-headers-10.
    """

    @app.errorhandler(RateLimitExceeded)
    def over_the_limit(error: RateLimitExceeded) -> Response:
        met: Met = g.met
        return problem(
            RateLimitedError(
                reason=f"over {error.limit.limit}" if error.limit else "",
                retry_after_s=met.retry_after_s(now()),
            )
        )

    @app.after_request
    def write_limits(response: Response) -> Response:
        met: Met | None = g.get("met")
        if met is not None:
            names, policy = _names(g.get("limited", USER), met.quotas)
            # Nobody else writes these: to look for them among the others takes longer.
            response.headers.add("RateLimit-Policy", policy)
            response.headers.add("RateLimit", met.left(names, now()))
        return response
