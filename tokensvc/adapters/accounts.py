"""Accounts: one row per user, written by whoever has read its newest revision."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

from sqlalchemy import Connection, Row, select, update
from sqlalchemy.dialects import postgresql, sqlite

from tokensvc.adapters.database import Database
from tokensvc.adapters.stored_values import claims_of, profile_of, stored_claims, stored_profile
from tokensvc.adapters.tables import ACCOUNTS
from tokensvc.domain.accounts import Account, AccountState, Flag
from tokensvc.domain.errors import AccountChangedError
from tokensvc.domain.model import Profile, Uid


class SQLAccounts:
    """Keeps the promises of `Accounts` on SQLite and on PostgreSQL."""

    def __init__(self, database: Database, *, now: Callable[[], float] = time.time) -> None:
        self._database = database
        self._now = now

    def find(self, uid: Uid) -> Account | None:
        with self._database.read() as connection:
            row = connection.execute(select(ACCOUNTS).where(ACCOUNTS.c.uid == uid)).one_or_none()
        return None if row is None else _account_of(row)

    def find_each(self, uids: Collection[Uid]) -> Mapping[Uid, Account]:
        if not uids:
            return {}
        wanted = ACCOUNTS.c.uid.in_(_in_few_lengths(uids))
        with self._database.read() as connection:
            rows = connection.execute(select(ACCOUNTS).where(wanted)).all()
        return {account.uid: account for account in map(_account_of, rows)}

    def save(self, account: Account) -> None:
        if not self._database.write(partial(_save, account, now=self._now())):
            raise AccountChangedError("account_changed")

    def due_for_deletion(self, *, now: float, limit: int = 100) -> Sequence[Account]:
        with self._database.read() as connection:
            rows = connection.execute(
                select(ACCOUNTS)
                .where(ACCOUNTS.c.delete_at <= now)
                .order_by(ACCOUNTS.c.delete_at)
                .limit(limit)
            ).all()
        return [_account_of(row) for row in rows]


def _in_few_lengths(uids: Collection[Uid]) -> list[Uid]:
    """Return *uids*, one of them repeated until there are 1, 2, 4, 8 ... of them.

    Each length is a statement of its own, which the driver prepares and keeps.
    """
    several = list(uids)
    length = 1 << (len(several) - 1).bit_length()
    return several + several[:1] * (length - len(several))


def _save(account: Account, connection: Connection, *, now: float) -> bool:
    """Write the account if it is as it was read; return whether it was."""
    values = {**_row_of(account), "revision": account.revision + 1, "updated_at": now}
    if account.revision == 0:
        insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
        new = insert(ACCOUNTS).values(
            **values, uid=account.uid, created_at=account.created_at or now
        )
        written = connection.execute(new.on_conflict_do_nothing().returning(ACCOUNTS.c.uid))
        return written.one_or_none() is not None
    as_read = (ACCOUNTS.c.uid == account.uid, ACCOUNTS.c.revision == account.revision)
    return connection.execute(update(ACCOUNTS).where(*as_read).values(**values)).rowcount == 1


def _row_of(account: Account) -> Mapping[str, Any]:
    """Return what changes; who it is and since when does not."""
    return {
        "profile": stored_profile(account.whole),
        "profile_version": account.whole_version,
        "claims": stored_claims(account.claims),
        "suspended": account.suspended.is_on,
        "suspended_version": account.suspended.version,
        "deactivated": account.deactivated.is_on,
        "deactivated_version": account.deactivated.version,
        "deleted": account.deleted.is_on,
        "deleted_version": account.deleted.version,
        "purged_at": account.purged_at,
        "delete_at": account.delete_at,
        "sent_profile_hash": account.sent_profile_hash,
        "sent_state": account.sent_state,
    }


def _account_of(row: Row[Any]) -> Account:
    return Account(
        uid=row.uid,
        whole=profile_of(row.profile) or Profile(),
        whole_version=row.profile_version,
        claims=claims_of(row.claims),
        suspended=Flag(row.suspended, row.suspended_version),
        deactivated=Flag(row.deactivated, row.deactivated_version),
        deleted=Flag(row.deleted, row.deleted_version),
        purged_at=row.purged_at,
        delete_at=row.delete_at,
        sent_profile_hash=row.sent_profile_hash,
        sent_state=None if row.sent_state is None else AccountState(row.sent_state),
        revision=row.revision,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
