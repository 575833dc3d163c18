"""Pacing: evenly, and with patience."""

from dataclasses import dataclass, field

import pytest

from tokensvc.domain.errors import DirectoryUnavailableError
from tokensvc.domain.pacing import MAX_TRIES, Pace, Patience


@dataclass
class Bed:
    """Where somebody sleeps: time passes while they do."""

    time: float = 0.0
    slept: list[float] = field(default_factory=list)

    def clock(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds


def test_sixty_a_minute() -> None:
    """No minute, wherever it begins, sees more than 60 requests."""
    bed = Bed()
    pace = Pace(60, bed.clock, bed.sleep)
    times = []
    for number in range(300):
        pace.wait()
        times.append(bed.time)
        bed.time += 0.3 if number % 7 else 5.0

    assert max(sum(begin <= time < begin + 60 for time in times) for begin in times) <= 60
    assert times[-1] < 310 + 300 / 7 * 5


def test_no_burst_after_a_pause() -> None:
    """Time that was not used is not made up for."""
    bed = Bed()
    pace = Pace(60, bed.clock, bed.sleep)
    pace.wait()
    bed.time += 100
    pace.wait()
    pace.wait()

    assert bed.slept == [1.0]


def test_told_to_wait() -> None:
    """Retry-After is waited for, and told."""
    bed = Bed()
    told: list[tuple[float, str]] = []
    failures = [DirectoryUnavailableError("ERR_TOO_MANY_REQUESTS", retry_after_s=58.0)]

    def act() -> str:
        if failures:
            raise failures.pop()
        return "done"

    assert Patience(bed.sleep, lambda *pause: told.append(pause)).through(act) == "done"
    assert bed.slept == [58.0]
    assert told == [(58.0, "ERR_TOO_MANY_REQUESTS")]


def test_patience_ends() -> None:
    """After so many tries the error goes on; the pauses grow."""
    bed = Bed()

    def act() -> None:
        raise DirectoryUnavailableError("timeout")

    with pytest.raises(DirectoryUnavailableError):
        Patience(bed.sleep).through(act)

    assert bed.slept == [2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
    assert len(bed.slept) == MAX_TRIES - 1
