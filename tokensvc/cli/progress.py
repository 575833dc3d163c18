"""Progress: how far a command has come, how fast it goes, and how long it will take yet."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TextIO

BAR_CHARS: Final = 24
REDRAW_S: Final = 0.2
MOVES_TO_JUDGE_BY: Final = 2
USUAL_COLUMNS: Final = 80
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
    _moves: int = field(init=False, default=0)
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
        self._moves += 1
        if self.stream.isatty() and self.clock() - self._drawn_at >= REDRAW_S:
            self._drawn_at = self.clock()
            self.stream.write(CLEAR_LINE + self.line()[: self._columns() - 1])
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

    def _columns(self) -> int:
        """Return how wide the terminal is: what goes on below would not be drawn over."""
        try:
            return os.get_terminal_size(self.stream.fileno()).columns or USUAL_COLUMNS
        except OSError:
            return USUAL_COLUMNS

    def line(self) -> str:
        """Return the bar as text."""
        share = self._done / self.total if self.total else 1.0
        filled = "#" * int(share * BAR_CHARS)
        line = f"[{filled:<{BAR_CHARS}}] {self._done:,}/{self.total:,}"
        here = self._done - self.begun_with
        elapsed_s = self.clock() - self._started
        # The first batch waits for nothing, and says nothing about the next ones.
        if self._moves < MOVES_TO_JUDGE_BY or here <= 0 or elapsed_s <= 0:
            return line
        left_s = (self.total - self._done) * elapsed_s / here
        speed = f"{here / elapsed_s * MINUTE_S:,.0f}/min"
        return f"{line}  {speed}  {_span(left_s)} left"


def _span(seconds: float) -> str:
    if seconds < MINUTE_S:
        return f"{seconds:.0f} s"
    if seconds < HOUR_S:
        return f"{seconds / MINUTE_S:.0f} min"
    return f"{seconds / HOUR_S:.1f} h"
