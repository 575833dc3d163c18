"""Pacing: no faster than the vendor allows, and not at the end of one's patience too soon."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from tokensvc.domain.errors import DirectoryUnavailableError

T = TypeVar("T")

MAX_TRIES: Final = 8
"""With what is waited between them, CometChat may be away for four minutes."""
FIRST_PAUSE_S: Final = 2.0
MAX_PAUSE_S: Final = 60.0

Sleep = Callable[[float], None]


@dataclass(slots=True)
class Pace:
    """So many requests a minute, evenly spaced: a fixed minute then never sees one more."""

    per_minute: int
    clock: Callable[[], float]
    sleep: Sleep
    _next_at: float = field(default=float("-inf"))

    def wait(self) -> None:
        """Return when the next request may go out."""
        now = self.clock()
        if now < self._next_at:
            self.sleep(self._next_at - now)
        self._next_at = max(now, self._next_at) + 60 / self.per_minute


@dataclass(frozen=True, slots=True)
class Patience:
    """Tries again while CometChat is busy or out of reach, and waits as long as it is told to.

    *tell* hears of each pause: how long, and the reason's fixed word.
    """

    sleep: Sleep
    tell: Callable[[float, str], None] = lambda _seconds, _reason: None

    def through(self, act: Callable[[], T]) -> T:
        """Return what *act* does at last; after `MAX_TRIES` in a row its error goes on."""
        pause_s = FIRST_PAUSE_S
        for _ in range(MAX_TRIES - 1):
            try:
                return act()
            except DirectoryUnavailableError as error:
                wait_s = max(pause_s, error.retry_after_s or 0.0)
                self.tell(wait_s, error.reason)
                self.sleep(wait_s)
                pause_s = min(2 * pause_s, MAX_PAUSE_S)
        return act()
