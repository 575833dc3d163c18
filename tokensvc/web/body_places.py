"""Bodies: how they are read, and how many are waited for at once, in all and of one caller."""

import threading
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final

from flask import request
from werkzeug.exceptions import HTTPException

from tokensvc.domain.errors import OverloadedError, RequestError

OF_ONE_STRANGER: Final = 4
"""Fewer would turn away the first deliveries of a sender who has many for us at once."""
MAX_KNOWN: Final = 1024
"""Networks that are remembered; of more, those that were not heard of for longest are not."""


def read_body() -> bytes:
    """Return the body of this request; raises `RequestError` for one that cannot be read.

    Flask's own refusals go on as they are; each server has errors of its own beside them,
    for chunks that make no sense, say.
    """
    try:
        return request.get_data(cache=False)
    except HTTPException:
        raise
    except Exception:  # noqa: BLE001 (whatever it is called, the body is the caller's)
        raise RequestError("body_unreadable") from None


def deliveries_at_once(threads: int) -> int:
    """Return how many of *threads* may wait for the bodies of deliveries."""
    return max(4, threads // 3)


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


class DeliveryPlaces:
    """Places for the bodies of deliveries: networks that a sender has been in have their own.

    Before the body is there nobody can be told apart by a signature, but by where
    they are. Strangers hold one half, so that they keep out no sender who was here
    before, whatever they send and however slowly; and no network of senders holds more
    than half of the other.
    """

    def __init__(self, at_once: int) -> None:
        half = at_once // 2
        self._of_strangers = BodyPlaces(half, of_one=min(OF_ONE_STRANGER, half // 2))
        self._of_known = BodyPlaces(half, of_one=half // 2)
        self._lock = threading.Lock()
        self._known: OrderedDict[str, None] = OrderedDict()

    def place_of(self, network: str) -> AbstractContextManager[None]:
        """Return a place for *network*; who enters it may be told `OverloadedError`."""
        with self._lock:
            places = self._of_known if network in self._known else self._of_strangers
        return places.place_of(network)

    def remember(self, network: str) -> None:
        """Know that a sender was proven who is in *network*."""
        with self._lock:
            self._known[network] = None
            self._known.move_to_end(network)
            if len(self._known) > MAX_KNOWN:
                self._known.popitem(last=False)
