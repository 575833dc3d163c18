"""Databases that fail: what a delivery sees, and that the next one is stored without a restart."""

import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

import psycopg
import pytest
from sqlalchemy import Connection, event

from tests.builders import an_event
from tests.databases import PostgreSQL, a_sqlite_database
from tests.faults.rows import Row
from tests.raw_server import raw_server
from tokensvc.adapters import inbox_work as work
from tokensvc.adapters.database import Database
from tokensvc.adapters.engines import Waits
from tokensvc.adapters.inbox import SQLInbox
from tokensvc.adapters.inbox_work import rows_of
from tokensvc.adapters.schema import SchemaError, demand_schema
from tokensvc.domain.errors import StorageUnavailableError
from tokensvc.web.problems import status_of

RECOVERY_S: Final = 10.0
WAITS: Final = Waits(statement_timeout_s=1.0, connect_timeout_s=2.0)
NO_LONGER_THAN_S: Final = WAITS.statement_timeout_s + WAITS.connect_timeout_s + 0.5
NOBODY: Final = 65534
SMALL_DISK: Final = "size=512k"
MOST_CONNECTIONS: Final = 500

LOCKED = Row(
    "SQLite", "another process holds the lock", 503, "storage_unavailable", "database_locked"
)
READ_ONLY = Row("SQLite", "the file is read-only", 503, "storage_unavailable", "database_read_only")
GONE = Row("SQLite", "the file is gone", 503, "storage_unavailable", "database_unreachable")
SMALL = Row("SQLite", "other files fill its disk", 503, "storage_unavailable", "disk_full")
DAMAGED = Row("SQLite", "the file is damaged", 503, "storage_unavailable", "database_damaged")
KILLED_IDLE = Row("PostgreSQL", "its backend is killed between two deliveries", 202, "ok", "")
KILLED = Row(
    "PostgreSQL",
    "its backend is killed in a delivery",
    503,
    "storage_unavailable",
    "database_unreachable",
)
DOWN = Row("PostgreSQL", "it is shut down", 503, "storage_unavailable", "database_unreachable")
CROWDED = Row(
    "PostgreSQL", "it has too many connections", 503, "storage_unavailable", "too_many_connections"
)
HUNG = Row(
    "PostgreSQL",
    "it accepts and does not answer",
    503,
    "storage_unavailable",
    "database_unreachable",
)
STILL = Row(
    "PostgreSQL",
    "its processes stand still, and connections stay open",
    503,
    "storage_unavailable",
    "database_unreachable",
)
WRITE_LOCK = Row(
    "PostgreSQL", "somebody holds a lock", 503, "storage_unavailable", "database_locked"
)
STANDBY = Row("PostgreSQL", "it takes no writes", 503, "storage_unavailable", "database_read_only")
ROWS: Final = (
    *(LOCKED, READ_ONLY, GONE, SMALL, DAMAGED),
    *(KILLED_IDLE, KILLED, DOWN, CROWDED, HUNG, STILL, WRITE_LOCK, STANDBY),
)


class Deliveries:
    """An inbox as a webhook's door sees it: each delivery is a new event."""

    def __init__(self, url: str) -> None:
        self.database = Database(url, WAITS)
        self.inbox = SQLInbox(self.database)
        self.acknowledged = 0

    def status_and_reason(self) -> tuple[int, str]:
        """Put one event; return the status of the answer and the reason in its record."""
        try:
            self.inbox.put([an_event(f"{self.acknowledged}")], body_hash=b"x")
        except StorageUnavailableError as error:
            return status_of(type(error)), error.reason
        self.acknowledged += 1
        return 202, ""

    def meet(self, row: Row) -> None:
        """Assert that a delivery is answered as *row* says, and soon."""
        started = time.monotonic()

        assert self.status_and_reason() == (row.status, row.operator)
        assert time.monotonic() - started < NO_LONGER_THAN_S

    def recover(self) -> None:
        """Assert that a delivery is soon stored again, and that all acknowledged ones are there."""
        deadline = time.monotonic() + RECOVERY_S
        while self.status_and_reason()[0] != 202:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert self.inbox.status().waiting == self.acknowledged
        self.database.close()


@contextmanager
def deliveries(url: str) -> Iterator[Deliveries]:
    """Give an inbox that works, and see that it does so again after the block."""
    subject = Deliveries(url)
    assert subject.status_and_reason() == (202, "")
    yield subject
    subject.recover()


