"""The queue in front of the log: it takes lines at once, writes them whole, and counts the rest."""

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from unittest.mock import Mock

import pytest

from tests.exhaustion import no_threads
from tests.fakes import Notices
from tests.watching import watching
from tokensvc.adapters import line_queue
from tokensvc.adapters.line_queue import LineQueue

SOON_S = 10.0
LINE = "x" * 999 + "\n"


class Pipe:
    """A pipe of one page, whose reader reads when the test says so."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()
        fcntl.fcntl(self.writing, fcntl.F_SETPIPE_SZ, 4096)
        self.received = b""
        self.reader = threading.Thread(target=self._read, daemon=True)

    def _read(self) -> None:
        while chunk := os.read(self.reading, 65536):
            self.received += chunk


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """Return a pipe that nobody reads yet."""
    made = Pipe()
    yield made
    for descriptor in (made.reading, made.writing):
        os.close(descriptor)


def all_of(pipe: Pipe, queue: LineQueue) -> bytes:
    """Read everything that *queue* has and return it."""
    if not pipe.reader.is_alive():
        pipe.reader.start()
    assert queue.drain(SOON_S)
    writing = pipe.writing
    pipe.writing = os.dup(pipe.reading)
    os.close(writing)
    pipe.reader.join(SOON_S)
    return pipe.received


def test_lines_are_written_together(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits goes out in few pieces of whole lines, none larger than a pipe keeps whole."""
    pieces: list[bytes] = []
    written, begun, go_on = os.write, threading.Event(), threading.Event()

    def write(descriptor: int, piece: bytes) -> int:
        begun.set()
        go_on.wait(SOON_S)
        pieces.append(bytes(piece))
        return written(descriptor, piece)

    monkeypatch.setattr(os, "write", write)
    queue = LineQueue(pipe.writing, notify=Notices())
    pipe.reader.start()
    queue.write("first\n")
    begun.wait(SOON_S)
    lines = [f"{number} {'x' * (number * 97 % 1500)}\n" for number in range(200)]
    for line in lines:
        queue.write(line)
    go_on.set()
    # Ends the reader too, which would read the next test's pipe.
    all_of(pipe, queue)

    assert b"".join(pieces).decode() == "first\n" + "".join(lines)
    assert max(map(len, pieces)) <= 4096
    assert all(piece.endswith(b"\n") for piece in pieces)
    assert len(pieces) < len(lines) / 2


def test_lines_arrive_in_order(pipe: Pipe) -> None:
    """What goes in comes out, line after line."""
    queue = LineQueue(pipe.writing, notify=Notices())
    lines = [f"line {number}\n" for number in range(2000)]

    for line in lines:
        queue.write(line)

    assert all_of(pipe, queue).decode() == "".join(lines)


def test_stalled_reader_holds_up_nobody(pipe: Pipe) -> None:
    """Lines beyond the room are counted; when the reader is back, they are told of."""
    notices = Notices()
    queue = LineQueue(pipe.writing, notify=notices, max_lines=10)

    for _ in range(100):
        queue.write(LINE)
    received = all_of(pipe, queue)

    lost = sum(int(event.facts["lines"]) for event in notices.events)
    assert received == LINE.encode() * (100 - lost)
    # The pipe holds four, the thread four (one piece of 4,096 bytes), and the queue ten.
    assert 82 <= lost <= 90
    assert {(event.name, event.is_alarm) for event in notices.events} == {("log_lines_lost", True)}


def test_drain_says_whether_it_was_done(pipe: Pipe) -> None:
    """Whoever ends waits no longer than they want to."""
    queue = LineQueue(pipe.writing, notify=Notices())
    for _ in range(10):
        queue.write(LINE)

    assert not queue.drain(0.01)
    all_of(pipe, queue)
    assert queue.drain(0.01)


def test_long_line_is_written_whole(pipe: Pipe) -> None:
    """A line that the pipe takes in several bites is not cut."""
    queue = LineQueue(pipe.writing, notify=Notices())

    queue.write("ä" * 100_000 + "\n")

    assert all_of(pipe, queue).decode() == "ä" * 100_000 + "\n"


