"""Upstream: what every call to CometChat is held to, whichever call it is.

One deadline over all calls of a login, one more try where that is safe, allowed
and in time, and none at all where it would be in vain: past the breaker, the
bulkhead and the request budget. Nothing is asked twice at once (no hedging).
"""

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar

from tokensvc.adapters.breaker import Breaker, Outcome, Watch
from tokensvc.adapters.bulkhead import Bulkhead
from tokensvc.adapters.errand import Clock, Errand, errand_within
from tokensvc.adapters.failed_try import FailedTryError, failed_by, lost_by
from tokensvc.adapters.http_client import HTTPAnswer, HTTPFailureError
from tokensvc.adapters.request_budget import RequestBudget, Share
from tokensvc.adapters.retry_budget import RetryBudget
from tokensvc.domain.audit import VendorCall
from tokensvc.domain.errors import DirectoryUnavailableError, OverloadedError, TokenServiceError

T = TypeVar("T")

PAUSE_S: Final = (0.05, 0.25)
"""Full jitter: those who failed together shall not come back together."""
SHORTEST_TRY_S: Final = 0.1
"""With less time than this left, one more try would only be one more load."""
MAX_HOLD_S: Final = 60.0
"""The longest Retry-After that is believed: the vendor's window is a minute (documented)."""


@dataclass(slots=True)
class Request:
    """One request of ours. It may be sent a second time: what that may do, the client knows."""

    operation: str
    method: str
    path: str
    body: bytes = field(repr=False)
    share: Share = "login"
    subject: str | None = None
    """The user whom it is about, if it is about one."""
    may_be_done: bool = False
    """Whether a try of it that brought nothing may have been carried out, unseen."""
    has_own_limit: bool = False
    """Whether CometChat counts it apart: what it says then is not about the other calls."""


class Sender(Protocol):
    """What sends a request once, and never twice."""

    def send(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str], within_s: float
    ) -> HTTPAnswer:
        """Return the whole answer within *within_s*, or raise `HTTPFailureError`."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The limits that all calls share, each with a count of its own."""

    breaker: Breaker
    bulkhead: Bulkhead
    retry_budget: RetryBudget
    request_budget: RequestBudget
    errand_s: float = 5.0
    """What all calls of one login may take together."""

    def is_hopeless(self) -> bool:
        """Whether a call that came now would be refused at once, to be tried again in seconds.

        Not for the plan's minute: whoever comes too late for it is told how long it lasts.
        """
        return self.bulkhead.is_full() or not self.breaker.has_chance()

    def demand_chance(self) -> None:
        """Raise `DirectoryUnavailableError` if a call that came now would be refused at once."""
        self.breaker.demand_chance()
        if self.bulkhead.is_full():
            raise OverloadedError
        self.request_budget.demand_chance()


class Upstream:
    """Sends requests under the policy. *observe_try* is told of every try."""

    def __init__(
        self,
        sender: Sender,
        policy: Policy,
        *,
        observe_try: Callable[[VendorCall], None],
        clock: Clock = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.policy = policy
        self.sender = sender
        self._clock = clock
        self._jitter = random.uniform
        self._observe_try = observe_try
        self._sleep = sleep

    def call(
        self, request: Request, headers: Mapping[str, str], read: Callable[[HTTPAnswer], T]
    ) -> T:
        """Return what *read* makes of the answer to *request*.

        What *read* raises says how CometChat is: a `DirectoryUnavailableError` that
        it makes no sense or is busy, any other error that it has answered.
        """
        policy = self.policy
        # Asked before the bulkhead: its places may still be held by those who opened the breaker.
        policy.breaker.demand_chance()
        with errand_within(policy.errand_s, self._clock) as errand, policy.bulkhead.place():
            policy.retry_budget.deposit()
            while True:
                try:
                    return self._try(request, headers, read, errand)
                except FailedTryError as failed:
                    pause_s = self._pause_before_another(failed, errand)
                    if pause_s is None:
                        raise self._last_word(failed) from None
                self._sleep(pause_s)

    def _try(
        self,
        request: Request,
        headers: Mapping[str, str],
        read: Callable[[HTTPAnswer], T],
        errand: Errand,
    ) -> T:
        with self.policy.breaker.watched(request.subject) as watch:
            within_s = errand.left_s()
            if within_s <= 0:
                raise DirectoryUnavailableError("deadline_passed")
            self.policy.request_budget.spend(request.share)
            try:
                value = self._observed(request, headers, read, within_s)
            except FailedTryError as failed:
                request.may_be_done |= failed.is_lost
                watch.outcome = self._outcome_to_count(failed, watch, errand)
                # A probe asks for all: when it fails, it is over.
                failed.may_repeat &= not watch.is_probe
                raise
            except TokenServiceError:
                watch.outcome = Outcome.ANSWERED
                raise
            watch.outcome = Outcome.ANSWERED
            return value

    def _outcome_to_count(
        self, failed: FailedTryError, watch: Watch, errand: Errand
    ) -> Outcome | None:
        """Return what the breaker is told: an errand's second failure is no news."""
        if failed.outcome is Outcome.ANSWERED:
            return failed.outcome
        is_news = watch.is_probe or not errand.has_failed
        errand.has_failed = True
        return failed.outcome if is_news else None

    def _observed(
        self,
        request: Request,
        headers: Mapping[str, str],
        read: Callable[[HTTPAnswer], T],
        within_s: float,
    ) -> T:
        started = time.perf_counter()
        outcome, is_lost = "ok", False
        try:
            return self._exchange(request, headers, read, within_s)
        except FailedTryError as failed:
            outcome, is_lost = failed.meaning.reason, failed.is_lost
            raise
        except TokenServiceError as error:
            outcome = error.reason
            raise
        finally:
            duration_s = time.perf_counter() - started
            call = VendorCall(request.operation, outcome, duration_s, answer_lost=is_lost)
            self._observe_try(call)

    def _exchange(
        self,
        request: Request,
        headers: Mapping[str, str],
        read: Callable[[HTTPAnswer], T],
        within_s: float,
    ) -> T:
        try:
            answer = self.sender.send(request.method, request.path, request.body, headers, within_s)
        except HTTPFailureError as failure:
            raise lost_by(failure) from None
        if not request.has_own_limit:
            self.policy.request_budget.learn(answer.rate)
        try:
            return read(answer)
        except DirectoryUnavailableError as error:
            raise failed_by(answer, error) from None

    def _pause_before_another(self, failed: FailedTryError, errand: Errand) -> float | None:
        """Return how long to wait before one more try, or None if there is to be none."""
        shortest_s, longest_s = PAUSE_S
        pause_s = self._jitter(shortest_s, longest_s) + (failed.asked_s or 0.0)
        if (
            failed.may_repeat
            and errand.extra_tries > 0
            and pause_s + SHORTEST_TRY_S <= errand.left_s()
            and self.policy.retry_budget.withdraw()
        ):
            errand.extra_tries -= 1
            return pause_s
        return None

    def _last_word(self, failed: FailedTryError) -> DirectoryUnavailableError:
        """Return what the caller is told; where the vendor asked for a pause, all keep it."""
        if failed.asked_s is None:
            return failed.meaning
        hold_s = min(failed.asked_s, MAX_HOLD_S)
        self.policy.breaker.hold_for(hold_s)
        return DirectoryUnavailableError(failed.meaning.reason, retry_after_s=hold_s)
