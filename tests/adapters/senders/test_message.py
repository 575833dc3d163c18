"""Times and names as senders write them."""

from typing import Any

import pytest

from tests.builders import NOW
from tokensvc.adapters.senders.message import Message, milliseconds, named
from tokensvc.domain.accounts import EventKind

MS = int(NOW * 1000)
ODD: list[Any] = [None, True, 0, -1, 1e300, 10**400, [], {}, float("nan")]


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("2024-11-21T06:47:49.555247073Z", 1_732_171_669_555),
        ("2024-11-21T06:47:49Z", 1_732_171_669_000),
        ("2024-11-21T08:47:49+02:00", 1_732_171_669_000),
        ("2024-11-21 06:47:49.5+00", 1_732_171_669_500),
        ("2024-11-21T06:47:49", 1_732_171_669_000),
        (1_732_171_669, 1_732_171_669_000),
        (1_732_171_669.5, 1_732_171_669_500),
        (1_732_171_669_555, 1_732_171_669_555),
        *((text, None) for text in ("", "yesterday", "1732171669", "0001-01-01", "2024-13-01")),
        *((odd, None) for odd in ODD),
    ],
)
def test_times(written: Any, found: int | None) -> None:
    """ISO 8601 to the nanosecond, seconds and milliseconds are one time; all else is none."""
    assert milliseconds(written) == found


def a_message() -> Message:
    return Message({}, "e-1", b"", MS, frozenset())


@pytest.mark.parametrize(
    ("told_at", "version"),
    [
        (MS - 86_400_000, MS - 86_400_000),
        (MS + 300_000, MS + 300_000),
        (MS + 300_001, MS + 300_000),
        ("9999-12-31T23:59:59Z", MS + 300_000),
        ("soon", MS),
    ],
)
def test_clocks_that_run_ahead(told_at: object, version: int) -> None:
    """A time in the future is believed for five minutes: it would beat all that comes after it."""
    assert a_message().fact(EventKind.DELETED, {}, told_at=told_at).version == version


@pytest.mark.parametrize(
    ("user", "name"),
    [
        ({"name": " Ada "}, "Ada"),
        ({"first": "Ada", "last": "Lovelace"}, "Ada Lovelace"),
        ({"first": " ", "last": "Lovelace"}, "Lovelace"),
        ({"first": 7, "nick": "ada"}, "ada"),
        ({"nick": "ada@example.test", "handle": "ada"}, "ada"),
        ({"nick": "ada@example.test"}, None),
        ({}, None),
    ],
)
def test_names(user: dict[str, Any], name: str | None) -> None:
    """A user's own name, its parts, or a nickname that is no address."""
    assert named(user, "first", "last", otherwise=("nick", "handle"))["name"] == name
