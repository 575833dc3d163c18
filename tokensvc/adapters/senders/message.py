"""One event as its sender spells it, and how its members are read."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from tokensvc.domain.accounts import EventKind, Version
from tokensvc.domain.deliveries import Fact
from tokensvc.domain.profiles import Claims, claim_at

SECONDS_END: Final = 100_000_000_000
"""A number below is in seconds (until the year 5138), one above in milliseconds."""
LATEST_MS: Final = 253_402_300_799_999
MAX_AHEAD_MS: Final = 300_000
_EVENT_ID: Final = re.compile(r"[\x21-\x7e]{1,128}")
_WITH_PROFILE: Final = frozenset({EventKind.CREATED, EventKind.UPDATED})


class NotUnderstoodError(Exception):
    """An event of a kind that we know makes no sense; *reason* is a fixed word."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Message:
    """One event, proven to be the sender's."""

    payload: Claims = field(repr=False)
    proposed_id: object
    """What the sender may have meant as its id."""
    content_hash: bytes = field(repr=False)
    received_ms: Version
    entities: frozenset[str]

    @property
    def event_id(self) -> str:
        """The sender's own id if it is one, else what it says."""
        proposed = self.proposed_id
        is_id = isinstance(proposed, str) and _EVENT_ID.fullmatch(proposed)
        return str(proposed) if is_id else self.content_hash.hex()

    def text(self, *path: str) -> str:
        """Return the text at *path*, or raise `NotUnderstoodError`."""
        value = claim_at(path, self.payload)
        if not isinstance(value, str):
            raise NotUnderstoodError(f"{path[-1]}_malformed")
        return value

    def table(self, *path: str) -> Claims:
        """Return the object at *path*, or raise `NotUnderstoodError`."""
        value = claim_at(path, self.payload)
        if not isinstance(value, Mapping):
            raise NotUnderstoodError(f"{path[-1]}_malformed")
        return value

    def fact(
        self,
        kind: EventKind,
        user: Claims,
        *,
        told_at: object,
        updated_at: object = None,
        aspect: str = "",
    ) -> Fact:
        """Return the fact that *user* is as *kind* says.

        Its version is the user's own *updated_at* where the fact is about what
        the user looks like, else the event's *told_at*, else the arrival. A clock
        that runs ahead is believed for five minutes: a fact from the future would
        beat all that come after it. A second fact of one event has an *aspect*.
        """
        is_profile = kind in _WITH_PROFILE
        times = [milliseconds(updated_at) if is_profile else None, milliseconds(told_at)]
        version = next((time for time in times if time is not None), self.received_ms)
        return Fact(
            kind=kind,
            claims=user,
            version=min(version, self.received_ms + MAX_AHEAD_MS),
            event_id=f"{self.event_id}.{aspect}" if aspect else self.event_id,
            content_hash=self.content_hash,
            tells_profile=is_profile,
        )

    def suspension(self, fact: Fact, *, is_on: bool) -> Fact:
        """Return what the event of *fact* says beside it: that its user is suspended, or not."""
        return replace(
            fact,
            kind=EventKind.SUSPENDED if is_on else EventKind.UNSUSPENDED,
            event_id=f"{fact.event_id}.suspension",
            tells_profile=False,
        )


def milliseconds(value: object) -> Version | None:
    """Return a sender's time in milliseconds since 1970, or None if it is none.

    Senders write ISO 8601 (without a zone it is UTC), seconds or milliseconds.
    """
    if isinstance(value, str):
        return _milliseconds_of_text(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not 0 < value <= LATEST_MS:
        return None
    return int(value * 1000) if value < SECONDS_END else int(value)


def _milliseconds_of_text(text: str) -> Version | None:
    time = moment(text)
    found = int(time.timestamp() * 1000) if time else 0
    return found if 0 < found <= LATEST_MS else None


def moment(text: str) -> datetime | None:
    """Return the time in *text*, as ISO 8601 has it, or None; without a zone it is UTC."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def named(user: Claims, *parts: str, otherwise: tuple[str, ...] = ()) -> Claims:
    """Return *user* with a `name`: its own, its *parts* joined, or the first of *otherwise*.

    A username that is an address is never made a name: others see the name, and nobody
    agreed to that.
    """
    own = _text(user.get("name"))
    joined = " ".join(text for text in (_text(user.get(part)) for part in parts) if text)
    others = (_text(user.get(name)) for name in otherwise)
    name = own or joined or next((text for text in others if text and "@" not in text), None)
    return {**user, "name": name}


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""
