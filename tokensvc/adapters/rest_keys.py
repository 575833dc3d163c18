"""Our REST keys towards CometChat: one or two of them, and which of the two is tried first."""

import threading
from collections.abc import Callable, Sequence
from typing import Final

from tokensvc.adapters.errand import Clock
from tokensvc.domain.audit import Notify, OperationalEvent

TOLD_AGAIN_S: Final = 60.0
"""A refused key fails every login; it is told once a minute, and each login has its reason."""


class RESTKeys:
    """The keys that may be used, the one that worked last before the other.

    The values are read anew each time, because they can be exchanged while the
    service runs; only the rank of the preferred one is kept.
    """

    def __init__(self, read: Callable[[], Sequence[str]], *, notify: Notify, clock: Clock) -> None:
        self._read = read
        self._notify = notify
        self._clock = clock
        self._lock = threading.Lock()
        self._preferred = (0, 0)
        self._told_at = float("-inf")

    def in_order(self) -> list[str]:
        """Return the keys, the preferred one first; the current one as long as none was refused."""
        keys = list(dict.fromkeys(self._read()))
        made_of, rank = self._preferred
        if made_of == hash(tuple(keys)) and rank < len(keys):
            keys.insert(0, keys.pop(rank))
        return keys

    def refused(self) -> None:
        """Tell that CometChat takes none of the keys."""
        with self._lock:
            now = self._clock()
            is_due = now - self._told_at >= TOLD_AGAIN_S
            if is_due:
                self._told_at = now
        if is_due:
            self._notify(OperationalEvent("rest_key_refused", is_alarm=True))

    def prefer(self, key: str) -> None:
        """Try *key* first from now on: it was taken where the one before it was refused."""
        keys = list(dict.fromkeys(self._read()))
        if key not in keys:
            # They have been exchanged since.
            return
        choice = (hash(tuple(keys)), keys.index(key))
        with self._lock:
            is_new, self._preferred = choice != self._preferred, choice
        if is_new:
            used = "current" if choice[1] == 0 else "previous"
            self._notify(OperationalEvent("rest_key_switched", {"used": used}, is_alarm=True))
