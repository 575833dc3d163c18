"""Two machines: web processes and workers on one PostgreSQL, one of each killed in the middle."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.soak import Soak, judge
from tests.faults.soak_child import Ledger
from tests.faults.soak_inbox import nothing_waits
from tests.ports import a_free_port
from tests.processes import Process, running
from tests.sync.stories import Listener, Newest, Story, Teller, a_deployment, endings, overtaken
from tokensvc.adapters.database import Database
from tokensvc.adapters.inbox import SQLInbox

ENDS = {"alice": 33, "bob": 38, "carol": 39, "dave": 46, "erin": 45, "frank": 40}
"""The last event of each user; that of bob and of dave is a deletion."""
WITHIN_S = 60.0


@dataclass
class Machine:
    """A web process and a worker."""

    web: Process
    worker: Process


@contextmanager
def a_machine(folder: Path, environ: dict[str, str]) -> Iterator[Machine]:
    port = a_free_port()
    url = f"http://127.0.0.1:{port}"
    with ExitStack() as stack:
        parts = {}
        for part, ready in (("serve", "/readyz"), ("worker", None)):
            own = folder / part
            own.mkdir(parents=True)
            chosen = {**environ, "TOKENSVC_SERVER__PORT": str(port)}
            parts[part] = stack.enter_context(
                running(own, part, url=url, environ=chosen, ready=ready)
            )
        yield Machine(parts["serve"], parts["worker"])


def kill(process: Process) -> None:
    """Kill -9 a command with everything that it has started."""
    os.killpg(process.popen.pid, signal.SIGKILL)
    process.popen.wait(10)


def until(condition: Callable[[], bool]) -> None:
    """Wait for other processes."""
    ends_at = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < ends_at
        threading.Event().wait(0.02)


@pytest.fixture
def database(postgresql_url: str) -> Iterator[Database]:
    database = Database(postgresql_url)
    yield database
    database.close()


def tellers_of(machines: Sequence[Machine], listener: Listener, ledger: Ledger) -> list[Teller]:
    """Return who tells each user's story to the web processes of all *machines*."""
    urls = [machine.web.url for machine in machines]
    return [Teller(Story(uid), urls, ledger, listener.newest_of) for uid in ENDS]


def tell_and_kill(tellers: Sequence[Teller], one: Machine, two: Machine, heard: Newest) -> None:
    """Tell all stories; kill a worker after a quarter was heard, a web process in the middle."""
    whole = sum(ENDS.values())
    with ThreadPoolExecutor(len(tellers)) as pool:
        telling = [pool.submit(teller.tell, ENDS[teller.story.uid]) for teller in tellers]
        until(lambda: sum(map(heard, ENDS)) > whole / 4)
        kill(one.worker)
        until(lambda: sum(teller.told for teller in tellers) > whole / 2)
        kill(two.web)
        is_in_the_middle = not all(story.done() for story in telling)
        for story in telling:
            story.result()
    assert is_in_the_middle


def test_one_of_two_is_killed(database: Database, postgresql_url: str, tmp_path: Path) -> None:
    """What either has answered with 202 comes true in each user's order, whoever is killed."""
    ledger, inbox = Ledger(tmp_path / "ledger"), SQLInbox(database)
    with Listener(ledger) as listener, ExitStack() as stack:
        environ = a_deployment(listener.url, postgresql_url)
        one, two = (
            stack.enter_context(a_machine(tmp_path / name, environ)) for name in ("one", "two")
        )
        tellers = tellers_of((one, two), listener, ledger)
        tell_and_kill(tellers, one, two, listener.newest_of)
        until(lambda: nothing_waits(inbox))
        wrong = endings(tellers, listener, database)

    logs = [machine.worker.stdout.read_text() for machine in (one, two)]
    verdict = judge(Soak(tmp_path / "ledger", [], kills=2), overtaken(tellers, logs))
    assert (verdict.lost, verdict.reordered, wrong) == ([], [], {})
    assert verdict.acknowledged == sum(ENDS.values()) + len(ENDS)
    assert (inbox.status().done, inbox.status().buried) == (verdict.acknowledged, 0)
    # Each of the four has had a part in it, or this was no test of two machines.
    assert all(lines(machine.web, "events_stored") for machine in (one, two))
    assert all(lines(machine.worker, "sync_event_applied") for machine in (one, two))


def lines(process: Process, word: str) -> int:
    """Return how many lines of the log have *word*; one that was being written may be cut."""
    return sum(word in line for line in process.stdout.read_text().splitlines())