def test_descriptor_that_does_not_block(pipe: Pipe) -> None:
    """Somebody who shares the pipe may have set it so; it is waited for, and takes a part."""
    os.set_blocking(pipe.writing, False)
    queue = LineQueue(pipe.writing, notify=Notices())
    lines = [LINE, *["y" * 99_999 + "\n"] * 5]

    for line in lines:
        queue.write(line)

    assert all_of(pipe, queue).decode() == "".join(lines)


def test_reader_who_is_gone_breaks_nothing(pipe: Pipe) -> None:
    """Lines that cannot be written are given up."""
    queue = LineQueue(pipe.writing, notify=Notices())
    os.close(pipe.reading)

    for _ in range(50):
        queue.write(LINE)

    assert queue.drain(SOON_S)
    pipe.reading = os.dup(pipe.writing)


def test_no_thread_before_the_first_line(pipe: Pipe) -> None:
    """A process that writes nothing needs none."""
    with watching() as doings:
        LineQueue(pipe.writing, notify=Notices())

    assert doings.threads == []


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_forked_process_writes_its_own_lines(pipe: Pipe) -> None:
    """What the parent has taken is written by the parent alone."""
    queue = LineQueue(pipe.writing, notify=Notices())
    for _ in range(20):
        queue.write(LINE)
    child = os.fork()
    if child == 0:
        queue.write("of the child\n")
        queue.drain(SOON_S)
        os._exit(0)

    pipe.reader.start()
    os.waitpid(child, 0)

    received = all_of(pipe, queue)
    assert received.count(LINE.encode()) == 20
    assert received.count(b"of the child\n") == 1


def test_lines_are_written_once_a_thread_can_be_had(pipe: Pipe) -> None:
    """A process at its limit of threads keeps its lines, and breaks no request by them."""
    queue = LineQueue(pipe.writing, notify=Notices())
    with no_threads():
        queue.write("first\n")
        queue.write("second\n")

    queue.write("third\n")

    pipe.reader.start()
    assert all_of(pipe, queue) == b"first\nsecond\nthird\n"


def test_a_line_after_a_pause_is_written_too(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread looks by itself for a while; afterwards a line wakes it."""
    monkeypatch.setattr(line_queue, "AWAKE_S", 0.02)
    queue = LineQueue(pipe.writing, notify=Notices())
    pipe.reader.start()

    for number in range(3):
        queue.write(f"{number}\n")
        assert queue.drain(SOON_S)
        time.sleep(0.1)

    assert all_of(pipe, queue) == b"0\n1\n2\n"


@pytest.mark.parametrize(("awake_s", "is_woken"), [(60.0, False), (0.0, True)])
def test_a_line_wakes_nobody_who_looks_anyway(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch, awake_s: float, *, is_woken: bool
) -> None:
    """The thread would go first on the core that it shares with whoever hands the line over."""
    monkeypatch.setattr(line_queue, "AWAKE_S", awake_s)
    queue = LineQueue(pipe.writing, notify=Notices())
    pipe.reader.start()
    queue.write("first\n")
    assert queue.drain(SOON_S)
    deadline = time.monotonic() + (SOON_S if is_woken else 0.1)
    while not queue._is_idle and time.monotonic() < deadline:  # noqa: SLF001 (nothing else tells)
        time.sleep(0.01)
    woken = Mock(wraps=queue._changed.notify_all)  # noqa: SLF001

    with monkeypatch.context() as patch:
        patch.setattr(queue._changed, "notify_all", woken)  # noqa: SLF001
        with queue._changed:  # noqa: SLF001 (it tells when it has written, too)
            queue.write(LINE)
            called = woken.called

    assert called is is_woken
    all_of(pipe, queue)


def test_lines_that_could_not_be_written_are_counted(pipe: Pipe) -> None:
    """A line that the reader's end refuses is lost, and told of when one gets through."""
    notices = Notices()
    queue = LineQueue(pipe.writing, notify=notices)
    spare = os.dup(pipe.writing)
    os.dup2(pipe.reading, pipe.writing)
    for _ in range(3):
        queue.write(LINE)
    assert queue.drain(SOON_S)
    os.dup2(spare, pipe.writing)
    os.close(spare)

    queue.write("here again\n")

    assert all_of(pipe, queue) == b"here again\n"
    assert [(event.name, event.facts, event.is_alarm) for event in notices.events] == [
        ("log_lines_lost", {"lines": 3}, True)
    ]
