"""Times, as they are read by people: in UTC, to the second."""

from datetime import UTC, datetime


def utc_text(seconds: float) -> str:
    """Return *seconds* since 1970 as `2026-11-28T19:44:30Z`; what no calendar has, as a number."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return f"{seconds:.0f}"
