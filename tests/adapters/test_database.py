"""Database: shared by threads, not by processes, and with one kind of error."""

import logging
import multiprocessing
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, event, text

from tests.builders import a_uid, an_event
from tests.databases import a_sqlite_database, sqlite_url
from tokensvc.adapters.accounts import SQLAccounts
from tokensvc.adapters.database import Database
from tokensvc.adapters.engines import Waits, parse_database_url
from tokensvc.adapters.inbox import SQLInbox
from tokensvc.domain.accounts import Account
from tokensvc.domain.errors import (
    AccountChangedError,
    DeliveryConflictError,
    StorageUnavailableError,
)
from tokensvc.domain.model import Profile

BODY = b"x"


@pytest.mark.parametrize(
    ("pragma", "value"),
    [("journal_mode", "wal"), ("synchronous", 2), ("busy_timeout", 1500)],
)
def test_sqlite_is_opened_for_keeps(sqlite_url: str, pragma: str, value: object) -> None:
    """A log that is synced at each commit, and patience with other processes."""
    database = Database(sqlite_url, Waits(statement_timeout_s=1.5))
    with database.read() as connection:
        assert connection.execute(text(f"PRAGMA {pragma}")).scalar() == value
    database.close()


def test_postgresql_commits_wait_for_the_disk(postgresql_url: str) -> None:
    """Also where the server's own setting is not to."""
    lazy = postgresql_url.replace("search_path", "synchronous_commit%3Doff -csearch_path")
    database = Database(lazy)
    with database.read() as connection:
        assert connection.execute(text("SHOW synchronous_commit")).scalar() == "on"
    database.close()


def test_no_file_is_made_by_the_way(tmp_path: Path) -> None:
    """A path that was mistyped is no empty database, in which nobody was ever deleted."""
    database = Database(sqlite_url(tmp_path / "typo.db"))

    with pytest.raises(StorageUnavailableError, match="database_unreachable"):
        SQLAccounts(database).find(a_uid())

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "url",
    [
        *("sqlite://", "sqlite:///relative.db", "sqlite:///:memory:", "sqlite:////x?mode=memory"),
        *("mysql://u:canary@h/x", "postgresql://u:canary@h", "postgresql+asyncpg://h/x"),
        *("canary", "postgresql://u:canary@h:port/x", "postgresql://h/x?password=canary", ""),
    ],
)
def test_urls_that_name_no_database(url: str) -> None:
    """A URL that cannot be used is refused, and no part of it is quoted."""
    with pytest.raises(ValueError, match=r"must|is no URL") as raised:
        parse_database_url(url)

    assert "canary" not in str(raised.value)


def test_home_of_the_user_is_found() -> None:
    """`~` is where the service's user lives."""
    assert Database("sqlite:///~/x/tokensvc.db").file == Path.home() / "x/tokensvc.db"


def write_in_child(
    database: Database, inherited: Engine, told: "multiprocessing.Queue[tuple[int, bool]]"
) -> None:
    inbox = SQLInbox(database)
    inbox.put([an_event("child")], body_hash=BODY)
    told.put((inbox.status().waiting, database.engine is inherited))


def test_forked_process_has_connections_of_its_own(database_url: str) -> None:
    """A child that was forked after use works, and leaves the parent's connections alone."""
    database = Database(database_url)
    inbox = SQLInbox(database)
    inbox.put([an_event("parent")], body_hash=BODY)
    context = multiprocessing.get_context("fork")
    told: multiprocessing.Queue[tuple[int, bool]] = context.Queue()
    child = context.Process(target=write_in_child, args=(database, database.engine, told))

    child.start()
    child.join(20)

    assert told.get(timeout=5) == (2, False)
    inbox.put([an_event("parent again")], body_hash=BODY)
    assert inbox.status().waiting == 3
    database.close()


