"""Moving windows: how often somebody may do something, and how often they have."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Window(NamedTuple):
    """A moving window: at most *limit* hits of *key* in any *expiry_s* seconds."""

    key: str
    limit: int
    expiry_s: int


class WindowState(NamedTuple):
    """What a window looks like after a hit."""

    oldest: float
    """When the oldest hit in it was, in UNIX seconds; now, if there is none."""
    hits: int
    is_full: bool
    """Whether there was no room for this hit."""


class HitCounter(Protocol):
    """Counts hits."""

    def hit_all(self, windows: Sequence[Window]) -> list[WindowState]:
        """Count one hit in all of *windows*, or in none of them if one is full."""
