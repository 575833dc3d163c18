"""Times, as they are read by people."""

import pytest

from tokensvc.domain.times import utc_text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_798_485_856.9, "2026-12-28T19:24:16Z"),
        (1e15, "1000000000000000"),
    ],
)
def test_utc(seconds: float, text: str) -> None:
    """They are in UTC and to the second; what no calendar has stays a number."""
    assert utc_text(seconds) == text
