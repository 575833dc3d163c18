"""Two processes that write to one SQLite file: nobody is overtaken again and again."""

import multiprocessing
import threading
from multiprocessing.synchronize import Event

from sqlalchemy import Connection, text

from tokensvc.adapters.database import Database

COUNT = text("SELECT CAST(version_num AS INTEGER) FROM alembic_version")
ADD_ONE = text("UPDATE alembic_version SET version_num = CAST(version_num AS INTEGER) + 1")
WRITES = 60
THREADS = 8
FAIR = 12 * THREADS
"""What may be written while one waits: some of the other process' turns. Where SQLite waits for
itself, the worst of sixty writes sees 1,500 and more go by, now and then 6,000."""


def add_one(connection: Connection) -> int:
    before: int = connection.execute(COUNT).scalar_one()
    connection.execute(ADD_ONE)
    return before


def write_without_pause(url: str, enough: Event) -> None:
    database = Database(url)

    def go_on() -> None:
        while not enough.is_set():
            database.write(add_one)

    threads = [threading.Thread(target=go_on) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_writer_is_not_overtaken_for_ever(sqlite_url: str) -> None:
    """Whoever comes while another process writes without pause has one of the next turns."""
    context = multiprocessing.get_context("spawn")
    enough = context.Event()
    other = context.Process(target=write_without_pause, args=(sqlite_url, enough))
    other.start()
    database = Database(sqlite_url)

    def count() -> int:
        with database.read() as connection:
            counted: int = connection.execute(COUNT).scalar_one()
            return counted

    began_at = count()
    while other.is_alive() and count() < began_at + THREADS:
        pass
    overtaken = []
    for _ in range(WRITES):
        asked_at = count()
        overtaken.append(database.write(add_one) - asked_at)
        # The other one goes on by itself meanwhile.
        threading.Event().wait(0.005)
    enough.set()
    other.join(30)
    database.close()

    assert other.exitcode == 0
    assert max(overtaken) <= FAIR
