"""Lanes: one per user with waiting events, and which of them is served next.

Whoever writes to a user's events locks the lane first, so that on PostgreSQL too
a user's events are numbered in the order in which they become visible.
"""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import (
    Connection,
    bindparam,
    delete,
    func,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from tokensvc.adapters.tables import EVENTS, LANES, WAITING
from tokensvc.domain.model import Uid
from tokensvc.domain.ports import CLOCK_SLACK_S, LONGEST_PAUSE_S, Claim

_AT_ONCE: Final = 0.0
"""Due whatever the clock says: one that is set back must not hold up what waits."""
_TURN: Final = func.coalesce(select(func.max(EVENTS.c.number)).scalar_subquery(), 0)
"""Behind whoever has come so far; a user with many events lets the others in between."""
_OF_USER: Final = LANES.c.uid == bindparam("of_uid")
HEAD: Final = (
    select(func.min(EVENTS.c.number))
    .where(EVENTS.c.uid == bindparam("of_uid"), EVENTS.c.state == WAITING)
    .scalar_subquery()
)
"""The number of the oldest waiting event of the user `of_uid`."""

# Statements are made once: to make one costs more than to run it.
_NEW: Final = {"due_at": _AT_ONCE, "turn": _TURN, "holding": "waiting"}
_ENTER: Final = {
    # An update that changes nothing waits for whoever may be about to remove the lane.
    "postgresql": postgresql.insert(LANES)
    .values(uid=bindparam("of_uid"), **_NEW)
    .on_conflict_do_update(index_elements=[LANES.c.uid], set_={"uid": bindparam("of_uid")}),
    "sqlite": sqlite.insert(LANES).values(uid=bindparam("of_uid"), **_NEW).on_conflict_do_nothing(),
}
_NEXT_DUE: Final = (
    select(LANES.c.uid)
    .where(LANES.c.due_at <= bindparam("now"))
    .order_by(LANES.c.due_at, LANES.c.turn)
    .limit(1)
    .with_for_update(skip_locked=True)
)
_HELD_IN_THE_FUTURE: Final = (
    select(LANES.c.uid)
    .where(LANES.c.due_at > bindparam("horizon"))
    .order_by(LANES.c.due_at)
    .limit(1)
    .with_for_update(skip_locked=True)
)
_LEASE: Final = (
    update(LANES)
    .where(_OF_USER)
    .values(
        due_at=bindparam("until"),
        holding="leased",
        number=bindparam("claimed"),
        fence=bindparam("fenced"),
    )
)
_HELD: Final = (
    select(LANES.c.holding, LANES.c.number, LANES.c.fence).where(_OF_USER).with_for_update()
)
_PUT_OFF: Final = (
    update(LANES).where(_OF_USER).values(due_at=bindparam("until"), holding="retrying")
)
_GO_ON: Final = update(LANES).where(_OF_USER, HEAD.is_not(None)).values(_NEW)
_END_PAUSE: Final = update(LANES).where(_OF_USER, LANES.c.holding == "retrying").values(_NEW)
_HURRY: Final = _END_PAUSE.where(bindparam("replayed") == HEAD)
_LEAVE: Final = delete(LANES).where(_OF_USER)
_COUNT: Final = select(
    func.count().filter(
        LANES.c.holding == literal_column("'leased'"), LANES.c.due_at > bindparam("now")
    ),
    func.count().filter(LANES.c.holding == literal_column("'retrying'")),
)


@dataclass(frozen=True, slots=True)
class Held:
    """How many lanes do not wait for a worker."""

    leased: int
    retrying: int


def enter(connection: Connection, uid: Uid) -> None:
    """Have a lane for *uid*, locked to the transaction's end."""
    connection.execute(_ENTER[connection.dialect.name], {"of_uid": uid})


def next_due(connection: Connection, now: float, lease_s: float) -> Uid | None:
    """Return whose turn it is, and lock the lane; None if it is nobody's.

    A lane that is held until later than anything can be is one that was held while the
    clock was ahead: whoever has put it right has not put that right.
    """
    due: Uid | None = connection.execute(_NEXT_DUE, {"now": now}).scalar_one_or_none()
    if due is not None:
        return due
    horizon = now + max(lease_s, LONGEST_PAUSE_S) + CLOCK_SLACK_S
    return connection.execute(_HELD_IN_THE_FUTURE, {"horizon": horizon}).scalar_one_or_none()


def lease(connection: Connection, claim: Claim, *, until: float) -> None:
    """Let nobody have the lane before *until* but whoever holds *claim*."""
    values = {
        "of_uid": claim.event.uid,
        "until": until,
        "claimed": claim.number,
        "fenced": claim.fence,
    }
    connection.execute(_LEASE, values)


def is_leased(connection: Connection, claim: Claim) -> bool:
    """Return whether the lane is still that of *claim*, and lock it."""
    held = connection.execute(_HELD, {"of_uid": claim.event.uid}).one_or_none()
    return held is not None and tuple(held) == ("leased", claim.number, claim.fence)


def put_off(connection: Connection, uid: Uid, *, until: float) -> None:
    """Let nobody have the lane before *until*."""
    connection.execute(_PUT_OFF, {"of_uid": uid, "until": until})


def go_on(connection: Connection, uid: Uid) -> None:
    """Serve the user's next event when it is their turn again, or close the lane."""
    if connection.execute(_GO_ON, {"of_uid": uid}).rowcount == 0:
        leave(connection, uid)


def end_pause(connection: Connection, uid: Uid) -> None:
    """Serve the user's oldest event as soon as may be, if it is one that is retried."""
    connection.execute(_END_PAUSE, {"of_uid": uid})


def hurry(connection: Connection, uid: Uid, number: int) -> None:
    """Serve *number* as soon as may be, if it is the user's oldest and none is being served."""
    connection.execute(_HURRY, {"of_uid": uid, "replayed": number})


def leave(connection: Connection, uid: Uid) -> None:
    """Close the lane: nothing waits in it."""
    connection.execute(_LEAVE, {"of_uid": uid})


def count(connection: Connection, now: float) -> Held:
    """Return how many lanes are leased at *now*, and how many wait for another try."""
    leased, retrying = connection.execute(_COUNT, {"now": now}).one()
    return Held(leased, retrying)
