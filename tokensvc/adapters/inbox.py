"""Inbox: the events of all users in one table, and who is to be served next in another."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

from sqlalchemy.exc import IntegrityError

from tokensvc.adapters import inbox_work as work
from tokensvc.adapters.database import Database
from tokensvc.domain.accounts import UserEvent
from tokensvc.domain.errors import StorageUnavailableError
from tokensvc.domain.ports import BuriedEvent, Claim, InboxStatus, RetriedEvent

FORGOTTEN_AT_ONCE: Final = 500
"""Rows in one transaction, so that no writer waits for long."""


class SQLInbox:
    """Keeps the promises of `Inbox` on SQLite and on PostgreSQL."""

    def __init__(self, database: Database, *, now: Callable[[], float] = time.time) -> None:
        self._database = database
        self._now = now

    def put(self, events: Sequence[UserEvent], *, body_hash: bytes) -> bool:
        return self.put_each([(event, body_hash) for event in events]) > 0

    def put_each(self, events: Sequence[tuple[UserEvent, bytes]]) -> int:
        rows = work.rows_of(events, self._now())
        with suppress(IntegrityError):
            return self._database.write(partial(work.store, rows))
        # The same event came in between the look and the insert; now it is seen.
        with suppress(IntegrityError):
            return self._database.write(partial(work.store, rows))
        raise StorageUnavailableError("database_locked")

    def claim(self, *, lease_s: float) -> Claim | None:
        return self._database.write(partial(work.claim, now=self._now(), lease_s=lease_s))

    def behind(self, claim: Claim) -> Sequence[UserEvent]:
        with self._database.read() as connection:
            return work.behind(claim, connection)

    def done(self, claim: Claim) -> None:
        self._database.write(partial(work.finish, claim, now=self._now()))

    def retry(self, claim: Claim, *, after_s: float, reason: str) -> None:
        put_off = partial(work.put_off, claim, now=self._now(), after_s=after_s, reason=reason)
        self._database.write(put_off)

    def bury(self, claim: Claim, *, reason: str) -> None:
        self._database.write(partial(work.bury, claim, now=self._now(), reason=reason))

    def status(self) -> InboxStatus:
        with self._database.read() as connection:
            return work.status(connection, self._now())

    def retrying(self, *, after_number: int = 0, limit: int = 100) -> Sequence[RetriedEvent]:
        with self._database.read() as connection:
            return work.retrying(connection, after_number=after_number, limit=limit)

    def buried(self, *, after_number: int = 0, limit: int = 100) -> Sequence[BuriedEvent]:
        with self._database.read() as connection:
            return work.buried(connection, after_number=after_number, limit=limit)

    def replay(self, number: int) -> bool:
        return self._database.write(partial(work.replay, number))

    def drop(self, number: int) -> bool:
        return self._database.write(partial(work.drop, number, now=self._now()))

    def forget_done(self, *, before: float) -> int:
        forgotten = 0
        some = partial(work.forget, before=before, limit=FORGOTTEN_AT_ONCE)
        while batch := self._database.write(some):
            forgotten += batch
        return forgotten
