"""Composition of the commands about users: what they call, and what they write down."""

import time
import uuid
from collections.abc import Callable
from typing import Final

from tokensvc.adapters.cometchat_users import CometChatUsers
from tokensvc.domain.account_book import AccountBook
from tokensvc.domain.clocks import Clocks
from tokensvc.domain.columns import Columns
from tokensvc.domain.importing import Existing, UserImport
from tokensvc.domain.pacing import Pace, Patience
from tokensvc.domain.rosters import RosterReader
from tokensvc.domain.uids import uid_rule
from tokensvc.rotation import SecretsInForce
from tokensvc.services_directory import chat_directory, lifecycle_policy_of, provisioning_of
from tokensvc.services_storage import Storage
from tokensvc.settings import Settings

READ_TIMEOUT_S: Final = 20.0
TOTAL_TIMEOUT_S: Final = 40.0
"""Nobody's login waits for a command, and fifty users take longer than one."""


def users_directory(settings: Settings) -> CometChatUsers:
    """Return CometChat as the commands call it: patiently, and on what logins leave of the plan."""
    cometchat = settings.cometchat
    patient = {
        "read_timeout_s": max(READ_TIMEOUT_S, cometchat.read_timeout_s),
        "try_timeout_s": max(READ_TIMEOUT_S, cometchat.try_timeout_s),
        "total_timeout_s": max(TOTAL_TIMEOUT_S, cometchat.total_timeout_s),
    }
    # What is tried again is the command's to know: a row that "exists" may be its own.
    upstream = settings.upstream.model_copy(update={"retry_ratio": 0.0})
    slower = settings.model_copy(
        update={"cometchat": cometchat.model_copy(update=patient), "upstream": upstream}
    )
    secrets = SecretsInForce(slower, mask=lambda _: None)
    clocks = Clocks(time.time, time.monotonic)
    # A command tells what went wrong by itself: its errors are its lines.
    client = chat_directory(slower, secrets, clocks, lambda _: None, share="sync")
    return CometChatUsers(client)


def account_book(settings: Settings, storage: Storage) -> AccountBook:
    """Return where commands write down what they did."""
    return AccountBook(
        storage.accounts,
        storage.inbox,
        lifecycle_policy_of(settings),
        time.time,
        lambda: uuid.uuid4().hex,
    )


def user_import(
    settings: Settings,
    book: AccountBook | None,
    *,
    existing: Existing,
    per_minute: int,
    tell: Callable[[float, str], None],
) -> UserImport:
    """Return what sends users in bulk, at most *per_minute* requests."""
    return UserImport(
        directory=users_directory(settings),
        provisioning=provisioning_of(settings),
        pace=Pace(per_minute, time.monotonic, time.sleep),
        patience=Patience(time.sleep, tell),
        existing=existing,
        book=book,
    )


def roster_reader(settings: Settings, columns: Columns, issuer: str | None) -> RosterReader | None:
    """Return what reads the app's list as *issuer*'s logins are read; None if there is none such.

    Without *issuer*, where several are configured, no subject can be read: it is a
    user of one of them.
    """
    tables = [table for table in settings.sessions if issuer in {None, table.issuer}]
    if not tables:
        return None
    is_one = len(tables) == 1
    rule = uid_rule(settings.uids.strategy, prefix=tables[0].uid_prefix) if is_one else None
    return RosterReader(columns, rule, prefixes_of(settings, issuer=None))


def prefixes_of(settings: Settings, issuer: str | None) -> tuple[str, ...]:
    """Return what the uids of *issuer*'s users begin with, or those of all issuers' users."""
    tables = (table for table in settings.sessions if issuer in {None, table.issuer})
    return tuple(table.uid_prefix for table in tables)
