"""The request budget: no more calls in a minute than CometChat's plan takes, logins first.

The vendor counts requests per app in "the current minute" and answers 429 to the
rest (documented; that a token request counts as a core operation is unverified).
Whoever stays below is never refused in the middle of a login.
"""

import math
import threading
import time
from collections.abc import Callable
from typing import Final, Literal, Protocol

from tokensvc.adapters.rate_headers import RateHeaders
from tokensvc.domain.audit import Notify, OperationalEvent
from tokensvc.domain.errors import DirectoryUnavailableError

WINDOW_S: Final = 60
SETTLING_S: Final = 2.0
"""Clocks differ: what is said so early in a minute may be about the one before."""

Share = Literal["login", "sync"]
"""For whom a call is made. What is not a login leaves the logins their reserve."""


class SharedSpending(Protocol):
    """What other processes have spent of the same plan."""

    def others(self, window: int) -> int:
        """Return what the others have spent in *window*, as far as is known; never waits."""

    def tell(self, window: int, spent: int) -> None:
        """Let the others know that *spent* calls were made here in *window*; never waits."""


class RequestBudget:
    """Counts calls by the minute, and believes CometChat where it counts more than we do."""

    def __init__(
        self,
        per_minute: int,
        *,
        notify: Notify,
        login_reserve: float = 0.2,
        shared: SharedSpending | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._per_minute = per_minute
        self._notify = notify
        self._login_reserve = login_reserve
        self._shared = shared
        self._now = now
        self._lock = threading.Lock()
        self._begin(0)

    def _begin(self, window: int) -> None:
        self._window = window
        self._spent = 0
        self._limit = self._per_minute
        self._ceiling = math.inf
        """How far our own count may go by CometChat's: others may call on the same app."""
        self._told: set[Share] = set()

    def spend(self, share: Share = "login") -> None:
        """Count one call, or raise `DirectoryUnavailableError` until the minute is over."""
        self._demand(share, calls=1)

    def demand_chance(self) -> None:
        """Raise `DirectoryUnavailableError` if a login could spend nothing; count nothing."""
        self._demand("login", calls=0)

    def _demand(self, share: Share, *, calls: int) -> None:
        now = self._now()
        with self._lock:
            self._turn(now)
            if self._room(share) >= 1:
                self._spent += calls
                if calls and self._shared:
                    self._shared.tell(self._window, self._spent)
                return
            is_told, facts = share in self._told, {"share": share, "limit": self._limit}
            self._told.add(share)
        if not is_told:
            is_alarm = share == "login"
            self._notify(OperationalEvent("request_budget_spent", facts, is_alarm=is_alarm))
        retry_after_s = WINDOW_S - now % WINDOW_S
        raise DirectoryUnavailableError("request_budget_spent", retry_after_s=retry_after_s)

    def learn(self, rate: RateHeaders) -> None:
        """Take in what an answer has said of CometChat's own count."""
        if rate.remaining is None:
            return
        now = self._now()
        with self._lock:
            self._turn(now)
            if now % WINDOW_S < SETTLING_S:
                return
            if rate.limit is not None:
                self._limit = min(self._per_minute, rate.limit)
            self._ceiling = self._spent + rate.remaining

    def _turn(self, now: float) -> None:
        window = int(now // WINDOW_S)
        if window != self._window:
            self._begin(window)

    def _room(self, share: Share) -> float:
        """Return how many calls there still may be for *share*."""
        others = self._shared.others(self._window) if self._shared else 0
        room = min(self._limit - others, self._ceiling) - self._spent
        return room if share == "login" else room - math.ceil(self._limit * self._login_reserve)