class LongWrite:
    """A work that holds the database until it may go on."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.go_on = threading.Event()

    def __call__(self, _: Connection) -> None:
        self.begun.set()
        self.go_on.wait(20)


def test_threads_share_a_sync(sqlite_url: str) -> None:
    """What waits while one thread writes is written together, and each is told of its own."""
    database = Database(sqlite_url, Waits(statement_timeout_s=20))
    inbox = SQLInbox(database)
    inbox.put([an_event("old")], body_hash=BODY)
    commits: list[None] = []
    event.listen(database.engine, "commit", lambda _: commits.append(None))
    writing = LongWrite()

    with ThreadPoolExecutor(34) as pool:
        holder = pool.submit(database.write, writing)
        writing.begun.wait(20)
        puts = [
            pool.submit(partial(inbox.put, [an_event(f"{n}", f"u{n}")], body_hash=BODY))
            for n in range(30)
        ]
        known = pool.submit(partial(inbox.put, [an_event("old")], body_hash=BODY))
        conflict = pool.submit(partial(inbox.put, [an_event("old")], body_hash=b"other"))
        while database.waiting < 32:
            pass
        writing.go_on.set()
        holder.result()

        assert [put.result() for put in puts] == [True] * 30
        assert known.result() is False
        assert isinstance(conflict.exception(), DeliveryConflictError)
    assert len(commits) == 2
    assert inbox.status().waiting == 31
    database.close()


def test_failure_of_a_shared_transaction_is_told_to_all(sqlite_url: str) -> None:
    """Whoever's work was in it is told, and nobody is told that it is on disk."""
    database = Database(sqlite_url, Waits(statement_timeout_s=20))
    inbox = SQLInbox(database)
    writing = LongWrite()

    def spoil(connection: Connection) -> None:
        connection.execute(text("INSERT INTO nowhere VALUES (1)"))

    with ThreadPoolExecutor(8) as pool:
        pool.submit(database.write, writing)
        writing.begun.wait(20)
        works: list[Callable[[], object]] = [
            partial(inbox.put, [an_event("1")], body_hash=BODY),
            partial(database.write, spoil),
            partial(inbox.put, [an_event("2", "bob")], body_hash=BODY),
        ]
        results = [pool.submit(work) for work in works]
        while database.waiting < 3:
            pass
        writing.go_on.set()
        errors = [result.exception() for result in results]

    assert [str(error) for error in errors] == ["schema_missing"] * 3
    assert inbox.status().waiting == 0
    database.close()


def test_patience_ends(sqlite_url: str) -> None:
    """Whoever waits too long for their turn is told, and their work is not done afterwards."""
    database = Database(sqlite_url, Waits(statement_timeout_s=0.1))
    inbox = SQLInbox(database)
    writing = LongWrite()

    with ThreadPoolExecutor(1) as pool:
        holder = pool.submit(database.write, writing)
        writing.begun.wait(20)
        with pytest.raises(StorageUnavailableError, match="database_locked"):
            inbox.put([an_event()], body_hash=BODY)
        writing.go_on.set()
        holder.result()

    inbox.put([an_event("2")], body_hash=BODY)
    claim = inbox.claim(lease_s=60)
    assert claim is not None
    assert (claim.event.event_id, inbox.status().waiting) == ("2", 0)
    database.close()


def test_one_of_many_writers_of_an_account_wins(database_url: str) -> None:
    """Of sixteen who have read the same revision one writes, and the others are told."""
    database = Database(database_url, Waits(statement_timeout_s=20))
    accounts = SQLAccounts(database)

    def save(name: str) -> bool:
        try:
            accounts.save(Account(a_uid(), whole=Profile(name=name)))
        except AccountChangedError:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(save, map(str, range(16)))) == 1
    database.close()


def test_versions_beyond_64_bits_spoil_nobodys_work(database_url: str) -> None:
    """A sender may send any number: the nearest that fits is kept."""
    database = Database(database_url)
    inbox = SQLInbox(database)
    inbox.put([an_event(version=10**30)], body_hash=BODY)

    claim = inbox.claim(lease_s=1)

    assert claim is not None
    assert claim.event.version == 2**63 - 1
    database.close()


def test_profile_is_gone_once_it_was_applied(tmp_path: Path) -> None:
    """What stays known of a done event is its id, and no person's name."""
    file = tmp_path / "tokensvc.db"
    database = Database(a_sqlite_database(file))
    inbox = SQLInbox(database)
    inbox.put([an_event(profile=Profile(name="Alice"))], body_hash=BODY)
    claim = inbox.claim(lease_s=60)
    assert claim is not None
    inbox.done(claim)

    rows = sqlite3.connect(file).execute("SELECT profile, event_id FROM events").fetchall()

    assert rows == [(None, "1")]
    database.close()


def test_drivers_log_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Their tracebacks would hold what our own errors leave out."""
    database = Database("postgresql://u:canary@127.0.0.1:9/x")
    with pytest.raises(StorageUnavailableError) as raised, database.read():
        pytest.fail("it connected")

    assert caplog.records == []
    for library in ("sqlalchemy.pool", "psycopg"):
        assert not logging.getLogger(library).isEnabledFor(logging.ERROR)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__
    assert str(raised.value) == "database_unreachable"
