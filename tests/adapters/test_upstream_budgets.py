"""The budgets: of second tries, of places, and of requests in a minute."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes import Notices
from tests.upstreams import Clock
from tokensvc.adapters.bulkhead import Bulkhead
from tokensvc.adapters.errand import errand_within
from tokensvc.adapters.rate_headers import RateHeaders, rate_headers
from tokensvc.adapters.request_budget import RequestBudget
from tokensvc.adapters.retry_budget import RetryBudget
from tokensvc.domain.errors import DirectoryUnavailableError, OverloadedError

MINUTE = 60 * 30_000_000
"""A time of day at which a minute begins."""
LONG_S = 30.0


# Second tries.


def test_ten_calls_earn_one_second_try() -> None:
    """A tenth of all calls may be repeated, once what was there at first is used up."""
    budget = RetryBudget(0.1, most=1)
    first = [budget.withdraw(), budget.withdraw()]
    for _ in range(9):
        budget.deposit()
    after_nine = budget.withdraw()
    budget.deposit()

    assert (first, after_nine, budget.withdraw()) == ([True, False], False, True)


def test_savings_have_an_end() -> None:
    """A quiet night does not save up a storm of second tries."""
    budget = RetryBudget(0.1, most=10)
    for _ in range(10_000):
        budget.deposit()

    assert sum(budget.withdraw() for _ in range(100)) == 10


def test_ratio_of_nothing_is_no_second_try() -> None:
    """With 0 nothing is repeated, from the first call on."""
    budget = RetryBudget(0.0)
    budget.deposit()

    assert not budget.withdraw()


def test_sixteen_threads_share_one_retry_budget() -> None:
    """Of 16 threads with 1,000 calls each exactly a tenth and the first ten are repeated."""
    budget = RetryBudget(0.1, most=10)

    def work(_: int) -> int:
        done = 0
        for _ in range(1000):
            budget.deposit()
            done += budget.withdraw()
        return done

    with ThreadPoolExecutor(16) as pool:
        repeated = sum(pool.map(work, range(16)))
    while budget.withdraw():
        repeated += 1

    # A deposit into a full bucket is lost, which only the first few can be.
    assert 1600 <= repeated <= 1610


@given(st.lists(st.booleans()), st.integers(0, 100))
def test_retries_never_outgrow_their_part(steps: list[bool], percent: int) -> None:
    """Whatever the order of calls and repetitions, the part holds."""
    budget = RetryBudget(percent / 100, most=10)
    calls = repeated = 0
    for is_call in steps:
        if is_call:
            budget.deposit()
            calls += 1
        else:
            repeated += budget.withdraw()

    assert repeated <= 10 + calls * percent / 100


# Places.


def test_one_more_than_the_places_is_refused_at_once() -> None:
    """Nobody waits where nobody may."""
    bulkhead = Bulkhead(1, max_waiting=0, wait_s=LONG_S)

    with bulkhead.place(), pytest.raises(OverloadedError), bulkhead.place():
        pass


def test_those_who_find_no_place_come_back_apart() -> None:
    """All of them at the same second would find none again."""
    bulkhead = Bulkhead(1, max_waiting=0, wait_s=0.0)
    told: set[float | None] = set()
    with bulkhead.place():
        for _ in range(100):
            with pytest.raises(OverloadedError) as raised, bulkhead.place():
                pass
            told.add(raised.value.retry_after_s)

    assert told == {1, 2, 3, 4}


def test_waiting_for_a_place_ends() -> None:
    """Who may wait and gets no place in time is refused too, and leaves the queue to the next."""
    bulkhead = Bulkhead(1, max_waiting=1, wait_s=0.1)
    started = time.monotonic()

    with bulkhead.place():
        for _ in range(3):
            with pytest.raises(OverloadedError), bulkhead.place():
                pass

    assert time.monotonic() - started >= 0.3
    with bulkhead.place():
        pass


def test_who_waits_gets_the_place_that_becomes_free() -> None:
    """Between a place that is given back and the next call there is no refusal."""
    bulkhead = Bulkhead(1, max_waiting=1, wait_s=LONG_S)
    entered = threading.Event()

    def enter() -> None:
        with bulkhead.place():
            entered.set()

    with bulkhead.place():
        waiter = threading.Thread(target=enter)
        waiter.start()
        is_in = entered.is_set()
    waiter.join(LONG_S)

    assert (is_in, entered.is_set()) == (False, True)


def test_no_more_than_the_places_and_the_queue_hold_a_thread() -> None:
    """Of 16 at once 3 are in, 2 wait, and 11 are refused while those are still there."""
    bulkhead = Bulkhead(3, max_waiting=2, wait_s=LONG_S)
    refused, refusals = threading.Event(), []
    lock, release = threading.Lock(), threading.Event()
    inside: list[int] = []
    most: list[int] = []

    def come(number: int) -> None:
        try:
            with bulkhead.place():
                with lock:
                    inside.append(number)
                    most.append(len(inside))
                release.wait(LONG_S)
                with lock:
                    inside.remove(number)
        except OverloadedError:
            with lock:
                refusals.append(number)
                if len(refusals) == 11:
                    refused.set()

    with ThreadPoolExecutor(16) as pool:
        list_of_all = [pool.submit(come, number) for number in range(16)]
        assert refused.wait(LONG_S)
        release.set()
        for done in list_of_all:
            done.result()

    assert (len(refusals), max(most), len(most)) == (11, 3, 5)


# Requests in a minute.


def spend(budget: RequestBudget, share: str = "login", times: int = 1) -> int:
    """Spend, and return how many were allowed."""
    allowed = 0
    for _ in range(times):
        try:
            budget.spend("sync" if share == "sync" else "login")
        except DirectoryUnavailableError:
            break
        allowed += 1
    return allowed


def a_budget(clock: Clock, per_minute: int = 10, notices: Notices | None = None) -> RequestBudget:
    return RequestBudget(per_minute, notify=notices or Notices(), login_reserve=0.2, now=clock)


def test_plan_is_spent_and_comes_back_with_the_minute() -> None:
    """Ten a minute are ten, and Retry-After is the rest of the minute."""
    clock = Clock(MINUTE + 45.0)
    budget = a_budget(clock)
    first = spend(budget, times=20)
    with pytest.raises(DirectoryUnavailableError) as raised:
        budget.spend()
    clock.advance(15.0)

    assert (first, raised.value.reason, raised.value.retry_after_s) == (
        10,
        "request_budget_spent",
        15.0,
    )
    assert spend(budget, times=20) == 10


def test_sync_leaves_the_logins_their_reserve() -> None:
    """An import takes what is left above the reserve; logins take all."""
    budget = a_budget(Clock(MINUTE + 10.0))

    assert spend(budget, "sync", times=20) == 8
    assert spend(budget, "login", times=20) == 2


def test_sync_stops_where_logins_have_spent() -> None:
    """The reserve is of the whole plan: what logins have used of it is not there for others."""
    budget = a_budget(Clock(MINUTE + 10.0))
    spend(budget, "login", times=8)

    assert spend(budget, "sync") == 0
    assert spend(budget, "login", times=5) == 2


def test_spent_budget_is_told_once_a_minute() -> None:
    """One alarm, not one for each login."""
    clock, notices = Clock(MINUTE + 10.0), Notices()
    budget = a_budget(clock, notices=notices)
    spend(budget, times=10)
    for _ in range(5):
        spend(budget)
    clock.advance(60.0)
    spend(budget, times=11)

    assert notices.names() == ["request_budget_spent"] * 2
    assert notices.events[0].facts == {"share": "login", "limit": 10}
    assert notices.events[0].is_alarm


def test_logins_without_any_calls_left_are_an_alarm_of_their_own() -> None:
    """An import that has left the logins their reserve has said nothing of their end."""
    notices = Notices()
    budget = a_budget(Clock(MINUTE + 10.0), notices=notices)
    spend(budget, "sync", times=9)
    spend(budget, "login", times=3)

    assert [(event.facts["share"], event.is_alarm) for event in notices.events] == [
        ("sync", False),
        ("login", True),
    ]


def test_asking_for_a_chance_spends_nothing() -> None:
    """Whether a login could be served is known before it counts anywhere."""
    budget = a_budget(Clock(MINUTE + 10.0))
    for _ in range(20):
        budget.demand_chance()
    left = spend(budget, times=20)

    with pytest.raises(DirectoryUnavailableError) as raised:
        budget.demand_chance()
    assert left == 10
    assert (raised.value.reason, raised.value.retry_after_s) == ("request_budget_spent", 50.0)


def test_nothing_remaining_means_the_next_minute() -> None:
    """CometChat's own count goes before ours."""
    clock = Clock(MINUTE + 10.0)
    budget = a_budget(clock)
    spend(budget)
    budget.learn(RateHeaders(limit=10, remaining=0))
    meanwhile = spend(budget)
    clock.advance(50.0)

    assert (meanwhile, spend(budget)) == (0, 1)


