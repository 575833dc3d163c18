"""Upstreams: the way to CometChat as the service has it, on a test's own clock and budgets."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.builders import API_KEY, APP_ID
from tests.fakes import Notices
from tokensvc.adapters.breaker import Breaker, BreakerRule
from tokensvc.adapters.bulkhead import Bulkhead
from tokensvc.adapters.cometchat import CometChatClient
from tokensvc.adapters.http_client import HTTPAnswer, HTTPClient, HTTPFailureError
from tokensvc.adapters.request_budget import RequestBudget
from tokensvc.adapters.rest_keys import RESTKeys
from tokensvc.adapters.retry_budget import RetryBudget
from tokensvc.adapters.upstream import Policy, Sender, Upstream
from tokensvc.domain.audit import VendorCall

PLENTY = 1_000_000


@dataclass
class Clock:
    """A clock that stands still until it is moved; sleeping moves it."""

    at: float = 1000.0
    pauses: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.at

    def advance(self, seconds: float) -> None:
        """Let *seconds* pass."""
        self.at += seconds

    def sleep(self, seconds: float) -> None:
        """Let *seconds* pass, and remember them."""
        self.pauses.append(seconds)
        self.advance(seconds)


@dataclass
class MovableClock:
    """The real clock, which a test may put forward."""

    ahead: float = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead

    def advance(self, seconds: float) -> None:
        """Let *seconds* pass at once."""
        self.ahead += seconds


@dataclass
class ScriptedSender:
    """Gives one result after the other, the last one over and over; each takes *takes_s*."""

    clock: Clock
    results: list[HTTPAnswer | HTTPFailureError]
    takes_s: float = 0.0
    sent: list[str] = field(default_factory=list)
    allowed_s: list[float] = field(default_factory=list)

    def send(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str], within_s: float
    ) -> HTTPAnswer:
        del method, body, headers
        self.sent.append(path)
        self.allowed_s.append(within_s)
        self.clock.advance(min(self.takes_s, within_s))
        result = self.results.pop(0) if len(self.results) > 1 else self.results[0]
        if isinstance(result, HTTPFailureError):
            raise result
        return result


def a_policy(
    clock: Callable[[], float] = time.monotonic,
    *,
    notices: Notices | None = None,
    places: int = 4,
    rule: BreakerRule | None = None,
    request_budget: RequestBudget | None = None,
) -> Policy:
    """Return a policy with room for everything but what a test is about."""
    notify = notices or Notices()
    return Policy(
        breaker=Breaker(rule or BreakerRule(), notify=notify, clock=clock),
        bulkhead=Bulkhead(places),
        retry_budget=RetryBudget(),
        request_budget=request_budget or RequestBudget(PLENTY, notify=notify),
    )


def a_client(
    url: str,
    *,
    policy: Policy | None = None,
    keys: Callable[[], list[str]] = lambda: [API_KEY],
    notices: Notices | None = None,
    observe: Callable[[VendorCall], None] = lambda _: None,
) -> CometChatClient:
    """Return a client of the CometChat at *url*; its pauses take no time."""
    sender: Sender = HTTPClient(url, pool_size=4)
    return CometChatClient(
        upstream=Upstream(sender, policy or a_policy(), observe_try=observe, sleep=Clock().sleep),
        keys=RESTKeys(keys, notify=notices or Notices(), clock=time.monotonic),
        app_id=APP_ID,
    )
