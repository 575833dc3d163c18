"""Limits counted in Redis for all processes together, and by each for itself while it is away."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, TypeVar
from urllib.parse import unquote, urlsplit

from limits.storage import MovingWindowSupport, RedisStorage, Storage
from redis import Redis
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.retry import Retry

from tokensvc.adapters.limit_storage import SHARED_SCHEME, NoFixedWindows, WindowStorage
from tokensvc.adapters.redis_deadline import CONNECTIONS, Patience, PatienceSpentError, redis_work
from tokensvc.adapters.redis_health import RedisHealth
from tokensvc.domain.audit import Notify
from tokensvc.domain.windows import Window, WindowState

T = TypeVar("T")

REDIS_TIMEOUT_S: Final = 0.15
"""To connect, and for each answer: redis-py's own let a hung Redis hold a request for ten seconds.

All of them together have a login's patience (`redis_deadline.PATIENCE_S`), the time to
connect included. While Redis is known to be lost, nobody waits for it.
"""
MOST_CONNECTIONS: Final = 100_000
"""No thread is to find them all in use: redis-py would call that a lost connection."""
PROBE: Final = [Window(f"{{tokensvc:probe}}:{name}", 10, 1) for name in ("a", "b")]
"""Two windows, as a user may have."""
_HIT_ALL: Final = """
-- KEYS: the windows, each a list of its hits, newest first, as `limits` keeps them.
-- ARGV: the time, then of each window how many hits it may hold, in how many seconds.
local now = ARGV[1]

local function is_in(hit, expiry)
  return hit and tonumber(hit) >= tonumber(now) - expiry
end

-- Return how many of *most* hits at most are in the window, and the oldest of them.
local function look_at(key, most, expiry)
  -- Mostly all of them are: so the oldest is looked at first.
  local low, high, place, oldest = 0, most, most - 1, now
  while low < high do
    local hit = redis.call('lindex', key, place)
    if is_in(hit, expiry) then
      low, oldest = place + 1, hit
    else
      high = place
    end
    place = math.floor((low + high) / 2)
  end
  return low, oldest
end

local full, are_free = {}, true
for rank, key in ipairs(KEYS) do
  full[rank] = is_in(redis.call('lindex', key, ARGV[2 * rank] - 1), ARGV[2 * rank + 1])
  are_free = are_free and not full[rank]
end
local states = {}
for rank, key in ipairs(KEYS) do
  local limit, expiry = tonumber(ARGV[2 * rank]), ARGV[2 * rank + 1]
  local most = limit
  if are_free then
    most = math.min(redis.call('lpush', key, now), limit)
    redis.call('ltrim', key, 0, limit - 1)
    redis.call('expire', key, expiry)
  end
  local hits, oldest = look_at(key, most, expiry)
  states[rank] = {oldest, hits, full[rank] and 1 or 0}
end
return states
"""


class OneTripStorage(RedisStorage):
    """Redis as `limits` counts in it, asked once for all the windows of a request.

    What it keeps is what the library keeps: whoever counts with the library's own
    scripts, counts together with this.
    """

    def __init__(self, uri: str, **options: Any) -> None:  # noqa: ANN401 (the library's)
        super().__init__(uri, **options)
        self._hit_all = self.storage.register_script(_HIT_ALL)

    def hit_all(self, windows: Sequence[Window]) -> list[WindowState]:
        """Count one hit in all of *windows*, or in none of them if one is full."""
        keys = [self.prefixed_key(window.key) for window in windows]
        bounds = [bound for window in windows for bound in window[1:]]
        states = self._hit_all(keys, [time.time(), *bounds])
        return [WindowState(float(oldest), hits, bool(is_full)) for oldest, hits, is_full in states]


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
        redis: OneTripStorage,
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
        return self._local.acquire_entry(key, limit, expiry, amount)

    def hit_all(self, windows: Sequence[Window]) -> list[WindowState]:
        """Count one hit in all of *windows*, or in none of them if one is full."""
        states = self._asked(lambda: self._redis.hit_all(windows))
        if states is not None:
            return states
        if any(window.expiry_s == self._login_window_s for window in windows):
            self._health.count_login()
        return self._local.hit_all(windows)

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


def _hit(redis: OneTripStorage) -> None:
    """Ask with a hit, not with PING: a Redis that is full or read-only answers that too."""
    # As long as a login would wait: who is slower is not back.
    with redis_work(Patience()):
        redis.hit_all(PROBE)


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
