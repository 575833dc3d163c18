"""Shared spending: what all processes together have used of a minute, counted in Redis.

Beside the logins, not in front of them: each process counts for itself and tells
Redis of it from a thread of its own, at once when there is much to tell. A Redis
that hangs costs no login anything; meanwhile each process knows its own part alone.
What is told is the process's whole count, in a field of its own: told again after an
answer that was lost, it is still the same.
"""

import os
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import redis

from tokensvc.adapters.background import Periodic
from tokensvc.adapters.redis_deadline import Patience, redis_work
from tokensvc.domain.audit import Notify, OperationalEvent

KEPT_S: Final = 120
"""A window's key outlives the window, and is then forgotten by Redis itself."""
FRESH_S: Final = 0.2
"""So old may be what we know of the others while we spend."""
IDLE_S: Final = 30.0
RETRY_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class _Known:
    """What Redis has heard of us and said of the others, and in which window."""

    window: int = 0
    ours: int = 0
    others: int = 0
    at: float = float("-inf")


class RedisSpending:
    """`SharedSpending` over Redis; *step* is how much is spent before it is told at once."""

    def __init__(
        self,
        connect: Callable[[], redis.Redis],
        *,
        key_prefix: str,
        step: int,
        notify: Notify,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connect = connect
        self._key_prefix = key_prefix
        self._step = step
        self._notify = notify
        self._clock = clock
        self._client: redis.Redis | None = None
        self._latest = (0, 0)
        self._known = _Known()
        self._is_lost = False
        self._names: dict[int, str] = {}
        self._periodic = Periodic("request budget", self.exchange, notify=notify)

    def others(self, window: int) -> int:
        """Return what the others have spent in *window*, as far as is known; does not wait."""
        known = self._known
        return known.others if known.window == window else 0

    def tell(self, window: int, spent: int) -> None:
        """Take in that *spent* calls were made here in *window*; begins the thread at first."""
        self._latest = (window, spent)
        known = self._known
        is_new = known.window != window
        if is_new or spent - known.ours >= self._step or self._clock() - known.at > FRESH_S:
            self._wake()

    def exchange(self) -> float:
        """Tell Redis what was spent here, and learn what all have spent; return the next turn."""
        window, spent = self._latest
        try:
            total = self._put(window, spent)
        except (redis.RedisError, OSError):
            self._lose()
            return RETRY_S
        self._known = _Known(window, spent, max(0, total - spent), self._clock())
        self._find()
        return IDLE_S

    def stop(self) -> None:
        """End the thread."""
        self._periodic.stop()

    def _put(self, window: int, spent: int) -> int:
        """Write down what was spent here, and return what all have spent together."""
        if self._client is None:
            self._client = self._connect()
        key = f"{self._key_prefix}:{window}"
        with redis_work(Patience()), self._client.pipeline(transaction=False) as pipeline:
            pipeline.hset(key, self._own_name(), spent)
            pipeline.expire(key, KEPT_S)
            pipeline.hvals(key)
            *_, counts = pipeline.execute()
        return sum(int(count) for count in counts)

    def _own_name(self) -> str:
        """Return this process's field; a fork begins one of its own."""
        return self._names.setdefault(os.getpid(), uuid.uuid4().hex)

    def _wake(self) -> None:
        if self._is_lost:
            # The thread asks again at its own pace; each login would have it ask at once.
            return
        self._periodic.start_or_wake()

    def _lose(self) -> None:
        if not self._is_lost:
            self._is_lost = True
            self._notify(OperationalEvent("request_budget_not_shared", is_alarm=True))

    def _find(self) -> None:
        if self._is_lost:
            self._is_lost = False
            self._notify(OperationalEvent("request_budget_shared"))
