"""Where the rate limiter counts in this process, exactly and at one cost."""

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from typing import Final

from limits.storage import MovingWindowSupport, Storage

from tokensvc.domain.windows import Window, WindowState

MEMORY_SCHEME: Final = "tokensvc-memory"
SHARED_SCHEME: Final = "tokensvc-redis"
SWEPT_PER_HIT: Final = 2
"""Idle keys forgotten at each hit: two leave for each one that can come."""

Windows = OrderedDict[str, deque[float]]
"""The times of the hits of each key, oldest first; the keys in the order of their last hit."""


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
        now = self._now()
        with self._lock:
            hits = self._live_hits(key, expiry, now)
            if len(hits) + amount > limit:
                return False
            self._add(key, expiry, hits, [now] * amount)
            return True

    def hit_all(self, windows: Sequence[Window]) -> list[WindowState]:
        """Count one hit in all of *windows*, or in none of them if one is full."""
        now = self._now()
        with self._lock:
            found = [
                (window, self._live_hits(window.key, window.expiry_s, now)) for window in windows
            ]
            full = [len(hits) >= window.limit for window, hits in found]
            if not any(full):
                for window, hits in found:
                    self._add(window.key, window.expiry_s, hits, [now])
            return [
                WindowState(hits[0] if hits else now, len(hits), is_full)
                for (_, hits), is_full in zip(found, full, strict=True)
            ]

    def _live_hits(self, key: str, expiry: int, now: float) -> deque[float]:
        """Return the hits of *key* that are still in its window."""
        windows = self._windows.setdefault(expiry, OrderedDict())
        self._sweep(windows, now - expiry)
        hits = windows.get(key)
        if hits is None:
            return deque()
        while hits and hits[0] <= now - expiry:
            hits.popleft()
        if not hits:
            # Another window may be full, and nothing be added: then none is here to be swept.
            del windows[key]
        return hits

    def _add(self, key: str, expiry: int, hits: deque[float], more: list[float]) -> None:
        hits.extend(more)
        windows = self._windows[expiry]
        windows[key] = hits
        windows.move_to_end(key)

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:  # noqa: ARG002
        """Return the time of the oldest hit in the window, and how many there are.

        Hits that have left the window are forgotten rather than passed over: a
        source of webhooks has tens of thousands in it.
        """
        now = self._now()
        with self._lock:
            windows: Windows = self._windows.get(expiry, OrderedDict())
            hits = windows.get(key, deque())
            while hits and hits[0] <= now - expiry:
                hits.popleft()
            if not hits:
                windows.pop(key, None)
                return now, 0
            return hits[0], len(hits)

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
