"""Progress: a line that is drawn on a terminal alone."""

import io

from tests.fakes_sync import Clock
from tokensvc.cli.progress import CLEAR_LINE, Bar


class Terminal(io.StringIO):
    """What somebody looks at."""

    def isatty(self) -> bool:
        return True


def test_rate_and_time_left() -> None:
    """What was there before says nothing about how fast it goes."""
    clock = Clock()
    bar = Bar(100_000, Terminal(), clock, begun_with=10_000)
    clock.pass_by(60)
    bar.move_to(13_000)

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


def test_no_terminal() -> None:
    """A log file gets the sentences alone."""
    stream = io.StringIO()
    bar = Bar(10, stream, Clock())
    bar.move_to(5)
    bar.say("line 7: x")
    bar.end()

    assert stream.getvalue() == "line 7: x\n"
