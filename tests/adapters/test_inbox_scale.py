"""The inbox's costs: a claim does as much work with a million rows as with a few."""

import json
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest
from sqlalchemy import Connection, event, text

from tests.builders import an_event
from tokensvc.adapters.database import Database
from tokensvc.adapters.engines import Waits
from tokensvc.adapters.inbox import SQLInbox

DONE: Final = 200_000
WAITING: Final = 100_000
PATIENT: Final = Waits(statement_timeout_s=60)
FILL: Final = """
    WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {rows})
    INSERT INTO events (source, event_id, body_hash, uid, kind, version, state, attempts, fence,
                        received_at, finished_at)
    SELECT 'fill', '{state}-' || n, {hash}, {uid}, 'updated', n, '{state}', 0, 0, n, {finished}
    FROM numbers
"""


class Costs:
    """Counts what the database does: SQLite's instructions, or PostgreSQL's pages."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.inbox = SQLInbox(database)
        self.is_sqlite = database.file is not None

    def fill(self) -> None:
        """Have a long past, and one user with a long queue whose first event is leased."""
        blob = "x'00'" if self.is_sqlite else "'\\x00'::bytea"
        past = {"rows": DONE, "state": "done", "hash": blob, "uid": "'u' || n", "finished": "n"}
        queue = {"rows": WAITING, "state": "waiting", "hash": blob, "uid": "'flood'"}
        self.run(FILL.format(**past))
        self.inbox.put([an_event("head", "flood")], body_hash=b"x")
        self.run(FILL.format(**queue, finished="NULL"))
        assert self.inbox.claim(lease_s=900) is not None
        if not self.is_sqlite:
            self.run("ANALYZE")

    def go_on_in_the_queue(self) -> None:
        """Finish the first event of the long queue, whose lease has run out."""
        later = SQLInbox(self.database, now=lambda: time.time() + 7200)
        claim = later.claim(lease_s=60)
        assert claim is not None
        assert claim.event.uid == "flood"
        later.done(claim)

    def run(self, statement: str) -> None:
        self.database.write(lambda connection: connection.execute(text(statement)))

    def of(self, act: Callable[[], object]) -> int:
        """Return what *act* costs."""
        with self._counting() as count:
            act()
        return count()

    @contextmanager
    def _counting(self) -> Iterator[Callable[[], int]]:
        pages: list[int] = []
        steps = [0]
        watched: list[sqlite3.Connection] = []

        def explain(connection: Connection, _cursor: object, statement: str, *rest: Any) -> None:
            if re.match(r"\s*(SELECT|UPDATE|INSERT|DELETE)", statement):
                pages.append(_pages(connection, statement, rest[0]))

        def step() -> int:
            steps[0] += 1
            return 0

        def watch(connection: Connection) -> None:
            raw = connection.connection.driver_connection
            assert isinstance(raw, sqlite3.Connection)
            raw.set_progress_handler(step, 1)
            watched.append(raw)

        name, listener = ("begin", watch) if self.is_sqlite else ("before_cursor_execute", explain)
        event.listen(self.database.engine, name, listener)
        yield lambda: steps[0] + sum(pages)
        event.remove(self.database.engine, name, listener)
        for raw in watched:
            raw.set_progress_handler(None, 0)


def _pages(connection: Connection, statement: str, parameters: Any) -> int:
    """Return how many pages a statement touches, by running it and taking it back."""
    cursor = connection.connection.cursor()
    cursor.execute("SAVEPOINT before")
    cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", parameters)
    (row,) = cursor.fetchall()
    cursor.execute("ROLLBACK TO before")
    plan = (row[0] if isinstance(row[0], list) else json.loads(row[0]))[0]["Plan"]
    return int(plan["Shared Hit Blocks"]) + int(plan["Shared Read Blocks"])


@pytest.fixture
def costs(database_url: str) -> Iterator[Costs]:
    """Count on each engine."""
    database = Database(database_url, PATIENT)
    yield Costs(database)
    database.close()


def acts(inbox: SQLInbox) -> dict[str, Callable[[], object]]:
    """Return what the service and the worker do all day."""

    def put(event_id: str, uid: str) -> Callable[[], object]:
        return lambda: inbox.put([an_event(event_id, uid)], body_hash=b"x")

    def claim_and_finish() -> None:
        claim = inbox.claim(lease_s=60)
        assert claim is not None
        inbox.done(claim)

    def retry_and_bury() -> None:
        claim = inbox.claim(lease_s=60)
        assert claim is not None
        inbox.retry(claim, after_s=0, reason="busy")
        again = inbox.claim(lease_s=60)
        assert again is not None
        inbox.bury(again, reason="poison")

    def find_nothing() -> None:
        assert inbox.claim(lease_s=60) is None

    return {
        "put": put("new-1", "alice"),
        "repeat": put("new-1", "alice"),
        "put behind a queue": put("new-2", "flood"),
        "claim and finish": claim_and_finish,
        "put another": put("new-3", "bob"),
        "retry and bury": retry_and_bury,
        "find nothing due": find_nothing,
    }


def test_work_does_not_grow(costs: Costs) -> None:
    """With a long past and behind a long queue each verb costs about what it did before."""
    costs.inbox.put([an_event("head", "flood")], body_hash=b"x")
    assert costs.inbox.claim(lease_s=900) is not None
    few = {name: costs.of(act) for name, act in acts(costs.inbox).items()}
    costs.run("DELETE FROM events")
    costs.run("DELETE FROM lanes")
    costs.fill()

    many = {name: costs.of(act) for name, act in acts(costs.inbox).items()}

    assert {name: n for name, n in many.items() if n > 2 * few[name] + 40} == {}
    assert costs.of(costs.go_on_in_the_queue) < 1000
    # And the count is of something: to look at every row is seen.
    assert costs.of(lambda: costs.run("SELECT count(*) FROM events WHERE version = 4711")) > 1000