@pytest.mark.parametrize(
    ("rate", "left"),
    [
        (RateHeaders(), 9),
        (RateHeaders(limit=10), 9),
        (RateHeaders(limit=10, remaining=9), 9),
        (RateHeaders(limit=10, remaining=4), 4),
        (RateHeaders(limit=5, remaining=3), 3),
        (RateHeaders(limit=10_000, remaining=9_000), 9),
        (RateHeaders(limit=10_000, remaining=9_999), 9),
        (RateHeaders(remaining=4), 4),
        (RateHeaders(limit=10_000, remaining=0), 0),
        (RateHeaders(limit=0, remaining=0), 0),
    ],
)
def test_what_others_have_used_of_the_app(rate: RateHeaders, left: int) -> None:
    """What others have used is gone, and more than our setting is never taken."""
    budget = a_budget(Clock(MINUTE + 10.0))
    spend(budget)
    budget.learn(rate)

    assert spend(budget, times=50) == left


def test_word_about_the_minute_before_is_not_about_this_one() -> None:
    """An answer in the first seconds of a minute may come from a clock that lags."""
    budget = a_budget(Clock(MINUTE + 1.0))
    budget.learn(RateHeaders(limit=10, remaining=0))

    assert spend(budget, times=50) == 10


def test_sixteen_threads_share_one_request_budget() -> None:
    """However many ask at once, exactly the plan is spent."""
    budget = a_budget(Clock(MINUTE + 10.0), per_minute=1000)

    def work(_: int) -> int:
        return spend(budget, times=1000)

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(work, range(16))) == 1000


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, RateHeaders()),
        ({"x-rate-limit": "500", "x-rate-limit-remaining": "7"}, RateHeaders(500, 7)),
        ({"x-ratelimit-limit": "500", "x-ratelimit-remaining": "0"}, RateHeaders(500, 0)),
        ({"x-rate-limit-remaining": "9", "x-ratelimit-remaining": "3"}, RateHeaders(None, 3)),
        ({"x-rate-limit": "many", "x-rate-limit-remaining": "-1"}, RateHeaders()),
        ({"x-rate-limit": "9" * 5000, "x-ratelimit-remaining": "\u0663"}, RateHeaders()),
    ],
)
def test_rate_headers(headers: dict[str, str], expected: RateHeaders) -> None:
    """Both spellings are read, and nonsense says nothing."""
    assert rate_headers(headers) == expected


# Errands.


def test_calls_of_one_login_share_its_time() -> None:
    """A block inside of another adds neither time nor tries."""
    clock = Clock()
    with errand_within(5.0, clock) as outer:
        clock.advance(3.0)
        with errand_within(5.0, clock) as inner:
            left_s = inner.left_s()
            inner.extra_tries -= 1

    assert (left_s, outer.extra_tries) == (2.0, 0)
    with errand_within(5.0, clock) as another:
        assert (another.left_s(), another.extra_tries) == (5.0, 1)


def test_logins_in_other_threads_have_errands_of_their_own() -> None:
    """What one login has used up is not missing in another's."""
    with errand_within(5.0) as outer, ThreadPoolExecutor(1) as pool:

        def look() -> bool:
            with errand_within(5.0) as other:
                return other is outer

        assert pool.submit(look).result() is False
