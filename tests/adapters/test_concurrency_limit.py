"""The concurrency limit: as many as the core can serve, found out while they come."""

from itertools import pairwise

import pytest

from tests.upstreams import Clock
from tokensvc.adapters.concurrency_limit import (
    BEAT_S,
    BEATS,
    COMPUTING,
    LATE_S,
    LEAST,
    RESTS_S,
    WATCHED_FROM,
    ConcurrencyLimit,
)
from tokensvc.domain.audit import RequestRecord, VendorCall

MOST = 168
LATE, IN_TIME = 2 * LATE_S, LATE_S / 2


class Core:
    """A core, on which beats come as late as is said, and the limit that they set."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.limit = ConcurrencyLimit(MOST, clock=self.clock)
        self.woken = 0
        self.limit.wake = self._wake
        self.limit.beat()

    def passes(self, late_s: float, *, per_s: float = 0, vendor_s: float = 0.02) -> float:
        """Let the limit be set anew, after beats that late and so many logins a second."""
        for _ in range(round(per_s * (BEAT_S + late_s) * BEATS)):
            self.answers(vendor_s)
            # Refused for its token, it asked nobody.
            self.limit.observe(RequestRecord("", 0.0, "POST", "/v1/auth-tokens"))
        if per_s:
            self.answers(vendor_s + 0.5)  # its thread has waited for a turn, too
            self.answers(0.001, "directory_unavailable")  # no connection
        for _ in range(BEATS):
            self.clock.advance(BEAT_S + late_s)
            next_s = self.limit.beat()
        return next_s

    def is_crowded(self, refused: int = 1_000) -> None:
        """Let so many more come than there can be room for."""
        self.limit.has_room(MOST)
        for _ in range(refused):
            self.limit.note_refusal()

    def answers(self, vendor_s: float, outcome: str = "ok") -> None:
        record = RequestRecord("", 0.0, "POST", "/v1/auth-tokens")
        record.outcome = outcome
        record.vendor_calls.append(VendorCall("create_auth_token", "ok", vendor_s))
        self.limit.observe(record)

    def room(self) -> int:
        """Return how many may be inside, without a crowd to find it out."""
        limit: int = self.limit._limit  # noqa: SLF001 (to ask would be one who found no room)
        return limit

    def _wake(self) -> bool:
        self.woken += 1
        return True


@pytest.fixture
def core() -> Core:
    """Return a core with nothing to do."""
    return Core()


def test_a_thread_is_asked_for_now_and_then(core: Core) -> None:
    """At its limit of threads a process is not asked for one by each login."""
    core.limit.wake = lambda: core._wake() and False  # noqa: SLF001 (it counts)
    for _ in range(100):
        core.limit.has_room(WATCHED_FROM)
    core.clock.advance(1)
    core.limit.has_room(WATCHED_FROM)

    assert core.woken == 2


def test_there_is_room_for_as_many_as_can_wait(core: Core) -> None:
    """At first nobody is refused who would find a place."""
    assert core.limit.has_room(MOST - 1)
    assert not core.limit.has_room(MOST)


def test_a_quiet_process_has_no_pulse(core: Core) -> None:
    """Nobody looks how late beats are before there is a crowd, and one call is enough then."""
    core.limit.has_room(WATCHED_FROM - 1)
    quiet = core.woken
    for _ in range(3):
        core.limit.has_room(WATCHED_FROM)

    assert (quiet, core.woken) == (0, 1)


@pytest.mark.parametrize(("vendor_s", "waiting"), [(0.02, 20), (0.08, 80)])
def test_as_many_as_wait_and_a_few_more(core: Core, vendor_s: float, waiting: int) -> None:
    """Too many for the core: those in flight stay welcome, however slow CometChat is."""
    core.is_crowded()

    core.passes(LATE, per_s=1000, vendor_s=vendor_s)

    assert abs(core.room() - (COMPUTING + waiting)) <= 2
    assert core.limit.has_room(core.room() - 1)
    assert not core.limit.has_room(core.room())


@pytest.mark.parametrize(("has_refused", "late_s"), [(False, LATE), (True, IN_TIME)])
def test_one_sign_alone_says_nothing(core: Core, *, has_refused: bool, late_s: float) -> None:
    """Where all found room nothing has to be quick; where beats are in time all is."""
    core.limit.has_room(MOST - 1)
    if has_refused:
        core.limit.note_refusal()

    core.passes(late_s, per_s=1000)

    assert core.room() == MOST


@pytest.mark.parametrize(("refused", "lets_in_fewer"), [(20, False), (35, True)])
def test_a_few_refusals_are_no_crowd(core: Core, refused: int, *, lets_in_fewer: bool) -> None:
    """Where nearly all are served, the others may be too: fewer places would refuse yet more."""
    core.is_crowded(refused)

    core.passes(LATE, per_s=1000)

    assert (core.room() < MOST) is lets_in_fewer


def test_a_few_are_let_in_always(core: Core) -> None:
    """Nothing was answered yet, and some have to be for anything to be measured."""
    core.is_crowded()

    core.passes(LATE)

    assert core.room() == LEAST


def test_it_never_rises_while_beats_are_late(core: Core) -> None:
    """A faster moment among slow ones lets nobody more in."""
    core.is_crowded()
    core.passes(LATE)
    core.is_crowded()

    core.passes(LATE, per_s=5000)

    assert core.room() == LEAST


def test_it_rises_again(core: Core) -> None:
    """With the core in time it grows step by step to where it was, within ten seconds."""
    core.is_crowded()
    core.passes(LATE)

    rooms = []
    for _ in range(100):
        core.limit.has_room(WATCHED_FROM)
        core.passes(IN_TIME)
        rooms.append(core.room())

    assert rooms == sorted(rooms)
    assert (rooms[0], rooms[-1]) == (LEAST + 2, MOST)
    assert max(after - before for before, after in pairwise(rooms)) <= 9


def test_it_rests_when_the_crowd_is_gone(core: Core) -> None:
    """A quiet tenth of a second, and all is as in the beginning."""
    core.is_crowded()
    core.passes(LATE)

    assert core.passes(IN_TIME) == RESTS_S
    assert core.room() == MOST
    core.limit.has_room(WATCHED_FROM)
    assert core.woken == 2


def test_a_rest_is_not_late(core: Core) -> None:
    """The first beat after a rest says nothing of the core, and begins to count."""
    core.is_crowded()
    core.passes(IN_TIME)
    core.passes(IN_TIME)
    core.clock.advance(RESTS_S)
    core.limit.beat()
    core.is_crowded()

    core.passes(LATE, per_s=1000)

    assert abs(core.room() - (COMPUTING + 20)) <= 2
