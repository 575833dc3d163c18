"""Rate limits: so many calls in the current minute, per app and class of operation."""

import threading
from collections.abc import Callable
from typing import Literal

from tokensvc.emulator import errors
from tokensvc.emulator.switches import Switches

RateClass = Literal["core", "standard", "import"]
MINUTE_S = 60


class Rates:
    """Counts calls in fixed minutes (the vendor documents "the current minute")."""

    def __init__(self, switches: Switches, now: Callable[[], float]) -> None:
        self._switches = switches
        self._now = now
        self._counts: dict[tuple[str, RateClass], tuple[int, int]] = {}
        self._lock = threading.Lock()

    def spend(self, app_id: str, rate_class: RateClass) -> dict[str, str]:
        """Count one call and return the headers of its answer, or refuse it."""
        limit = self._limit(rate_class)
        now = int(self._now())
        minute = now // MINUTE_S
        with self._lock:
            counted_minute, count = self._counts.get((app_id, rate_class), (minute, 0))
            count = count if counted_minute == minute else 0
            if count < limit:
                self._counts[app_id, rate_class] = (minute, count + 1)
                return self._headers(limit, limit - count - 1)
        reset_at = (minute + 1) * MINUTE_S
        headers = {
            **self._headers(limit, 0, reset_at),
            "Retry-After": str(reset_at - now),
        }
        if rate_class == "import":
            raise errors.too_many_imports(reset_at - now, limit, headers)
        raise errors.too_many(reset_at - now, headers)

    def _limit(self, rate_class: RateClass) -> int:
        match rate_class:
            case "core":
                return self._switches.core_per_minute
            case "standard":
                return self._switches.standard_per_minute
            case "import":
                return self._switches.import_per_minute

    def _headers(self, limit: int, remaining: int, reset_at: int | None = None) -> dict[str, str]:
        headers = {}
        if self._switches.rate_headers in {"both", "X-Rate-Limit"}:
            headers["X-Rate-Limit"] = str(limit)
            headers["X-Rate-Limit-Remaining"] = str(remaining)
            if reset_at is not None:
                headers["X-Rate-Limit-Reset"] = str(reset_at)
        if self._switches.rate_headers in {"both", "X-RateLimit"}:
            headers["X-RateLimit-Limit"] = str(limit)
            headers["X-RateLimit-Remaining"] = str(remaining)
            if reset_at is not None:
                headers["X-RateLimit-Reset"] = str(reset_at)
        return headers
