"""Clocks: the time of day, and the one that only goes forward."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Clocks:
    """The time of day in UNIX seconds, and one that no correction moves."""

    now: Callable[[], float]
    monotonic: Callable[[], float]
