"""The bulkhead: so many calls in flight and no more, so that a hang stays where it is."""

import threading
from typing import Self

from tokensvc.domain.errors import OverloadedError


class Bulkhead:
    """At most *limit* calls in flight; *max_waiting* more may wait *wait_s* for a place.

    While CometChat hangs, whoever is in flight or waits holds a thread of the
    server: with both bounded, and their sum below the server's threads, health
    probes always find one.
    """

    def __init__(self, limit: int, *, max_waiting: int = 0, wait_s: float = 0.1) -> None:
        self._limit = limit
        self._max_waiting = max_waiting
        self._wait_s = wait_s
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._held = 0
        self._waiting = 0

    @property
    def most_inside(self) -> int:
        """How many can hold a place or wait for one."""
        return self._limit + self._max_waiting

    def is_full(self) -> bool:
        """Whether whoever came now would be refused at once."""
        return self._held >= self._limit and self._waiting >= self._max_waiting

    def place(self) -> Self:
        """Hold one place for the length of the block, or raise `OverloadedError`."""
        return self

    def __enter__(self) -> None:
        """Take a place."""
        with self._lock:
            if self._held >= self._limit:
                self._wait_for_place()
            self._held += 1

    def __exit__(self, *_: object) -> None:
        """Give it back, to somebody who waits."""
        with self._lock:
            self._held -= 1
            if self._waiting:
                self._changed.notify()

    def _wait_for_place(self) -> None:
        if self._waiting >= self._max_waiting:
            raise OverloadedError
        self._waiting += 1
        try:
            if not self._changed.wait_for(lambda: self._held < self._limit, self._wait_s):
                raise OverloadedError
        finally:
            self._waiting -= 1
