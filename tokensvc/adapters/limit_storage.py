"""Where the rate limiter counts in this process, exactly and at one cost."""

import threading
import time
from array import array
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

from limits.storage import MovingWindowSupport, Storage

from tokensvc.domain.windows import Window, WindowState

MEMORY_SCHEME: Final = "tokensvc-memory"
SHARED_SCHEME: Final = "tokensvc-redis"
SWEPT_PER_HIT: Final = 2
"""Idle keys forgotten at each hit: two leave for each one that can come."""

Times = array
"""When somebody was counted, oldest first, in eight bytes each: a deque takes forty, and 760
for itself. What has left the window stands at the beginning until it is most of them."""
Windows = OrderedDict[str, "Times[float]"]
"""The hits of each key; the keys in the order of their last hit."""


class SteadyClock:
    """UNIX seconds as they were told at the start, going on evenly ever since.

    A clock that is set back an hour would leave everybody who is over a limit
    there for an hour more, and one that is set forward would give all limits anew.
    """

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        self._offset = wall() - time.monotonic()

    def __call__(self) -> float:
        """Return the time."""
        return self._offset + time.monotonic()


class NoFixedWindows:
    """What `limits` asks of every storage, where there are moving windows alone."""

    @property
    def base_exceptions(self) -> type[Exception]:
        """The errors that a storage of this kind raises by itself."""
        return ValueError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Refuse: fixed windows are not offered, because they let twice the limit through."""
        raise NotImplementedError

    def get(self, key: str) -> int:
        """Refuse, as `incr` does."""
        raise NotImplementedError

    def get_expiry(self, key: str) -> float:
        """Refuse, as `incr` does."""
        raise NotImplementedError


class WindowStorage(NoFixedWindows, Storage, MovingWindowSupport):
    """Exact moving windows in memory, at one cost for 100 users and for 100,000.

    The storage that `limits` brings walks all of its keys from a timer that every
    hit re-arms. Here the keys of each window length stand in the order of their
    last hit, so that the idle ones are always the first, and each hit forgets two.
    """

    STORAGE_SCHEME = [MEMORY_SCHEME]  # noqa: RUF012 (declared so by the library)

    def __init__(
        self,
        uri: str | None = None,
        *,
        wrap_exceptions: bool = False,
        now: Callable[[], float] | None = None,
    ) -> None:
        super().__init__(uri, wrap_exceptions=wrap_exceptions)
        self._now = now or SteadyClock()
        self._windows: dict[int, Windows] = {}
        self._lock = threading.Lock()

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Count *amount* hits of *key*, if no more than *limit* fall into *expiry* seconds."""
        with self._lock:
            now = self._now()
            times, gone = self._times_of(key, expiry, now)
            if len(times) - gone + amount > limit:
                return False
            self._keep(key, expiry, times)
            times.extend([now] * amount)
            return True

    def hit_all(self, windows: Sequence[Window]) -> list[WindowState]:
        """Count one hit in all of *windows*, or in none of them if one is full."""
        with self._lock:
            # Within the lock: the times of a window are looked up as sorted ones.
            now = self._now()
            found = [self._times_of(key, expiry, now) for key, _, expiry in windows]
            full = [
                len(times) - gone >= window.limit
                for window, (times, gone) in zip(windows, found, strict=True)
            ]
            if not any(full):
                for (key, _, expiry), (times, _) in zip(windows, found, strict=True):
                    self._keep(key, expiry, times)
                    times.append(now)
            return [
                WindowState(times[gone] if times else now, len(times) - gone, is_full)
                for (times, gone), is_full in zip(found, full, strict=True)
            ]

    def _times_of(self, key: str, expiry: int, now: float) -> tuple["Times[float]", int]:
        """Return the hits of *key*, and how many at the beginning have left its window.

        None are left where all have.
        """
        windows = self._windows.setdefault(expiry, OrderedDict())
        self._sweep(windows, now - expiry)
        times = windows.get(key)
        if times is None:
            return array("d"), 0
        gone = bisect_right(times, now - expiry)
        if 2 * gone > len(times):
            # Not at each hit: those that stay are moved.
            del times[:gone]
            gone = 0
        if not times:
            # Another window may be full, and nothing be added: then none is here to be swept.
            del windows[key]
        return times, gone

    def _keep(self, key: str, expiry: int, times: "Times[float]") -> None:
        """Keep the hits of *key*, as those of the last who came."""
        windows = self._windows[expiry]
        windows[key] = times
        windows.move_to_end(key)

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:  # noqa: ARG002
        """Return the time of the oldest hit in the window, and how many there are."""
        with self._lock:
            now = self._now()
            times, gone = self._times_of(key, expiry, now)
            return (times[gone] if times else now), len(times) - gone

    @staticmethod
    def _sweep(windows: Windows, before: float) -> None:
        for _ in range(min(SWEPT_PER_HIT, len(windows))):
            key = next(iter(windows))
            if windows[key][-1] > before:
                return
            del windows[key]

    def clear(self, key: str) -> None:
        """Forget *key*."""
        with self._lock:
            for windows in self._windows.values():
                windows.pop(key, None)

    def reset(self) -> int | None:
        """Forget everything, and return how many keys that were."""
        with self._lock:
            forgotten = sum(map(len, self._windows.values()))
            self._windows.clear()
        return forgotten

    def check(self) -> bool:
        """Return True: memory is always there."""
        return True


def storage_url(configured: str) -> str:
    """Return the URL that `limits` is given for the *configured* one."""
    scheme = MEMORY_SCHEME if configured.startswith("memory:") else SHARED_SCHEME
    return f"{scheme}://"
