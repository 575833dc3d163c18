"""Rate headers: what an answer says of its sender's own count of our requests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

_LIMIT: Final = ("x-rate-limit", "x-ratelimit-limit")
_REMAINING: Final = ("x-rate-limit-remaining", "x-ratelimit-remaining")
"""The vendor's pages name both spellings; which one is live is unverified."""
_MOST_DIGITS: Final = 9


@dataclass(frozen=True, slots=True)
class RateHeaders:
    """How many requests its sender takes in a window, and how many more in this one."""

    limit: int | None = None
    remaining: int | None = None


UNTOLD: Final = RateHeaders()
"""What most answers of most senders say."""


def rate_headers(headers: Mapping[str, str]) -> RateHeaders:
    """Return what *headers* say, whose names are in lower case.

    What is no number says nothing, and of two counts the smaller one is it.
    """
    limit, remaining = _count(headers, _LIMIT), _count(headers, _REMAINING)
    return UNTOLD if limit is None and remaining is None else RateHeaders(limit, remaining)


def _count(headers: Mapping[str, str], names: Sequence[str]) -> int | None:
    texts = [text for name in names if (text := headers.get(name))]
    if not texts:
        return None
    numbers = [text for text in texts if text.isascii() and text.isdigit()]
    return min((int(text) for text in numbers if len(text) <= _MOST_DIGITS), default=None)
