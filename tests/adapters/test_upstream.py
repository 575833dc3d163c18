"""Upstream: how often a call is made, how long it may take, and when it is not made at all."""

import json
from typing import Any

import pytest

from tests.fakes import Notices
from tests.upstreams import PLENTY, Clock, ScriptedSender, a_policy
from tokensvc.adapters.breaker import BreakerRule
from tokensvc.adapters.errand import errand_within
from tokensvc.adapters.http_client import HTTPAnswer, HTTPFailureError
from tokensvc.adapters.rate_headers import RateHeaders
from tokensvc.adapters.request_budget import RequestBudget
from tokensvc.adapters.upstream import MAX_HOLD_S, PAUSE_S, Request, Upstream
from tokensvc.domain.audit import VendorCall
from tokensvc.domain.errors import (
    DirectoryMisconfiguredError,
    DirectoryUnavailableError,
    OverloadedError,
    UserNotFoundError,
)

GOOD = HTTPAnswer(200, b"{}", is_json=True)
TIMEOUT = HTTPFailureError("timeout", is_sent=True)
RESET = HTTPFailureError("connection_failed", is_sent=True)
REFUSED = HTTPFailureError("connection_failed")


def status(code: int, retry_after_s: float | None = None) -> HTTPAnswer:
    return HTTPAnswer(code, b"", is_json=False, retry_after_s=retry_after_s)


def read(answer: HTTPAnswer) -> str:
    """Read as CometChat's client does, in small."""
    if answer.status == 404:
        raise UserNotFoundError("ERR_UID_NOT_FOUND")
    if answer.status == 401:
        raise DirectoryMisconfiguredError("AUTH_ERR_APIKEY_NOT_FOUND")
    if answer.status != 200:
        raise DirectoryUnavailableError(f"answer_not_understood_{answer.status}")
    return "good"


class Subject:
    """Upstream over a script, on a clock that stands still."""

    def __init__(
        self, *results: HTTPAnswer | HTTPFailureError, takes_s: float = 0.0, **policy: Any
    ) -> None:
        self.clock = Clock()
        self.sender = ScriptedSender(self.clock, list(results), takes_s)
        self.notices = Notices()
        self.tries: list[VendorCall] = []
        self.policy = a_policy(self.clock, notices=self.notices, **policy)
        self.upstream = Upstream(
            self.sender,
            self.policy,
            observe_try=self.tries.append,
            clock=self.clock,
            sleep=self.clock.sleep,
        )

    def call(self) -> str:
        return self.upstream.call(a_request(), {"apikey": "k"}, read)

    def refusal(self) -> DirectoryUnavailableError:
        with pytest.raises(DirectoryUnavailableError) as raised:
            self.call()
        return raised.value


def a_request() -> Request:
    return Request("create_auth_token", "POST", "/users/alice/auth_tokens", json.dumps({}).encode())


def test_good_call_is_made_once() -> None:
    """Where nothing goes wrong there is one try, with the whole time."""
    subject = Subject(GOOD)

    assert subject.call() == "good"
    assert (subject.sender.allowed_s, subject.clock.pauses) == ([5.0], [])
    assert [(seen.outcome, seen.answer_lost) for seen in subject.tries] == [("ok", False)]


@pytest.mark.parametrize(
    "failure",
    [TIMEOUT, RESET, REFUSED, status(500), status(502), status(503), status(504), status(429)],
    ids=["timeout", "reset", "refused", "500", "502", "503", "504", "429"],
)
def test_lost_or_failed_call_is_made_once_more(failure: HTTPAnswer | HTTPFailureError) -> None:
    """After a short pause with full jitter, and the second answer counts."""
    subject = Subject(failure, GOOD)

    assert subject.call() == "good"
    assert len(subject.sender.sent) == 2
    assert PAUSE_S[0] <= subject.clock.pauses[0] <= PAUSE_S[1]


@pytest.mark.parametrize(
    "failure",
    [status(400), status(402), status(404), status(409), status(401), status(302)],
    ids=lambda answer: str(answer.status),
)
def test_refusals_are_not_repeated(failure: HTTPAnswer) -> None:
    """What CometChat has decided it would decide again."""
    subject = Subject(failure)

    with pytest.raises((DirectoryUnavailableError, DirectoryMisconfiguredError, UserNotFoundError)):
        subject.call()

    assert len(subject.sender.sent) == 1


def test_certificate_that_proves_nothing_is_not_asked_for_again() -> None:
    """Who is not CometChat now will not be it in a moment."""
    subject = Subject(HTTPFailureError("tls_failed"))

    assert subject.refusal().reason == "tls_failed"
    assert len(subject.sender.sent) == 1


