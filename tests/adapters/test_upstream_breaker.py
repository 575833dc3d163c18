"""The breaker: it opens on failures, lets one probe through, and is closed by its answer."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes import Notices
from tests.upstreams import Clock
from tokensvc.adapters.breaker import PROBE_S, Breaker, BreakerRule, Outcome
from tokensvc.domain.errors import DirectoryUnavailableError

ANSWERED, FAILED, TIMED_OUT = Outcome.ANSWERED, Outcome.FAILED, Outcome.TIMED_OUT


class Subject:
    """A breaker on a clock that stands still, without jitter."""

    def __init__(self, rule: BreakerRule | None = None) -> None:
        self.clock = Clock()
        self.notices = Notices()
        self.rule = rule or BreakerRule()
        self.breaker = Breaker(
            self.rule, notify=self.notices, clock=self.clock, jitter=lambda _, longest: longest
        )

    def tries(self, outcome: Outcome | None, times: int = 1, *, uid: str | None = None) -> int:
        """Make tries that end like that, and return how many were let through."""
        passed = 0
        for _ in range(times):
            with suppress(DirectoryUnavailableError), self.breaker.watched(uid) as watch:
                watch.outcome = outcome
                passed += 1
        return passed

    def opened(self) -> "Subject":
        """Open it."""
        self.tries(TIMED_OUT, self.rule.timeouts_in_a_row)
        return self


def test_half_of_twenty_calls_open_it() -> None:
    """Ten failures of twenty calls are enough, nine are not."""
    nine, ten = Subject(), Subject()
    for subject, failures in ((nine, 9), (ten, 10)):
        subject.tries(ANSWERED, 20 - failures)
        subject.tries(FAILED, failures)

    assert (nine.tries(ANSWERED), ten.tries(ANSWERED)) == (1, 0)
    assert [event.facts for event in ten.notices.events] == [{"cause": "failures"}]
    assert ten.notices.events[0].is_alarm


def test_few_calls_do_not_open_it() -> None:
    """Nineteen failures alone say too little."""
    subject = Subject()

    assert subject.tries(FAILED, 19) == 19
    assert subject.tries(FAILED, 2) == 1


def test_failures_of_long_ago_do_not_count() -> None:
    """What is older than the window is forgotten."""
    subject = Subject()
    subject.tries(FAILED, 19)
    subject.clock.advance(10.5)

    assert subject.tries(FAILED, 19) == 19


def test_five_timeouts_in_a_row_open_it() -> None:
    """Hangs are known sooner; an answer in between begins the count anew."""
    broken, in_a_row = Subject(), Subject()
    broken.tries(TIMED_OUT, 4)
    broken.tries(ANSWERED)
    broken.tries(TIMED_OUT, 4)
    in_a_row.tries(TIMED_OUT, 5)

    assert (broken.tries(ANSWERED), in_a_row.tries(ANSWERED)) == (1, 0)
    assert in_a_row.notices.names() == ["breaker_opened"]


@pytest.mark.parametrize("outcome", [FAILED, TIMED_OUT])
def test_one_user_alone_opens_it_for_nobody(outcome: Outcome) -> None:
    """However often their calls fail; one more user whose call fails is enough."""
    subject = Subject()
    alone = subject.tries(outcome, 1000, uid="mallory")
    subject.tries(outcome, uid="alice")

    assert (alone, subject.tries(ANSWERED)) == (1000, 0)


def test_users_who_fail_within_the_window_come_together() -> None:
    """It is not the same moment that makes two users of them."""
    subject = Subject()
    subject.tries(FAILED, 10, uid="alice")
    subject.clock.advance(5.0)
    subject.tries(FAILED, 10, uid="bob")

    assert subject.tries(ANSWERED) == 0


def test_answer_in_between_forgets_who_has_timed_out() -> None:
    """Time-outs in a row are those of a row."""
    subject = Subject()
    subject.tries(TIMED_OUT, uid="alice")
    subject.tries(ANSWERED, uid="alice")

    assert subject.tries(TIMED_OUT, 10, uid="mallory") == 10


def test_one_failure_is_enough_where_the_rule_says_one() -> None:
    """Then there need not be a second user either."""
    subject = Subject(BreakerRule(min_calls=1))
    subject.tries(FAILED, uid="alice")

    assert subject.tries(ANSWERED) == 0


def test_refusals_do_not_count() -> None:
    """A thousand refusals (4xx) are a thousand answers."""
    assert Subject().tries(ANSWERED, 1000) == 1000


def test_open_says_when_to_come_back() -> None:
    """Who comes meanwhile is told the time that is left."""
    subject = Subject().opened()
    subject.clock.advance(0.5)

    with pytest.raises(DirectoryUnavailableError) as raised, subject.breaker.watched():
        pass

    assert (raised.value.reason, raised.value.retry_after_s) == ("breaker_open", 1.5)
    with pytest.raises(DirectoryUnavailableError):
        subject.breaker.demand_chance()


def test_one_probe_at_a_time() -> None:
    """After the time is over one try gets through, and the others wait for what it brings."""
    subject = Subject().opened()
    subject.clock.advance(2.0)

    with subject.breaker.watched() as probe:
        others = subject.tries(ANSWERED, 10)
        with pytest.raises(DirectoryUnavailableError) as raised:
            subject.breaker.demand_chance()
        probe.outcome = ANSWERED

    assert (probe.is_probe, others, raised.value.retry_after_s) == (True, 0, PROBE_S)
    assert subject.tries(ANSWERED, 10) == 10


def test_closing_is_told_with_the_length_of_it() -> None:
    """Whoever was alarmed learns that it is over, and how long it took."""
    subject = Subject().opened()
    subject.clock.advance(2.5)
    subject.tries(ANSWERED)

    event = subject.notices.events[-1]
    assert (event.name, event.facts, event.is_alarm) == ("breaker_closed", {"open_s": 2.5}, False)


def test_failed_probes_double_the_time_up_to_the_bound() -> None:
    """Each failed probe makes the next one rarer, and none later than the bound."""
    subject = Subject().opened()
    waits = []
    for _ in range(4):
        start = subject.clock()
        while not subject.tries(FAILED):
            subject.clock.advance(0.5)
        waits.append(subject.clock() - start)

    assert waits == [2.0, 4.0, 5.0, 5.0]
    assert subject.notices.names() == ["breaker_opened"]


def test_probe_that_learns_nothing_leaves_the_next_one_its_turn() -> None:
    """A probe that never got as far as CometChat does not shut the door for good."""
    subject = Subject().opened()
    subject.clock.advance(2.0)

    assert subject.tries(None) == 1
    assert subject.tries(ANSWERED) == 1
    assert subject.notices.names() == ["breaker_opened", "breaker_closed"]


def test_a_probe_that_raises_gives_its_place_back() -> None:
    """Whatever happens to the thread of the probe, another one may come."""
    subject = Subject().opened()
    subject.clock.advance(2.0)

    with pytest.raises(ZeroDivisionError), subject.breaker.watched():
        raise ZeroDivisionError

    assert subject.tries(ANSWERED) == 1


def test_late_ends_of_earlier_tries_change_nothing() -> None:
    """What was in flight when it opened neither closes it nor opens it for longer."""
    subject = Subject()
    with subject.breaker.watched() as good, subject.breaker.watched() as bad:
        subject.opened()
        good.outcome, bad.outcome = ANSWERED, TIMED_OUT

    assert subject.tries(ANSWERED) == 0
    subject.clock.advance(2.0)
    assert subject.tries(ANSWERED) == 1


def test_hold_keeps_everybody_away() -> None:
    """A Retry-After holds for all, to the second, and one probe ends it."""
    subject = Subject()
    subject.breaker.hold_for(15.0)
    subject.clock.advance(14.9)
    before = subject.tries(ANSWERED)
    subject.clock.advance(0.2)

    assert (before, subject.tries(ANSWERED)) == (0, 1)
    assert subject.notices.events[0].facts == {"cause": "retry_after"}


def test_shorter_hold_does_not_shorten_a_longer_one() -> None:
    """Of several wishes the longest counts."""
    subject = Subject()
    subject.breaker.hold_for(15.0)
    subject.breaker.hold_for(1.0)
    subject.clock.advance(2.0)

    assert subject.tries(ANSWERED) == 0


def test_jitter_shortens_by_half_at_most() -> None:
    """Two services that opened together do not probe together: the time is drawn from its half."""
    drawn: list[tuple[float, float]] = []

    def jitter(shortest: float, longest: float) -> float:
        drawn.append((shortest, longest))
        return shortest

    clock = Clock()
    breaker = Breaker(
        BreakerRule(timeouts_in_a_row=1), notify=Notices(), clock=clock, jitter=jitter
    )
    with breaker.watched() as watch:
        watch.outcome = TIMED_OUT
    clock.advance(1.0)

    breaker.demand_chance()
    assert drawn == [(1.0, 2.0)]


def test_sixteen_threads_get_one_probe() -> None:
    """However many come at once, exactly one of them is let through."""
    subject = Subject().opened()
    subject.clock.advance(2.0)
    everybody, all_tried = threading.Barrier(16), threading.Barrier(16)

    def come(_: int) -> int:
        everybody.wait(10)
        try:
            with subject.breaker.watched() as watch:
                all_tried.wait(10)
                watch.outcome = ANSWERED
                return 1
        except DirectoryUnavailableError:
            all_tried.wait(10)
            return 0

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(come, range(16))) == 1


@given(st.lists(st.tuples(st.sampled_from([ANSWERED, FAILED, TIMED_OUT]), st.floats(0, 3))))
def test_never_shut_for_longer_than_the_bound(steps: list[tuple[Outcome, float]]) -> None:
    """Whatever has happened, after the longest open time somebody is let through."""
    subject = Subject()
    for outcome, pause_s in steps:
        subject.tries(outcome)
        subject.clock.advance(pause_s)

    subject.clock.advance(subject.rule.max_open_s)

    assert subject.tries(ANSWERED) == 1
    assert subject.tries(ANSWERED) == 1
