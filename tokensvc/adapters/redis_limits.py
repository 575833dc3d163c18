"""Limits counted in Redis for all processes together, and by each for itself while it is away."""

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, TypeVar
from urllib.parse import unquote, urlsplit

from limits.storage import MovingWindowSupport, RedisStorage, Storage
from redis import Redis
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.exceptions import NoScriptError
from redis.retry import Retry

from tokensvc.adapters.limit_storage import SHARED_SCHEME, NoFixedWindows, WindowStorage
from tokensvc.adapters.redis_deadline import CONNECTIONS, Patience, PatienceSpentError, redis_work
from tokensvc.adapters.redis_health import RedisHealth
from tokensvc.domain.audit import Notify

T = TypeVar("T")

REDIS_TIMEOUT_S: Final = 0.15
"""To connect, and for each answer: redis-py's own let a hung Redis hold a request for ten seconds.

All of them together have a login's patience (`redis_deadline.PATIENCE_S`), the time to
connect included. While Redis is known to be lost, nobody waits for it.
"""
MOST_CONNECTIONS: Final = 100_000
"""No thread is to find them all in use: redis-py would call that a lost connection."""
PROBE_KEY: Final = "tokensvc:probe"
PROBE_LIMIT: Final = 10
_NOTHING: Final = (None, (0.0, 0))


class OneTripStorage(RedisStorage):
    """Redis as `limits` counts in it, asked once for a hit and for what is left after it.

    Each answer tells what is left, so that every hit is followed by that question; the
    two scripts are those of the library.
    """

    def __init__(self, uri: str, **options: Any) -> None:  # noqa: ANN401 (the library's)
        super().__init__(uri, **options)
        self._told = threading.local()
        """The key of this thread's last hit, and its window."""

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Count *amount* hits of *key*, and keep what its window looks like then."""
        self._told.window = _NOTHING
        now = time.time()
        place = self.prefixed_key(key)
        calls = (
            (self.lua_acquire_moving_window, (now, limit, expiry, amount)),
            (self.lua_moving_window, (now - expiry, limit)),
        )
        try:
            is_counted, window = self._run(place, calls)
        except NoScriptError:
            # Redis was started anew, or its scripts were flushed: nothing has been counted, as
            # the script that counts is never there without the other one.
            for script, _ in reversed(calls):
                self.storage.script_load(script.script)
            is_counted, window = self._run(place, calls)
        self._told.window = (key, (float(window[0]), window[1]) if window else (now, 0))
        return bool(is_counted)

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        """Return the oldest hit in the window and their number; asks only if no hit has told."""
        told_key, window = getattr(self._told, "window", _NOTHING)
        self._told.window = _NOTHING
        return window if told_key == key else super().get_moving_window(key, limit, expiry)

    def _run(self, place: str, calls: Sequence[tuple[Any, Sequence[float]]]) -> list[Any]:
        # A pipeline that is given the scripts themselves asks each time whether they are there.
        with self.storage.pipeline(transaction=False) as trip:
            for script, arguments in calls:
                trip.evalsha(script.sha, 1, place, *arguments)
            return list(trip.execute())


class SharedWindowStorage(NoFixedWindows, Storage, MovingWindowSupport):
    """Moving windows in Redis; without it in this process, exact as ever. Raises nothing.

    Flask-Limiter's own fallback asks Redis again in the middle of a login, and
    counts in the memory storage that walks all of its keys.
    """

    STORAGE_SCHEME = [SHARED_SCHEME]  # noqa: RUF012 (declared so by the library)

    def __init__(
        self,
        uri: str | None = None,
        *,
        wrap_exceptions: bool = False,
        redis: RedisStorage,
        health: RedisHealth,
        login_window_s: int,
    ) -> None:
        super().__init__(uri, wrap_exceptions=wrap_exceptions)
        self._redis = redis
        self._health = health
        self._login_window_s = login_window_s
        self._local = WindowStorage()

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Count *amount* hits of *key*, if no more than *limit* fall into *expiry* seconds."""
        is_counted = self._asked(lambda: self._redis.acquire_entry(key, limit, expiry, amount))
        if is_counted is not None:
            return is_counted
        if expiry == self._login_window_s:
            # A login is counted in several windows, and told once.
            self._health.count_login()
        return self._local.acquire_entry(key, limit, expiry, amount)

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        """Return the time of the oldest hit in the window, and how many there are."""
        window = self._asked(lambda: self._redis.get_moving_window(key, limit, expiry))
        return window or self._local.get_moving_window(key, limit, expiry)

    def _asked(self, ask: Callable[[], T]) -> T | None:
        """Return what Redis says; None while it is lost, or too slow for this request."""
        epoch = self._health.epoch
        if not self._health.is_up:
            return None
        try:
            with redis_work():
                return ask()
        except PatienceSpentError:
            return None
        except Exception as error:  # noqa: BLE001 (no fault of Redis may cost a login)
            self._health.fail(error, epoch)
            return None

    def check(self) -> bool:
        """Return True: one of the two is always there."""
        return True

    def reset(self) -> int | None:
        """Forget what this process has counted for itself."""
        return self._local.reset()

    def clear(self, key: str) -> None:
        """Forget *key*, as far as this process has counted it for itself."""
        self._local.clear(key)