def test_two_tries_are_all() -> None:
    """A call that fails twice has failed."""
    subject = Subject(status(500))

    assert subject.refusal().reason == "answer_not_understood_500"
    assert len(subject.sender.sent) == 2


def test_one_login_has_one_second_try_in_all() -> None:
    """Three calls of a login share it: what the first has used, the others do not have."""
    subject = Subject(RESET, GOOD, RESET, GOOD)

    with errand_within(5.0, subject.clock):
        subject.call()
        refusal = subject.refusal()

    assert (refusal.reason, len(subject.sender.sent)) == ("connection_failed", 3)


def test_calls_of_a_login_share_its_deadline() -> None:
    """What the first call has taken is not there for the next."""
    subject = Subject(GOOD, takes_s=2.0)

    with errand_within(5.0, subject.clock):
        subject.call()
        subject.call()
        subject.call()
        refusal = subject.refusal()

    assert subject.sender.allowed_s == [5.0, 3.0, 1.0]
    assert refusal.reason == "deadline_passed"


def test_second_try_must_fit() -> None:
    """With too little time left there is no second try, and no pause."""
    subject = Subject(TIMEOUT, GOOD, takes_s=4.95)

    assert subject.refusal().reason == "timeout"
    assert subject.clock.pauses == []


def test_whole_call_ends_by_its_deadline() -> None:
    """However slow the tries are, pauses included."""
    subject = Subject(TIMEOUT, takes_s=2.0)
    started = subject.clock()

    subject.refusal()

    assert subject.clock() - started <= 5.0
    assert subject.sender.allowed_s[1] < 3.0


def test_retry_budget_is_asked() -> None:
    """Where all calls fail, a tenth of them is repeated and no more."""
    subject = Subject(status(500), rule=BreakerRule(min_calls=PLENTY, timeouts_in_a_row=PLENTY))
    for _ in range(200):
        subject.refusal()

    assert 200 + 20 <= len(subject.sender.sent) <= 200 + 30


def test_short_retry_after_is_waited_for() -> None:
    """Where it fits into the deadline the second try comes after it, not before."""
    subject = Subject(status(429, 2.0), GOOD)

    assert subject.call() == "good"
    assert 2.0 + PAUSE_S[0] <= subject.clock.pauses[0] <= 2.0 + PAUSE_S[1]


@pytest.mark.parametrize("code", [429, 503])
def test_long_retry_after_holds_for_all(code: int) -> None:
    """Where it does not fit nobody calls until then, and each is told the time."""
    subject = Subject(status(code, 15.0), GOOD)
    first = subject.refusal()
    subject.clock.advance(5.0)
    second = subject.refusal()
    subject.clock.advance(10.0)

    assert (first.retry_after_s, second.reason, second.retry_after_s) == (15, "breaker_open", 10)
    assert (len(subject.sender.sent), subject.call()) == (1, "good")
    assert subject.notices.names() == ["breaker_opened", "breaker_closed"]


def test_retry_after_of_a_day_is_not_believed() -> None:
    """CometChat counts by the minute: after one, somebody asks again."""
    subject = Subject(status(429, 3600.0), GOOD)

    assert subject.refusal().retry_after_s == MAX_HOLD_S
    subject.clock.advance(MAX_HOLD_S)
    assert subject.call() == "good"


def test_retry_after_of_a_500_is_about_something_else() -> None:
    """Only 429 and 503 ask for patience."""
    subject = Subject(status(500, 15.0))
    subject.refusal()

    assert subject.notices.events == []


def test_retry_after_without_a_second_try_left_holds_too() -> None:
    """Whoever may not wait for it lets everybody wait."""
    subject = Subject(status(429, 1.0))
    refusal = subject.refusal()

    assert (len(subject.sender.sent), refusal.retry_after_s) == (2, 1.0)
    assert subject.refusal().reason == "breaker_open"


def test_open_breaker_refuses_at_once() -> None:
    """While it is open nothing is sent, counted, paused for or held."""
    subject = Subject(TIMEOUT, places=1)
    for _ in range(5):
        subject.refusal()
    sent = len(subject.sender.sent)

    with subject.policy.bulkhead.place():
        refusal = subject.refusal()

    assert (refusal.reason, sent, len(subject.sender.sent)) == ("breaker_open", 9, 9)
    assert (refusal.retry_after_s or 0) >= 1.0


