"""The errand: what one login may cost in all, over however many calls it takes.

A login needs one call to CometChat, its first one two, and some more than that;
none of them knows of the others. What they have to share travels in a context
variable, so that neither the domain nor its ports know of it either.
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from typing import Self

Clock = Callable[[], float]
"""Seconds on a clock that never goes back."""


@dataclass(slots=True)
class Errand:
    """Until when a login may last, and how many tries it may have beyond the first of each call."""

    ends_at: float
    clock: Clock = time.monotonic
    extra_tries: int = 1
    has_failed: bool = False
    """Whether the breaker has counted a failed try of it: a login is no more than one."""
    _before: "Token[Errand] | None" = field(repr=False, default=None)

    def __enter__(self) -> Self:
        """Be the errand of all calls in the block."""
        self._before = _errand.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        """Be over."""
        if self._before is not None:
            _errand.reset(self._before)

    def left_s(self) -> float:
        """Return the seconds that are left."""
        return self.ends_at - self.clock()


_errand: ContextVar[Errand] = ContextVar("errand")


def errand_within(seconds: float, clock: Clock = time.monotonic) -> AbstractContextManager[Errand]:
    """Let all calls in the block share one errand of *seconds*.

    A block inside of another belongs to the outer errand: it adds no time.
    """
    outer = _errand.get(None)
    return Errand(clock() + seconds, clock) if outer is None else nullcontext(outer)
