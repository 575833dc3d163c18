"""Progress: how far a command has come, how fast it goes, and how long it will take yet."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TextIO

BAR_CHARS: Final = 24
REDRAW_S: Final = 0.2
CLEAR_LINE: Final = "\r\x1b[K"
MINUTE_S: Final = 60
HOUR_S: Final = 3600


@dataclass(slots=True)
class Bar:
    """A line that is drawn over itself, on a terminal alone. *clock* is in seconds."""

    total: int
    stream: TextIO
    clock: Callable[[], float]
    begun_with: int = 0
    """What was there before this command: it says nothing about how fast it goes."""
    _done: int = field(init=False)
    _started: float = field(init=False)
    _drawn_at: float = field(init=False, default=float("-inf"))

    def __post_init__(self) -> None:
        """Begin to count the time."""
        self._done = self.begun_with
        self._started = self.clock()

    def move_to(self, done: int) -> None:
        """Show that *done* of all are done."""
        self._done = done
        if self.stream.isatty() and self.clock() - self._drawn_at >= REDRAW_S:
            self._drawn_at = self.clock()
            self.stream.write(CLEAR_LINE + self.line())
            self.stream.flush()

    def say(self, sentence: str) -> None:
        """Write a line, where the bar stood."""
        self.end()
        self.stream.write(sentence + "\n")

    def end(self) -> None:
        """Take the bar away."""
        if self.stream.isatty():
            self.stream.write(CLEAR_LINE)
        self._drawn_at = float("-inf")

    def line(self) -> str:
        """Return the bar as text."""
        share = self._done / self.total if self.total else 1.0
        filled = "#" * int(share * BAR_CHARS)
        line = f"[{filled:<{BAR_CHARS}}] {self._done:,}/{self.total:,}"
        here = self._done - self.begun_with
        elapsed_s = self.clock() - self._started
        if here <= 0 or elapsed_s <= 0:
            return line
        left_s = (self.total - self._done) * elapsed_s / here
        return f"{line}  {here / elapsed_s * MINUTE_S:,.0f}/min  {_span(left_s)} left"


def _span(seconds: float) -> str:
    if seconds < MINUTE_S:
        return f"{seconds:.0f} s"
    if seconds < HOUR_S:
        return f"{seconds / MINUTE_S:.0f} min"
    return f"{seconds / HOUR_S:.1f} h"
