"""The few lines with which a service in one event loop limits its users."""

import time


class FixedWindow:
    """Counts each user's requests of the minute."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._minute = 0
        self._hits: dict[str, int] = {}

    def lets(self, user: str) -> bool:
        """Count one request of *user*; return whether it is within the limit."""
        minute = int(time.time() // 60)
        if minute != self._minute:
            self._minute, self._hits = minute, {}
        self._hits[user] = hits = self._hits.get(user, 0) + 1
        return hits <= self._per_minute
