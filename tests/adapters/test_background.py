"""Background work: at its own pace, whatever happens in it, and in every process."""

import os
import queue
import threading
import time

import pytest

from tests.exhaustion import no_threads
from tests.fakes import Notices
from tests.watching import watching
from tokensvc.adapters.background import Periodic

SOON_S = 10.0
NEVER_S = 3600.0


def test_turns_come_as_they_ask_for() -> None:
    """Each turn says when the next one is due."""
    turns: queue.Queue[int] = queue.Queue()
    delays = iter([0.0, 0.0, NEVER_S])

    def act() -> float:
        turns.put(1)
        return next(delays)

    work = Periodic("work", act, notify=Notices())
    work.start()

    assert [turns.get(timeout=SOON_S) for _ in range(3)] == [1, 1, 1]
    work.stop()
    assert turns.empty()


def test_a_turn_can_be_had_at_once() -> None:
    """Whoever wakes the work does not wait for its next turn."""
    turns: queue.Queue[int] = queue.Queue()

    def act() -> float:
        turns.put(1)
        return NEVER_S

    work = Periodic("work", act, notify=Notices())
    work.start()
    turns.get(timeout=SOON_S)

    work.wake()

    assert turns.get(timeout=SOON_S) == 1
    work.stop()


def test_calls_that_come_together_have_one_turn() -> None:
    """With time to gather, what is called for meanwhile is done in the same turn."""
    turns: queue.Queue[int] = queue.Queue()

    def act() -> float:
        turns.put(1)
        return NEVER_S

    work = Periodic("work", act, notify=Notices(), gather_s=0.2)
    work.start()
    turns.get(timeout=SOON_S)

    for _ in range(20):
        work.wake()
        time.sleep(0.001)

    assert turns.get(timeout=SOON_S) == 1
    work.stop()
    assert turns.qsize() <= 1  # a machine that stood still between two of the calls


def test_work_begins_when_there_is_some() -> None:
    """There is no thread before the first piece of work, and one from then on."""
    turns: queue.Queue[int] = queue.Queue()

    def act() -> float:
        turns.put(threading.get_ident())
        return NEVER_S

    with watching() as doings:
        work = Periodic("lazy", act, notify=Notices())
    assert doings.threads == []

    work.start_or_wake()
    first = turns.get(timeout=SOON_S)
    work.start_or_wake()

    assert turns.get(timeout=SOON_S) == first
    work.stop()


def test_a_turn_that_raises_is_told_and_followed_by_the_next() -> None:
    """One bad turn is an alarm, and not the end."""
    notices, again = Notices(), threading.Event()
    outcomes = iter([True, False])

    def act() -> float:
        if next(outcomes):
            raise ValueError("a text that nobody must read")
        again.set()
        return NEVER_S

    work = Periodic("work", act, notify=notices, retry_s=0.0)
    work.start()

    assert again.wait(SOON_S)
    work.stop()
    (event,) = notices.events
    assert (event.name, event.is_alarm) == ("background_work_failed", True)
    assert event.facts == {"work": "work", "kind": "ValueError"}


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_forked_process_has_its_own() -> None:
    """A server that forks its workers after start-up has the work done in each of them."""
    reading, writing = os.pipe()

    def act() -> float:
        os.write(writing, f"{os.getpid()} ".encode())
        return NEVER_S

    work = Periodic("work", act, notify=Notices())
    work.start()
    told = os.read(reading, 100)
    child = os.fork()
    if child == 0:
        # The child's own thread writes, and then this process ends without cleaning up.
        threading.Event().wait(1)
        os._exit(0)
    os.waitpid(child, 0)
    work.stop()
    os.close(writing)
    told += os.read(reading, 100)
    os.close(reading)

    assert told.decode().split() == [str(os.getpid()), str(child)]


def test_what_was_never_begun_is_not_begun_by_a_fork() -> None:
    """A process that wants no background work forks into one that does not either."""
    work = Periodic("work", lambda: NEVER_S, notify=Notices())

    with watching() as doings:
        work.restart_in_child()

    assert doings.threads == []


def test_work_begins_with_the_next_piece_where_no_thread_could_be_had() -> None:
    """A process at its limit of threads is told of, and has its work done when it has room."""
    notices, turns = Notices(), queue.Queue[int]()

    def act() -> float:
        turns.put(1)
        return NEVER_S

    work = Periodic("work", act, notify=notices)
    with no_threads():
        begun = work.start_or_wake()

    assert (begun, work.start_or_wake()) == (False, True)
    assert turns.get(timeout=SOON_S) == 1
    assert [event.facts for event in notices.events] == [{"work": "work", "kind": "RuntimeError"}]
    work.stop()


def test_start_that_fails_can_be_stopped_and_made_again() -> None:
    """At start-up it is the caller who learns of it; nothing half begun is left."""
    turns: queue.Queue[int] = queue.Queue()

    def act() -> float:
        turns.put(1)
        return NEVER_S

    work = Periodic("work", act, notify=Notices())
    with no_threads(), pytest.raises(RuntimeError):
        work.start()
    work.stop()

    work.start()

    assert turns.get(timeout=SOON_S) == 1
    work.stop()
