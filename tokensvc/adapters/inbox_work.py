"""The inbox's verbs, each on a connection within a transaction."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, bindparam, delete, exists, func, insert, select, tuple_, update

from tokensvc.adapters import lanes
from tokensvc.adapters.inbox_rows import buried_of, claim_of, event_of, event_row, retried_of
from tokensvc.adapters.tables import BURIED, DONE, EVENTS, LANES, WAITING
from tokensvc.domain.accounts import SHUTS_OUT, UserEvent
from tokensvc.domain.errors import DeliveryConflictError, LeaseLostError
from tokensvc.domain.ports import (
    LONGEST_PAUSE_S,
    SHUT_OUT_WITHIN_S,
    BuriedEvent,
    Claim,
    InboxStatus,
    RetriedEvent,
)

_IS_IT: Final = EVENTS.c.number == bindparam("of_number")
_KNOWN: Final = select(EVENTS.c.source, EVENTS.c.event_id, EVENTS.c.body_hash).where(
    tuple_(EVENTS.c.source, EVENTS.c.event_id).in_(bindparam("keys", expanding=True))
)
_STORE: Final = insert(EVENTS)
_CLAIM: Final = (
    update(EVENTS)
    .where(EVENTS.c.number == lanes.HEAD)
    .values(attempts=EVENTS.c.attempts + 1, fence=EVENTS.c.fence + 1)
    .returning(*EVENTS.c)
)
_IS_BEHIND: Final = (
    EVENTS.c.uid == bindparam("of_uid"),
    EVENTS.c.state == WAITING,
    EVENTS.c.number > bindparam("claimed"),
)
_SHUTS_OUT: Final = select(exists().where(*_IS_BEHIND, EVENTS.c.kind.in_(sorted(SHUTS_OUT))))
_RANKED: Final = (
    select(
        *EVENTS.c,
        func.row_number()
        .over(
            partition_by=(EVENTS.c.kind, EVENTS.c.source),
            order_by=(EVENTS.c.version.desc(), EVENTS.c.number.desc()),
        )
        .label("place"),
    )
    .where(*_IS_BEHIND)
    .subquery()
)
_BEHIND: Final = select(_RANKED).where(_RANKED.c.place == 1).order_by(_RANKED.c.number)
_FINISH: Final = (
    # What the user looks like has been told, and need not be kept.
    update(EVENTS).where(_IS_IT).values(state=DONE, finished_at=bindparam("now"), profile=None)
)
_NOTE: Final = update(EVENTS).where(_IS_IT).values(reason=bindparam("because"))
_BURY: Final = (
    update(EVENTS)
    .where(_IS_IT)
    .values(state=BURIED, finished_at=bindparam("now"), reason=bindparam("because"))
)
_IS_BURIED: Final = (_IS_IT, EVENTS.c.state == BURIED)
_DIG_UP: Final = (
    update(EVENTS).where(*_IS_BURIED).values(state=WAITING, attempts=0, finished_at=None)
)
_DROP: Final = (
    update(EVENTS)
    .where(*_IS_BURIED)
    # Its id stays known, so that a repetition does not bring it back.
    .values(state=DONE, finished_at=bindparam("now"), profile=None, reason="dropped")
)


Rows = Mapping[tuple[str, str], Mapping[str, Any]]
"""What came at once, by what makes each the only one."""


def rows_of(events: Sequence[tuple[UserEvent, bytes]], received_at: float) -> Rows:
    """Return *events* as rows, each with its hash: of two with one id the first is it."""
    rows: dict[tuple[str, str], Mapping[str, Any]] = {}
    for event, content_hash in events:
        row = event_row(event, content_hash, received_at)
        rows.setdefault((row["source"], row["event_id"]), row)
    return rows


def store(rows: Rows, connection: Connection) -> int:
    """Store what is not known of *rows*, and return how many that were."""
    known = {
        (source, event_id): content_hash
        for source, event_id, content_hash in connection.execute(_KNOWN, {"keys": list(rows)})
    }
    if any(rows[key]["body_hash"] != content_hash for key, content_hash in known.items()):
        raise DeliveryConflictError("body_differs")
    new = [row for key, row in rows.items() if key not in known]
    # In one order, so that two deliveries never wait for each other.
    for uid in sorted({row["uid"] for row in new}):
        lanes.enter(connection, uid)
    if new:
        connection.execute(_STORE, new)
    for uid in sorted({row["uid"] for row in new if row["kind"] in SHUTS_OUT}):
        lanes.end_pause(connection, uid)
    return len(new)


def claim(connection: Connection, *, now: float, lease_s: float) -> Claim | None:
    """Lease the oldest event of whoever is next."""
    while (uid := lanes.next_due(connection, now, lease_s)) is not None:
        row = connection.execute(_CLAIM, {"of_uid": uid}).one_or_none()
        if row is None:
            # Somebody was about to replay an event that was then dropped.
            lanes.leave(connection, uid)
            continue
        claimed = claim_of(row)
        lanes.lease(connection, claimed, until=now + lease_s)
        return claimed
    return None


def behind(claim: Claim, connection: Connection) -> list[UserEvent]:
    """Return what waits behind *claim*: a user with many events does not make it long."""
    values = {"of_uid": claim.event.uid, "claimed": claim.number}
    return [event_of(row) for row in connection.execute(_BEHIND, values)]


def finish(claim: Claim, connection: Connection, *, now: float) -> None:
    """Write down that the event was applied."""
    _demand_lease(connection, claim)
    connection.execute(_FINISH, {"of_number": claim.number, "now": now})
    lanes.go_on(connection, claim.event.uid)


def put_off(
    claim: Claim, connection: Connection, *, now: float, after_s: float, reason: str
) -> None:
    """Let the event be tried again later, or soon if its user is to be shut out."""
    _demand_lease(connection, claim)
    connection.execute(_NOTE, {"of_number": claim.number, "because": reason})
    # It may have come while the event was being tried.
    values = {"of_uid": claim.event.uid, "claimed": claim.number}
    if after_s > SHUT_OUT_WITHIN_S and connection.execute(_SHUTS_OUT, values).scalar_one():
        after_s = SHUT_OUT_WITHIN_S
    lanes.put_off(connection, claim.event.uid, until=now + min(after_s, LONGEST_PAUSE_S))


def bury(claim: Claim, connection: Connection, *, now: float, reason: str) -> None:
    """Put the event aside, and go on with the user's next."""
    _demand_lease(connection, claim)
    connection.execute(_BURY, {"of_number": claim.number, "now": now, "because": reason})
    lanes.go_on(connection, claim.event.uid)


