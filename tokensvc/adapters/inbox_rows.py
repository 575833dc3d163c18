"""Rows of the inbox: an event as the table holds it, and back."""

from typing import Any

from sqlalchemy import Row

from tokensvc.adapters.stored_values import (
    event_id_of,
    profile_of,
    stored_id,
    stored_profile,
)
from tokensvc.domain.accounts import EventKind, UserEvent
from tokensvc.domain.ports import BuriedEvent, Claim, RetriedEvent

_OLDEST, _NEWEST = -(2**63), 2**63 - 1
"""What the column can hold; a sender may send any number."""


def event_row(event: UserEvent, body_hash: bytes, received_at: float) -> dict[str, Any]:
    """Return the row of an event that has just come."""
    return {
        "source": event.source,
        "event_id": stored_id(event.event_id),
        "body_hash": body_hash,
        "uid": event.uid,
        "kind": event.kind.value,
        "version": max(_OLDEST, min(event.version, _NEWEST)),
        "profile": stored_profile(event.profile),
        "state": "waiting",
        "attempts": 0,
        "fence": 0,
        "received_at": received_at,
    }


def claim_of(row: Row[Any]) -> Claim:
    """Return the claim that has just been written into *row*."""
    return Claim(number=row.number, event=event_of(row), attempts=row.attempts, fence=row.fence)


def buried_of(row: Row[Any]) -> BuriedEvent:
    """Return the dead letter in *row*."""
    return BuriedEvent(
        number=row.number,
        event=event_of(row),
        attempts=row.attempts,
        reason=row.reason,
        received_at=row.received_at,
        buried_at=row.finished_at,
    )


def retried_of(row: Row[Any]) -> RetriedEvent:
    """Return the event in *row*, which is put off until its lane is due."""
    return RetriedEvent(
        number=row.number,
        event=event_of(row),
        attempts=row.attempts,
        reason=row.reason,
        received_at=row.received_at,
        next_try_at=row.due_at,
    )


def event_of(row: Row[Any]) -> UserEvent:
    """Return the event in *row*."""
    return UserEvent(
        kind=EventKind(row.kind),
        uid=row.uid,
        version=row.version,
        source=row.source,
        event_id=event_id_of(row.event_id),
        profile=profile_of(row.profile),
    )
