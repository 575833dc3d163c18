"""The breaker: while CometChat keeps failing, nobody waits for it any more."""

import random
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final, Self

from tokensvc.adapters.errand import Clock
from tokensvc.domain.audit import Notify, OperationalEvent
from tokensvc.domain.errors import DirectoryUnavailableError

PROBE_S: Final = 1.0
"""What those are told to wait who come while the probe is under way."""
SLOTS: Final = 20
"""The window moves on in steps, each a twentieth of it."""
SUBJECTS: Final = 2
"""Failures of one user alone may be about that user: so many must have failed."""


class Outcome(Enum):
    """How a try ended, as far as it says something about CometChat."""

    ANSWERED = auto()
    """Whatever the answer was: a refusal (4xx) is one too."""
    FAILED = auto()
    TIMED_OUT = auto()


@dataclass(frozen=True, slots=True)
class BreakerRule:
    """When to open, and for how long."""

    failure_ratio: float = 0.5
    min_calls: int = 20
    window_s: float = 10.0
    timeouts_in_a_row: int = 5
    open_s: float = 2.0
    max_open_s: float = 5.0
    """With the time-out of the probe this is the longest that an outage can outlast its end."""


@dataclass(slots=True)
class Watch:
    """One try under watch; `outcome` stays None where nothing was learned of CometChat."""

    end: Callable[["Watch"], None]
    generation: int
    subject: object
    """Whom it is about."""
    is_probe: bool = False
    outcome: Outcome | None = None

    def __enter__(self) -> Self:
        """Go on: the try has been let through already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let the breaker count how the try ended."""
        self.end(self)


class Breaker:
    """Opens on failures, lets one probe through after a while, and closes when it is answered.

    A try is counted only in the state in which it began: what ends late, of those
    that were in flight when the breaker opened, neither prolongs nor ends that.
    """

    def __init__(
        self,
        rule: BreakerRule,
        *,
        notify: Notify,
        clock: Clock = time.monotonic,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._rule = rule
        self._notify = notify
        self._clock = clock
        self._jitter = jitter
        self._lock = threading.Lock()
        self._generation = 0
        self._open_until: float | None = None
        self._opened_at = 0.0
        self._openings = 0
        self._probing = False
        self._timeouts = 0
        self._timed_out: set[object] = set()
        self._window: deque[_Slot] = deque()

    def demand_chance(self) -> None:
        """Raise `DirectoryUnavailableError` if a try would not be let through at the moment."""
        with self._lock:
            self._demand_chance()

    def has_chance(self) -> bool:
        """Return whether a try would be let through at the moment."""
        with self._lock:
            return self._left_s() is None

    def watched(self, subject: object = None) -> Watch:
        """Watch the try in the block, or raise `DirectoryUnavailableError` while open.

        *subject* is the user whom it is about; without one each try is somebody else's.
        """
        with self._lock:
            self._demand_chance()
            self._probing = self._open_until is not None
            subject = object() if subject is None else subject
            return Watch(self._end, self._generation, subject, is_probe=self._probing)

    def hold_for(self, seconds: float) -> None:
        """Let nobody through for *seconds*: CometChat has asked for that."""
        with self._lock:
            event = self._open(self._clock() + seconds, "retry_after")
        self._tell(event)

    def _end(self, watch: Watch) -> None:
        with self._lock:
            event = self._settle(watch)
        self._tell(event)

    def _demand_chance(self) -> None:
        left_s = self._left_s()
        if left_s is not None:
            raise DirectoryUnavailableError("breaker_open", retry_after_s=max(left_s, PROBE_S))

    def _left_s(self) -> float | None:
        """Return how long nobody is let through any more, or None if somebody is."""
        if self._open_until is None:
            return None
        left_s = self._open_until - self._clock()
        return left_s if left_s > 0 or self._probing else None

    def _settle(self, watch: Watch) -> OperationalEvent | None:
        if watch.generation != self._generation:
            return None
        if watch.is_probe:
            return self._settle_probe(watch.outcome)
        return self._count(watch.outcome, watch.subject) if watch.outcome else None

    def _settle_probe(self, outcome: Outcome | None) -> OperationalEvent | None:
        self._probing = False
        if outcome is Outcome.ANSWERED:
            return self._close()
        if outcome is not None:
            return self._open(self._clock() + self._next_open_s(), "probe")
        # Nothing was learned: whoever comes next is the probe.
        return None

    def _count(self, outcome: Outcome, subject: object) -> OperationalEvent | None:
        rule = self._rule
        self._count_timeout(outcome, subject)
        self._count_in_window(outcome, subject)
        if outcome is Outcome.ANSWERED:
            return None
        calls = sum(slot.calls for slot in self._window)
        failures = sum(slot.failures for slot in self._window)
        failed = len(set[object]().union(*(slot.failed for slot in self._window)))
        if self._timeouts >= rule.timeouts_in_a_row and len(self._timed_out) >= min(
            SUBJECTS, rule.timeouts_in_a_row
        ):
            return self._open(self._clock() + self._next_open_s(), "timeouts")
        if (
            calls >= rule.min_calls
            and failures >= calls * rule.failure_ratio
            and failed >= min(SUBJECTS, rule.min_calls)
        ):
            return self._open(self._clock() + self._next_open_s(), "failures")
        return None

    def _count_timeout(self, outcome: Outcome, subject: object) -> None:
        if outcome is Outcome.TIMED_OUT:
            self._timeouts += 1
            _note(subject, self._timed_out)
        else:
            self._timeouts = 0
            self._timed_out.clear()

    def _count_in_window(self, outcome: Outcome, subject: object) -> None:
        slot = int(self._clock() / self._rule.window_s * SLOTS)
        while self._window and self._window[0].number <= slot - SLOTS:
            self._window.popleft()
        if not self._window or self._window[-1].number != slot:
            self._window.append(_Slot(slot))
        self._window[-1].calls += 1
        if outcome is not Outcome.ANSWERED:
            self._window[-1].failures += 1
            _note(subject, self._window[-1].failed)

    def _next_open_s(self) -> float:
        """Return how long to stay open: twice as long each time, jittered downwards."""
        longest = min(self._rule.open_s * 2**self._openings, self._rule.max_open_s)
        self._openings = min(self._openings + 1, SLOTS)
        return self._jitter(longest / 2, longest)

    def _open(self, until: float, cause: str) -> OperationalEvent | None:
        was_open = self._open_until is not None
        self._open_until = max(until, self._open_until or 0.0)
        self._probing = False
        self._generation += 1
        if was_open:
            return None
        self._opened_at = self._clock()
        return OperationalEvent("breaker_opened", {"cause": cause}, is_alarm=True)

    def _close(self) -> OperationalEvent:
        self._open_until = None
        self._openings = 0
        self._timeouts = 0
        self._timed_out.clear()
        self._generation += 1
        self._window.clear()
        open_s = round(self._clock() - self._opened_at, 3)
        return OperationalEvent("breaker_closed", {"open_s": open_s})

    def _tell(self, event: OperationalEvent | None) -> None:
        if event is not None:
            self._notify(event)


@dataclass(slots=True)
class _Slot:
    number: int
    calls: int = 0
    failures: int = 0
    failed: set[object] = field(default_factory=set)
    """Whose calls failed, as far as it matters."""


def _note(subject: object, subjects: set[object]) -> None:
    if len(subjects) < SUBJECTS:
        subjects.add(subject)