class CurrentCredentials(CredentialProvider):
    """Takes user and password from the URL in force whenever a connection is made."""

    def __init__(self, current_url: Callable[[], str]) -> None:
        self._current_url = current_url

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """Return the password, and before it the user if there is one."""
        url = urlsplit(self._current_url())
        password = unquote(url.password or "")
        return (unquote(url.username), password) if url.username else (password,)


def shared_options(
    current_url: Callable[[], str],
    *,
    notify: Notify,
    login_window_s: int,
    now: Callable[[], float] = time.monotonic,
) -> dict[str, Any]:
    """Return what `SharedWindowStorage` is made of, for the Redis at *current_url*.

    The place is read once; user and password are read again for each connection.
    *login_window_s* is the shortest window that a login is counted in.
    """
    redis = _redis_storage(current_url)
    health = RedisHealth(partial(_hit, redis), notify=notify, now=now)
    return {"redis": redis, "health": health, "login_window_s": login_window_s}


def ask_by_a_hit(current_url: Callable[[], str]) -> None:
    """Return if the Redis at *current_url* counts; raises whatever is in the way."""
    _hit(_redis_storage(current_url))


def _hit(redis: RedisStorage) -> None:
    """Ask with a hit, not with PING: a Redis that is full or read-only answers that too."""
    # As long as a login would wait: who is slower is not back.
    with redis_work(Patience()):
        redis.acquire_entry(PROBE_KEY, PROBE_LIMIT, 1)


def _redis_storage(current_url: Callable[[], str]) -> OneTripStorage:
    return OneTripStorage(without_credentials(current_url()), **_connection_options(current_url))


def redis_client(current_url: Callable[[], str]) -> Redis:
    """Return a client of the Redis at *current_url*, as short of patience as the limits' own."""
    place = without_credentials(current_url()).replace("redis+unix://", "unix://", 1)
    client: Redis = Redis.from_url(place, **_connection_options(current_url))
    return client


def _connection_options(current_url: Callable[[], str]) -> dict[str, Any]:
    url = urlsplit(current_url())
    has_credentials = "@" in url.netloc
    return {
        "connection_class": CONNECTIONS[url.scheme],
        "max_connections": MOST_CONNECTIONS,
        "socket_connect_timeout": REDIS_TIMEOUT_S,
        "socket_timeout": REDIS_TIMEOUT_S,
        "retry": Retry(NoBackoff(), 0),
        "credential_provider": CurrentCredentials(current_url) if has_credentials else None,
    }


def without_credentials(url: str) -> str:
    """Return *url* without user and password: the place alone."""
    netloc = urlsplit(url).netloc
    return url.replace(netloc, netloc.rpartition("@")[2], 1) if "@" in netloc else url
