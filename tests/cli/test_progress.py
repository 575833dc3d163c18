"""Progress: a line that is drawn on a terminal alone."""

import io
import os
import termios

from tests.fakes_sync import Clock
from tokensvc.cli.progress import CLEAR_LINE, Bar


class Terminal(io.StringIO):
    """What somebody looks at."""

    def isatty(self) -> bool:
        return True


def test_rate_and_time_left() -> None:
    """What was there before says nothing about how fast it goes, nor does the first batch."""
    clock = Clock()
    bar = Bar(100_000, Terminal(), clock, begun_with=10_000)
    clock.pass_by(30)
    bar.move_to(10_050)
    first = bar.line()
    clock.pass_by(30)
    bar.move_to(13_000)

    assert first == "[##                      ] 10,050/100,000"
    assert bar.line() == "[###                     ] 13,000/100,000  3,000/min  29 min left"


def test_beginning_and_end() -> None:
    """Nothing is said before something is known, and an empty list is done."""
    clock = Clock()

    assert Bar(10, Terminal(), clock).line() == "[                        ] 0/10"
    assert Bar(0, Terminal(), clock).line() == "[########################] 0/0"


def test_terminal() -> None:
    """The line is drawn over itself, a few times a second at most, and gives way to sentences."""
    clock, terminal = Clock(), Terminal()
    bar = Bar(10, terminal, clock)
    bar.move_to(1)
    bar.move_to(2)
    bar.say("line 7: x")

    assert terminal.getvalue() == (
        f"{CLEAR_LINE}[##                      ] 1/10{CLEAR_LINE}line 7: x\n"
    )


def test_narrow_terminal() -> None:
    """What does not fit is cut: a line that went on below would stay there."""
    reader, writer = os.openpty()
    termios.tcsetwinsize(writer, (24, 30))
    with os.fdopen(writer, "w") as terminal:
        Bar(100_000, terminal, Clock()).move_to(13_000)
        drawn = os.read(reader, 1000).decode()
    os.close(reader)

    assert drawn == f"{CLEAR_LINE}[###                     ] 13"


def test_no_terminal() -> None:
    """A log file gets the sentences alone."""
    stream = io.StringIO()
    bar = Bar(10, stream, Clock())
    bar.move_to(5)
    bar.say("line 7: x")
    bar.end()

    assert stream.getvalue() == "line 7: x\n"
