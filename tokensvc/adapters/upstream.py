"""Upstream: what every call to an outside HTTP system is held to."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tokensvc.domain.errors import OverloadedError


class Bulkhead:
    """At most *limit* calls in flight; one more is refused at once.

    Refused, not queued: while CometChat hangs, a queue would hold every thread
    of the server, and the health probes with them.
    """

    def __init__(self, limit: int) -> None:
        self._places = threading.BoundedSemaphore(limit)

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold one place for the length of the block, or raise `OverloadedError`."""
        if not self._places.acquire(blocking=False):
            raise OverloadedError
        try:
            yield
        finally:
            self._places.release()
