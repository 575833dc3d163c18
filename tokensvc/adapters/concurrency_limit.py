"""The concurrency limit: fewer logins at once while too many of them want the interpreter."""

import math
import time
from collections.abc import Callable
from typing import Final

from tokensvc.domain.audit import RequestRecord

COMPUTING: Final = 8
"""So many may want the interpreter at once: each computes for half a millisecond."""
LEAST: Final = 24
"""So many may be inside whatever was measured."""
WATCHED_FROM: Final = 16
"""With fewer inside nobody looks: a quiet process has no pulse."""
BEAT_S: Final = 0.01
BEATS: Final = 10
"""After so many the limit is set anew."""
LATE_S: Final = 0.0007
"""How late beats come in the mean on a core that is as busy as it should get, and no busier."""
RAISED_BY: Final = 1 / 20
SPARED: Final = 1 / 4
"""So few are refused, for each who is served, that there may be room for them too: a process
that could just serve all who come would else turn some away for ever, for having begun to."""
RESTS_S: Final = 3_600.0
TRIED_EVERY_S: Final = 1.0
"""Where no thread can be had, each login would ask for one."""


class ConcurrencyLimit:
    """How many may be inside at once: *most*, but fewer while there are too many for the core.

    Logins that wait for CometChat take nothing from each other. Those that want the
    interpreter take turns, and with them everybody whom it would take a moment to
    refuse: then nobody is answered in time, though no more are served. From outside
    the two look alike. So `beat` is called again and again; when it comes late in the
    mean, and more than a few are refused, then as many are let in as wait for CometChat
    (Little's law: their rate times the shortest wait of late), and a few more. Else the
    limit rises again. Without a lock: what two threads count at once, and one of them
    loses, changes nothing that matters.
    """

    def __init__(self, most: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = self._limit = most
        self._clock = clock
        self._is_watched = False
        self._try_at = -math.inf
        self._due_at: float | None = None
        self._shortest_s = math.inf
        self._begin_anew(clock())
        self.wake: Callable[[], bool] = lambda: False
        """Has `beat` called from now on, and returns whether it will be."""

    def has_room(self, inside: int) -> bool:
        """Return whether one more may come in beside those who are *inside*."""
        if inside >= WATCHED_FROM:
            self._is_busy = True
            if not self._is_watched:
                self._begin_to_watch()
        return inside < self._limit

    def note_refusal(self) -> None:
        """Take in that somebody was not let in, for want of room or for another reason."""
        self._refused += 1

    def observe(self, record: RequestRecord) -> None:
        """Take in how long a login has waited for CometChat."""
        # An answer that was none may have come at once.
        if record.vendor_calls and record.outcome == "ok":
            self._answered += 1
            self._shortest_s = min(self._shortest_s, record.vendor_s)

    def beat(self) -> float:
        """Note how late this beat is; return the seconds until the next one."""
        now = self._clock()
        if self._due_at is None:
            self._begin_anew(now)
        else:
            self._late_s += max(0.0, now - self._due_at)
            self._beats += 1
        if self._beats == BEATS:
            is_busy = self._is_busy
            self._limit = self._next_limit(now) if is_busy else self._most
            self._begin_anew(now)
            if not is_busy:
                self._is_watched, self._due_at = False, None
                return RESTS_S
        self._due_at = self._clock() + BEAT_S
        return BEAT_S

    def _begin_to_watch(self) -> None:
        now = self._clock()
        if now >= self._try_at:
            self._is_watched = self.wake()
            self._try_at = now if self._is_watched else now + TRIED_EVERY_S

    def _next_limit(self, now: float) -> int:
        is_crowd = self._refused > SPARED * self._answered
        if not (is_crowd and self._late_s > BEATS * LATE_S):
            return min(self._most, math.ceil(self._limit * (1 + RAISED_BY)))
        per_s = self._answered / (now - self._since)
        waiting = math.ceil(per_s * self._shortest_s) if self._answered else 0
        return min(self._limit, max(LEAST, COMPUTING + waiting))

    def _begin_anew(self, now: float) -> None:
        self._since = now
        self._beats, self._late_s = 0, 0.0
        self._answered = 0
        self._shortest_s = math.inf
        self._refused = 0
        self._is_busy = False