@pytest.mark.parametrize("failure", [TIMEOUT, status(500)], ids=["timeout", "500"])
def test_login_fails_once_however_many_tries_it_had(failure: HTTPAnswer | HTTPFailureError) -> None:
    """Its calls and their second tries are one failure: three of four are not yet four."""
    subject = Subject(failure, rule=BreakerRule(min_calls=4, timeouts_in_a_row=4))
    for _ in range(3):
        with errand_within(5.0, subject.clock):
            subject.refusal()
            subject.refusal()
    sent, names = len(subject.sender.sent), subject.notices.names()
    subject.refusal()

    assert (sent, names) == (9, [])
    assert subject.notices.names() == ["breaker_opened"]


def test_failed_probe_is_a_failure_whatever_its_login_has_met() -> None:
    """A login whose second try is the probe: all others wait for what it brings."""
    subject = Subject(TIMEOUT)
    with errand_within(60.0, subject.clock):
        subject.refusal()
        subject.policy.breaker.hold_for(1.0)
        subject.clock.advance(1.0)
        subject.refusal()

    assert subject.refusal().reason == "breaker_open"


def test_failed_probe_is_not_repeated() -> None:
    """One probe asks for all, once."""
    subject = Subject(TIMEOUT)
    for _ in range(5):
        subject.refusal()
    subject.clock.advance(5.0)
    before = len(subject.sender.sent)

    assert subject.refusal().reason == "timeout"
    assert len(subject.sender.sent) == before + 1


def test_refusals_keep_the_breaker_closed() -> None:
    """A hundred users who are not found are a hundred answers."""
    subject = Subject(status(404))
    for _ in range(100):
        with pytest.raises(UserNotFoundError):
            subject.call()

    assert subject.notices.events == []


def test_nonsense_opens_the_breaker() -> None:
    """A vendor who answers 200 and nothing of use is down as well."""
    subject = Subject(HTTPAnswer(200, b"<html>", is_json=False))

    def nonsense(_: HTTPAnswer) -> str:
        raise DirectoryUnavailableError("answer_not_understood_200")

    for _ in range(20):
        with pytest.raises(DirectoryUnavailableError):
            subject.upstream.call(a_request(), {}, nonsense)

    assert subject.notices.names() == ["breaker_opened"]


def test_full_bulkhead_refuses() -> None:
    """With all places taken nothing is sent; and a probe that finds no place is not the last."""
    subject = Subject(GOOD, places=1)
    subject.policy.breaker.hold_for(1.0)
    subject.clock.advance(1.0)

    with subject.policy.bulkhead.place(), pytest.raises(OverloadedError):
        subject.call()

    assert subject.sender.sent == []
    assert subject.call() == "good"


def test_spent_request_budget_sends_nothing() -> None:
    """Over the plan's limit nothing is sent, and CometChat is not to blame."""
    budget = RequestBudget(3, notify=Notices(), now=lambda: 60 * 30_000_000 + 10.0)
    subject = Subject(GOOD, request_budget=budget)
    for _ in range(3):
        subject.call()

    refusal = subject.refusal()

    assert (refusal.reason, refusal.retry_after_s) == ("request_budget_spent", 50.0)
    assert (len(subject.sender.sent), subject.notices.events) == (3, [])


def test_second_tries_are_spent_too() -> None:
    """CometChat counts every request, and so do we."""
    budget = RequestBudget(3, notify=Notices(), now=lambda: 60 * 30_000_000 + 10.0)
    subject = Subject(status(500), request_budget=budget)
    subject.refusal()

    assert subject.refusal().reason == "request_budget_spent"
    assert len(subject.sender.sent) == 3


def test_rate_headers_are_learnt() -> None:
    """What the answer says is left, is left."""
    budget = RequestBudget(500, notify=Notices(), now=lambda: 60 * 30_000_000 + 10.0)
    answer = HTTPAnswer(200, b"{}", is_json=True, rate=RateHeaders(500, 0))
    subject = Subject(answer, request_budget=budget)
    subject.call()

    assert subject.refusal().reason == "request_budget_spent"


def test_every_try_is_observed() -> None:
    """The record has each request, how it ended, and whether its answer was lost."""
    subject = Subject(TIMEOUT, status(500))
    subject.refusal()

    assert [(seen.operation, seen.outcome, seen.answer_lost) for seen in subject.tries] == [
        ("create_auth_token", "timeout", True),
        ("create_auth_token", "answer_not_understood_500", True),
    ]


def test_connection_that_was_never_made_leaves_nothing_behind() -> None:
    """What was not sent was not done."""
    subject = Subject(REFUSED)
    subject.refusal()

    assert [seen.answer_lost for seen in subject.tries] == [False, False]