def status(connection: Connection, now: float) -> InboxStatus:
    """Count what is where: each state by the index that has it alone."""
    held = lanes.count(connection, now)
    waiting = select(func.count(), func.min(EVENTS.c.received_at))
    live, oldest = connection.execute(waiting.where(EVENTS.c.state == WAITING)).one()
    buried, done = (
        connection.execute(select(func.count()).where(EVENTS.c.state == state)).scalar_one()
        for state in (BURIED, DONE)
    )
    return InboxStatus(
        waiting=live - held.leased - held.retrying,
        leased=held.leased,
        retrying=held.retrying,
        buried=buried,
        done=done,
        oldest_waiting_at=oldest,
    )


def buried(connection: Connection, *, after_number: int, limit: int) -> Sequence[BuriedEvent]:
    """Return dead letters by their number."""
    rows = connection.execute(
        select(EVENTS)
        .where(EVENTS.c.state == BURIED, EVENTS.c.number > after_number)
        .order_by(EVENTS.c.number)
        .limit(limit)
    )
    return [buried_of(row) for row in rows]


def retrying(connection: Connection, *, after_number: int, limit: int) -> list[RetriedEvent]:
    """Return what is put off, by number."""
    rows = connection.execute(
        select(EVENTS, LANES.c.due_at)
        .join(LANES, LANES.c.number == EVENTS.c.number)
        .where(LANES.c.holding == "retrying", EVENTS.c.number > after_number)
        .order_by(EVENTS.c.number)
        .limit(limit)
    )
    return [retried_of(row) for row in rows]


def replay(number: int, connection: Connection) -> bool:
    """Make a dead letter wait again, with all its tries before it."""
    whose = select(EVENTS.c.uid).where(*_IS_BURIED)
    uid = connection.execute(whose, {"of_number": number}).scalar_one_or_none()
    if uid is None:
        return False
    lanes.enter(connection, uid)
    was_there = connection.execute(_DIG_UP, {"of_number": number}).rowcount == 1
    if was_there:
        lanes.hurry(connection, uid, number)
    return was_there


def drop(number: int, connection: Connection, *, now: float) -> bool:
    """Forget a dead letter, but for its id."""
    return connection.execute(_DROP, {"of_number": number, "now": now}).rowcount == 1


def forget(connection: Connection, *, before: float, limit: int) -> int:
    """Delete the oldest of what is done, *limit* rows at most; return how many."""
    some = (
        select(EVENTS.c.number)
        .where(EVENTS.c.state == DONE, EVENTS.c.finished_at < before)
        .order_by(EVENTS.c.finished_at)
        .limit(limit)
    )
    return connection.execute(delete(EVENTS).where(EVENTS.c.number.in_(some))).rowcount


def _demand_lease(connection: Connection, claim: Claim) -> None:
    if not lanes.is_leased(connection, claim):
        raise LeaseLostError("lease_lost")
