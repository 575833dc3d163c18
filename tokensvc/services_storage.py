"""Composition of the storage: the database, and what is kept in it."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from tokensvc.adapters.accounts import SQLAccounts
from tokensvc.adapters.database import Database
from tokensvc.adapters.engines import Waits
from tokensvc.adapters.inbox import SQLInbox
from tokensvc.settings import Settings


@dataclass(frozen=True, slots=True)
class Storage:
    """What survives a restart. Nothing is opened before it is asked."""

    database: Database
    inbox: SQLInbox
    accounts: SQLAccounts
    keep_done_s: float
    is_chosen: bool
    """Whether the operator has named the database. The default one is made at the start."""

    @property
    def is_kept(self) -> bool:
        """Whether there is a database: the default one may be impossible to make."""
        file = self.database.file
        # A folder that may not be searched has none, as far as this user can tell.
        return self.is_chosen or file is None or os.path.exists(file)  # noqa: PTH110 (the other raises)


def storage_of(settings: Settings, *, now: Callable[[], float] = time.time) -> Storage:
    """Return the storage that *settings* ask for."""
    storage = settings.storage
    waits = Waits(
        pool_size=storage.pool_size,
        connect_timeout_s=storage.connect_timeout_s,
        statement_timeout_s=storage.statement_timeout_s,
    )
    database = Database(storage.url.get_secret_value(), waits)
    return Storage(
        database=database,
        inbox=SQLInbox(database, now=now),
        accounts=SQLAccounts(database, now=now),
        keep_done_s=storage.keep_done_days * 86400,
        is_chosen="url" in storage.model_fields_set,
    )
