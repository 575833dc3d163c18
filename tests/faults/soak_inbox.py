"""The inbox's soak: two processes put, two claim, and each is killed again and again.

`make soak` runs it with a thousand kills on each engine, and prints figures.
"""

import sys
import time
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

from tests.databases import PostgreSQL, a_sqlite_database
from tests.faults.nursery import Nursery
from tests.faults.soak import Fork, Soak, Verdict, Worker, judge
from tokensvc.adapters.database import Database
from tokensvc.adapters.engines import Waits
from tokensvc.adapters.inbox import SQLInbox

KILLS: Final = 1000


def inbox_workers(url: str, ledger: Path, nursery: Nursery) -> list[Worker]:
    """Return two who put and two who claim, for eight users in all."""

    def worker(verb: str, name: str, users: str = "") -> Worker:
        words = [verb, url, str(ledger), name, *(f"user-{letter}" for letter in users)]
        return Fork(name, words, nursery, adds_work=verb == "put")

    return [
        worker("put", "putter-1", "abcd"),
        worker("put", "putter-2", "efgh"),
        worker("claim", "claimer-1"),
        worker("claim", "claimer-2"),
    ]


def nothing_waits(inbox: SQLInbox) -> bool:
    """Return whether all that was put is done."""
    status = inbox.status()
    return status.waiting == status.leased == status.retrying == 0


def main() -> None:
    """Kill a thousand times on each engine, and print what came of it."""
    folder = Path(mkdtemp(prefix="tokensvc-soak-"))
    server = PostgreSQL(folder / "pg")
    urls = {"SQLite": a_sqlite_database(folder / "tokensvc.db"), "PostgreSQL": server.a_database()}
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else KILLS
    try:
        verdicts = {engine: soak_inbox(url, folder / engine, kills) for engine, url in urls.items()}
    finally:
        server.remove()
    if any(verdict.lost or verdict.reordered for verdict in verdicts.values()):
        sys.exit(1)


def soak_inbox(url: str, ledger: Path, kills: int) -> Verdict:
    """Soak the inbox at *url*, and print the figures."""
    started = time.monotonic()
    database = Database(url, Waits(statement_timeout_s=30))
    with Nursery("tests.faults.soak_child") as nursery:
        soak = Soak(ledger, inbox_workers(url, ledger, nursery), kills, seed=kills)
        soak.run(lambda: nothing_waits(SQLInbox(database)))
    database.close()
    verdict = judge(soak)
    took_s = time.monotonic() - started
    sys.stdout.write(f"{ledger.name}: {kills} kills in {took_s:.0f} s: {verdict}\n")
    return verdict


if __name__ == "__main__":
    main()
