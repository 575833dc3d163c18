"""Body places: how many bodies are waited for at once, in all and of one caller."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from tokensvc.domain.errors import OverloadedError


class BodyPlaces:
    """At most *at_once* threads wait for a body, and at most *of_one* of these for one caller's.

    A body can be sent as slowly as its sender likes, and no server tells us how to
    stop waiting for it: who never finishes theirs holds what is theirs and no more.
    """

    def __init__(self, at_once: int, *, of_one: int) -> None:
        self._at_once = at_once
        self._of_one = of_one
        self._lock = threading.Lock()
        self._held: Counter[str] = Counter()

    @contextmanager
    def place_of(self, caller: str) -> Iterator[None]:
        """Hold a place for *caller*, or raise `OverloadedError` at once."""
        with self._lock:
            if self._held.total() >= self._at_once or self._held[caller] >= self._of_one:
                raise OverloadedError("body_places_full")
            self._held[caller] += 1
        try:
            yield
        finally:
            with self._lock:
                self._held[caller] -= 1
                if not self._held[caller]:
                    del self._held[caller]
