"""Engines: SQLite and PostgreSQL, opened so that what was committed is on disk."""

import errno
import logging
import os
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import QueuePool

POSTGRESQL_DRIVER: Final = "postgresql+psycopg"
SQLITE: Final = "sqlite"
WRITES: Final = "writes"
"""The execution option of connections that are about to write."""
CONNECTION_LIFETIME_S: Final = 1800
WAL_KEPT_BYTES: Final = 64 * 1024 * 1024
LOCK_LOOK_S: Final = 0.0005
"""How often a writer looks whether a SQLite file is free: a commit takes some of these."""
_LOCK: Final = "BEGIN IMMEDIATE"


@dataclass(frozen=True, slots=True)
class Waits:
    """How long to wait for a database, and how many connections a process may have."""

    pool_size: int = 5
    connect_timeout_s: float = 2.0
    statement_timeout_s: float = 2.0
    """For a statement, for a lock, and for a connection that others have."""


def parse_database_url(text: str) -> URL:
    """Return where a database is; a ValueError says what is wrong without quoting *text*."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise ValueError("is no URL; in a password write # as %23, / as %2F and so on") from None
    if url.drivername == SQLITE:
        return _of_sqlite(url)
    if url.drivername not in {"postgresql", "postgres", POSTGRESQL_DRIVER}:
        raise ValueError("must begin with sqlite:/// or postgresql://")
    if not url.database or "password" in url.query:
        raise ValueError("must look like postgresql://user:password@host:5432/database")
    return url.set(drivername=POSTGRESQL_DRIVER)


def _of_sqlite(url: URL) -> URL:
    place = url.database or ""
    if not place.startswith(("/", "~/")) or url.host or url.query or "\0" in place:
        raise ValueError("must name a file by its whole path, like sqlite:////var/lib/tokensvc/db")
    try:
        return url.set(database=str(Path(place).expanduser()))
    except RuntimeError:
        raise ValueError("begins with ~, and this user has no home") from None


def engine_of(url: URL, waits: Waits) -> Engine:
    """Return the engine of one process for *url*; nothing is opened yet."""
    for library in ("sqlalchemy", "psycopg"):
        # What they log is tracebacks, with what our own errors leave out.
        logging.getLogger(library).setLevel(logging.CRITICAL)
    return _sqlite(url, waits) if url.drivername == SQLITE else _postgresql(url, waits)


def _sqlite(url: URL, waits: Waits) -> Engine:
    engine = create_engine(
        "sqlite://",
        creator=partial(_open_file, Path(url.database or ""), waits.statement_timeout_s),
        # Each connection is one thread's at a time; more of them would wait for the same lock.
        poolclass=QueuePool,
        pool_size=waits.pool_size,
        max_overflow=0,
        pool_timeout=waits.statement_timeout_s,
    )
    event.listen(engine, "begin", partial(_begin, lock_timeout_s=waits.statement_timeout_s))
    return engine


class _OpenFile(sqlite3.Connection):
    """A connection to a file, which knows whether its name still leads to it.

    One that was deleted takes everything and says nothing: whatever is written to it is
    lost when its last process ends.
    """

    path: Path
    identity: tuple[int, int]

    def demand_name(self) -> None:
        """Return if whoever opens *path* gets this file; raises `FileNotFoundError`."""
        if _identity(self.path) != self.identity:
            raise FileNotFoundError(errno.ENOENT, "another file has the name of the database")


def _identity(path: Path) -> tuple[int, int]:
    found = os.stat(path)  # noqa: PTH116 (half as long, and in every transaction)
    return found.st_dev, found.st_ino


def _open_file(path: Path, lock_timeout_s: float) -> _OpenFile:
    """Open the file if it is there: one that is made on the way would be an empty memory."""
    # Before it is opened: if another one takes its place meanwhile, that is found out.
    identity = _identity(path)
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode=rw",
        factory=_OpenFile,
        uri=True,
        timeout=lock_timeout_s,
        isolation_level=None,
        check_same_thread=False,
    )
    connection.path, connection.identity = path, identity
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        # NORMAL would lose what was acknowledged when the power fails.
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(f"PRAGMA journal_size_limit={WAL_KEPT_BYTES}")
    except BaseException:
        connection.close()
        raise
    return connection


def _begin(connection: Connection, *, lock_timeout_s: float) -> None:
    """Take the lock at once where there is something to write: a later one may be refused.

    SQLite's own wait looks less and less often, in the end every 100 ms: where several
    processes write all the time, whoever comes late would wait for half a second.
    """
    if not connection.get_execution_options().get(WRITES):
        connection.exec_driver_sql("BEGIN")
        return
    file = cast("_OpenFile", connection.connection.driver_connection)
    deadline = time.monotonic() + lock_timeout_s
    file.execute("PRAGMA busy_timeout=0")
    try:
        while not _is_settled(file) and time.monotonic() < deadline:
            time.sleep(LOCK_LOOK_S)
        if not file.in_transaction:
            # Once more, for the error that every other statement would raise.
            connection.exec_driver_sql(_LOCK)
        file.demand_name()
    finally:
        file.execute(f"PRAGMA busy_timeout={round(lock_timeout_s * 1000)}")


def _is_settled(file: sqlite3.Connection) -> bool:
    """Try to take the lock, and return whether there is nothing more to wait for."""
    try:
        file.execute(_LOCK)
    except sqlite3.OperationalError as error:
        return error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY
    return True


def _postgresql(url: URL, waits: Waits) -> Engine:
    timeout_ms = round(waits.statement_timeout_s * 1000)
    # The first of the two to end it gives the reason.
    lock_timeout_ms = max(1, timeout_ms * 9 // 10)
    given = url.query.get("options", "")
    engine = create_engine(
        url,
        connect_args={
            "connect_timeout": max(2, round(waits.connect_timeout_s)),
            "tcp_user_timeout": timeout_ms + round(waits.connect_timeout_s * 1000),
            "options": f"{given} -c statement_timeout={timeout_ms}"
            f" -c lock_timeout={lock_timeout_ms}"
            f" -c idle_in_transaction_session_timeout={timeout_ms}",
            "application_name": "tokensvc",
        },
        isolation_level="READ COMMITTED",
        pool_size=waits.pool_size,
        max_overflow=0,
        pool_timeout=waits.statement_timeout_s,
        # A connection that the server has closed is found out before it is used.
        pool_pre_ping=True,
        pool_recycle=CONNECTION_LIFETIME_S,
    )
    event.listen(engine, "do_connect", partial(_connect, statement_s=waits.statement_timeout_s))
    event.listen(engine, "connect", _keep_promises)
    return engine


def _connect(
    _dialect: object,
    _record: object,
    args: list[Any],
    options: dict[str, Any],
    *,
    statement_s: float,
) -> DBAPIConnection:
    # Whoever keeps to SQLite has no psycopg.
    from tokensvc.adapters.bounded_connection import LATE_S, BoundedConnection  # noqa: PLC0415

    connection = BoundedConnection.connect(*args, **options)
    connection.patience_s = statement_s + LATE_S
    return cast("DBAPIConnection", connection)


def _keep_promises(connection: DBAPIConnection, _record: object) -> None:
    """Have commits wait for the disk, also where the server's own setting is not to."""
    with closing(connection.cursor()) as cursor:
        cursor.execute(
            "SELECT set_config('synchronous_commit', 'on', false)"
            " WHERE current_setting('synchronous_commit') = 'off'"
        )
    connection.commit()


def make_file(path: Path) -> None:
    """Make an empty database file for nobody else's eyes, if there is none."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    # So that the file's name is on disk too.
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
