"""Database: transactions on either engine, and one kind of error for all that fails in them."""

import os
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from sqlalchemy import URL, Connection, Engine
from sqlalchemy.exc import IntegrityError

from tokensvc.adapters.engines import SQLITE, WRITES, Waits, engine_of, parse_database_url
from tokensvc.adapters.storage_faults import DRIVER_ERRORS, HARMLESS, unavailable
from tokensvc.adapters.together import Job, Together

T = TypeVar("T")


class Database:
    """Opens nothing before it is asked, and anew in a forked process.

    Raises `StorageUnavailableError` for whatever goes wrong with the database;
    a violated constraint alone stays an `IntegrityError`.
    """

    def __init__(self, url: str, waits: Waits | None = None) -> None:
        self.url: URL = parse_database_url(url)
        self._waits = waits or Waits()
        self._engine: Engine | None = None
        self._abandoned: list[Engine | None] = []
        self._opening = threading.Lock()
        self._together = Together(self._waits.statement_timeout_s, self._commit)
        itself = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: _forget_parent(itself()))

    @property
    def file(self) -> Path | None:
        """The file of a SQLite database; None for a server."""
        return Path(self.url.database or "") if self.url.drivername == SQLITE else None

    @property
    def engine(self) -> Engine:
        """The engine of this process."""
        with self._opening:
            if self._engine is None:
                self._engine = engine_of(self.url, self._waits)
            return self._engine

    @property
    def waiting(self) -> int:
        """How many threads wait for their turn to write."""
        return self._together.waiting

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Look, in one transaction."""
        with self._transaction(writes=False) as connection:
            yield connection

    def write(self, job: Job[T]) -> T:
        """Return what *job* returns, which writes in a transaction; then it is on disk.

        On SQLite the transaction is shared with what other threads write at that time.
        """
        if self.file is None:
            with self._transaction(writes=True) as connection:
                return job(connection)
        return self._together.run(job)

    def close(self) -> None:
        """Close all connections; the next use opens new ones."""
        with self._opening:
            engine, self._engine = self._engine, None
        if engine is not None:
            engine.dispose()

    @contextmanager
    def _transaction(self, *, writes: bool) -> Iterator[Connection]:
        try:
            with self.engine.connect() as connection:
                connection.execution_options(**{WRITES: writes})
                try:
                    with connection.begin():
                        yield connection
                except IntegrityError:
                    raise
                except DRIVER_ERRORS as error:
                    if unavailable(error).reason not in HARMLESS:
                        # Whatever state it is in, a new one is in none.
                        connection.invalidate()
                    raise
        except IntegrityError:
            raise
        except DRIVER_ERRORS as error:
            raise unavailable(error) from None

    def _commit(self, work: Callable[[Connection], None]) -> None:
        with self._transaction(writes=True) as connection:
            work(connection)

    def forget_parent(self) -> None:
        """Leave the parent's connections alone: to close them here would end them there."""
        self._abandoned.append(self._engine)
        self._engine = None
        # Locks of before the fork may be held by threads that are not here.
        self._opening = threading.Lock()
        self._together = Together(self._waits.statement_timeout_s, self._commit)


def _forget_parent(database: Database | None) -> None:
    if database is not None:
        database.forget_parent()
