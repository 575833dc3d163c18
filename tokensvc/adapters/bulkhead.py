"""The bulkhead: so many calls in flight and no more, so that a hang stays where it is."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tokensvc.domain.errors import OverloadedError


class Bulkhead:
    """At most *limit* calls in flight; *max_waiting* more may wait *wait_s* for a place.

    While CometChat hangs, whoever is in flight or waits holds a thread of the
    server: with both bounded, and their sum below the server's threads, health
    probes always find one.
    """

    def __init__(self, limit: int, *, max_waiting: int = 0, wait_s: float = 0.1) -> None:
        self._places = threading.BoundedSemaphore(limit)
        self._waiting = threading.Semaphore(max_waiting)
        self._wait_s = wait_s

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold one place for the length of the block, or raise `OverloadedError`."""
        if not self._places.acquire(blocking=False):
            self._wait_for_place()
        try:
            yield
        finally:
            self._places.release()

    def _wait_for_place(self) -> None:
        if not self._waiting.acquire(blocking=False):
            raise OverloadedError
        try:
            if not self._places.acquire(timeout=self._wait_s):
                raise OverloadedError
        finally:
            self._waiting.release()