@pytest.fixture
def folder() -> Iterator[Path]:
    """Give a folder that other users can enter."""
    path = Path(mkdtemp(prefix="tokensvc-faults-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def test_locked_file(sqlite_url: str) -> None:
    """A process that holds the lock for too long is waited for as long as was set."""
    with deliveries(sqlite_url) as subject:
        other = sqlite3.connect(subject.database.file or "", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")

        subject.meet(LOCKED)

        other.close()


def test_read_only_file(folder: Path) -> None:
    """A file that this user may not write to, which the administrator then puts right."""
    file = folder / "tokensvc.db"
    url = a_sqlite_database(file)
    file.chmod(0o444)
    with as_nobody_if_root():
        subject = Deliveries(url)

        subject.meet(READ_ONLY)

        subject.database.close()
    file.chmod(0o644)
    subject.recover()


def test_file_of_another_user(folder: Path) -> None:
    """A service that runs as another user than the upgrade did is told so before it starts."""
    database = Database(a_sqlite_database(folder / "tokensvc.db"))
    (folder / "tokensvc.db").chmod(0o600 if os.geteuid() == 0 else 0o400)
    with (
        as_nobody_if_root(),
        pytest.raises(SchemaError, match="cannot be written to by this user"),
    ):
        demand_schema(database)


def test_folder_of_another_user(folder: Path) -> None:
    """So is one that may not even enter the folder."""
    database = Database(a_sqlite_database(folder / "tokensvc.db"))
    folder.chmod(0o700 if os.geteuid() == 0 else 0o000)
    with (
        as_nobody_if_root(),
        pytest.raises(SchemaError, match="cannot be written to by this user"),
    ):
        demand_schema(database)
    folder.chmod(0o755)


@contextmanager
def as_nobody_if_root() -> Iterator[None]:
    """Lay down what lets root write everywhere."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("is_open", [False, True])
def test_file_that_is_gone(tmp_path: Path, *, is_open: bool) -> None:
    """A disk that is not mounted yet, or a file that was removed: nothing goes where none looks.

    And no empty database is made in its place.
    """
    file, away = tmp_path / "tokensvc.db", tmp_path / "away.db"
    subject = Deliveries(a_sqlite_database(file))
    if is_open:
        assert subject.status_and_reason() == (202, "")
    file.rename(away)

    subject.meet(GONE)

    assert not file.exists()
    away.rename(file)
    subject.recover()


def test_file_that_another_one_has_replaced(tmp_path: Path) -> None:
    """What is acknowledged is in the file that the next process will open."""
    file = tmp_path / "tokensvc.db"
    subject = Deliveries(a_sqlite_database(file))
    assert subject.status_and_reason() == (202, "")
    other = tmp_path / "other.db"
    a_sqlite_database(other)
    for name in ("tokensvc.db-wal", "tokensvc.db-shm"):
        (tmp_path / name).unlink()
    other.rename(file)

    subject.meet(GONE)

    subject.acknowledged = 0
    subject.recover()


def test_disk_without_room(tmp_path: Path) -> None:
    """A disk that somebody else has filled, for real; once there is room again all goes on."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(  # noqa: S603 (our own command)
        [shutil.which("mount") or "mount", "-t", "tmpfs", "-o", SMALL_DISK, "none", str(disk)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip("a small disk takes a user who may mount")
    try:
        filler = disk / "filler"
        with deliveries(a_sqlite_database(disk / "tokensvc.db")) as subject:
            lost: list[None] = []
            event.listen(subject.database.engine, "invalidate", lambda *_: lost.append(None))
            fill(filler)
            while subject.status_and_reason()[0] == 202:
                assert subject.acknowledged < 1000
            subject.meet(SMALL)
            # One that is opened now has no room even for what processes share.
            assert lost == []
            subject.database.close()
            fill(filler)
            subject.meet(SMALL)

            filler.unlink()
    finally:
        umount = shutil.which("umount") or "umount"
        # Also where a test that failed has left something open.
        subprocess.run([umount, "--lazy", str(disk)], check=True)  # noqa: S603 (our own command)


def fill(filler: Path) -> None:
    """Write until there is no room."""
    with suppress(OSError), filler.open("ab", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def test_damaged_file(tmp_path: Path) -> None:
    """A file that is none is no empty database either; a backup that is put back is used."""
    file = tmp_path / "tokensvc.db"
    url = a_sqlite_database(file)
    good = file.read_bytes()
    file.write_bytes(b"not a database" * 1000)
    subject = Deliveries(url)

    subject.meet(DAMAGED)

    file.write_bytes(good)
    subject.recover()


def test_backend_killed_between_deliveries(postgresql: PostgreSQL, postgresql_url: str) -> None:
    """A connection that died while nobody used it costs no delivery."""
    with deliveries(postgresql_url) as subject:
        kill_backends(postgresql)

        assert subject.status_and_reason() == (KILLED_IDLE.status, "")


def test_backend_killed_in_a_delivery(postgresql: PostgreSQL, postgresql_url: str) -> None:
    """One that dies in the middle of a transaction takes all of it along."""
    with deliveries(postgresql_url) as subject:

        def put_and_die(connection: Connection) -> None:
            work.store(rows_of([(an_event("lost"), b"x")], 0.0), connection)
            kill_backends(postgresql)

        with pytest.raises(StorageUnavailableError, match=KILLED.operator):
            subject.database.write(put_and_die)


def kill_backends(server: PostgreSQL) -> None:
    server.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tokensvc'"
    )


def test_server_shut_down(postgresql: PostgreSQL, postgresql_url: str) -> None:
    """While it is down a delivery is told at once; when it is back, so are we."""
    with deliveries(postgresql_url) as subject:
        postgresql.stop()
        try:
            subject.meet(DOWN)
        finally:
            postgresql.start()


def test_too_many_connections(postgresql: PostgreSQL, postgresql_url: str) -> None:
    """Where others have taken all connections, a delivery is told so."""
    subject = Deliveries(postgresql_url)
    with ExitStack() as crowd:
        with suppress(psycopg.OperationalError):
            for _ in range(MOST_CONNECTIONS):
                crowd.enter_context(closing(psycopg.connect(postgresql.url)))

        subject.meet(CROWDED)
    subject.recover()


def test_server_that_hangs(postgresql_url: str) -> None:
    """One that accepts and says nothing is given up after the time-out."""
    release: list[Callable[[], None]] = []
    with raw_server(lambda connection: release.append(connection.close)) as silent:
        subject = Deliveries(f"postgresql://u:p@127.0.0.1:{silent.port}/x")

        subject.meet(HUNG)
    subject.database.close()
    with deliveries(postgresql_url):
        pass


def test_server_that_stands_still(postgresql: PostgreSQL, postgresql_url: str) -> None:
    """What is asked on an open connection is given up as soon, though the kernel answers."""
    with deliveries(postgresql_url) as subject, postgresql.standing_still():
        subject.meet(STILL)


def test_server_that_comes_to_a_standstill_in_a_delivery(
    postgresql: PostgreSQL, postgresql_url: str
) -> None:
    """It is waited for once, and not once more to have undone what was begun."""
    with deliveries(postgresql_url) as subject, ExitStack() as still:

        def stand_still_and_put(connection: Connection) -> None:
            still.enter_context(postgresql.standing_still())
            work.store(rows_of([(an_event("lost"), b"x")], 0.0), connection)

        started = time.monotonic()
        with pytest.raises(StorageUnavailableError, match=STILL.operator):
            subject.database.write(stand_still_and_put)
        assert time.monotonic() - started < 2 * WAITS.statement_timeout_s


def test_lock_that_is_held(postgresql_url: str) -> None:
    """A table that an administrator has locked is waited for as long as was set."""
    with deliveries(postgresql_url) as subject, psycopg.connect(postgresql_url) as other:
        other.execute("LOCK TABLE events IN ACCESS EXCLUSIVE MODE")

        subject.meet(WRITE_LOCK)

        other.rollback()


def test_server_that_takes_no_writes(postgresql: PostgreSQL, postgresql_url: str) -> None:
    """After a fail-over the old primary is read-only: a delivery is not lost in it."""
    with deliveries(postgresql_url) as subject:
        postgresql.run("ALTER SYSTEM SET default_transaction_read_only = on")
        postgresql.run("SELECT pg_reload_conf()")
        subject.database.close()
        try:
            subject.meet(STANDBY)
        finally:
            with psycopg.connect(
                postgresql.url, autocommit=True, options="-c default_transaction_read_only=off"
            ) as administrator:
                administrator.execute("ALTER SYSTEM RESET default_transaction_read_only")
                administrator.execute("SELECT pg_reload_conf()")
