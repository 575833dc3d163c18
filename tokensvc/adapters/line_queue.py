"""The log's last yards: a thread of its own writes the lines, and nobody waits for its reader."""

import logging
import os
import select
import sys
import threading
import time
import weakref
from collections import deque
from multiprocessing.util import Finalize
from typing import Final, TextIO

from tokensvc.adapters.log_lines import MAX_LINE_BYTES
from tokensvc.domain.audit import Notify, OperationalEvent

MAX_LINES: Final = 10_000
"""Lines that wait for a reader who stalls: some ten megabytes, and minutes of a busy day."""
DRAIN_S: Final = 5.0
"""How long an ending process waits for its reader: less than a server waits for the process."""
GATHER_S: Final = 0.005
"""How long the thread lets lines come together after it has written: to be woken for each of
them would cost the requests more than the lines do."""
AWAKE_S: Final = 1.0
"""How long it looks by itself whether there are any, before it waits to be woken again: whoever
wakes it shares a core with it, and would be answered behind it."""
_LOG: Final = logging.getLogger("tokensvc")


class LineQueue:
    """A stream of lines that takes each at once, and writes them to a file descriptor.

    A pipe that nobody empties would stop every request at its last step. Here the
    lines that find no room are counted, and told of once the others flow again.
    The thread belongs to the process and begins with its first line; a process
    that ends cleanly writes what is left.
    """

    def __init__(self, descriptor: int, *, notify: Notify, max_lines: int = MAX_LINES) -> None:
        self._descriptor = descriptor
        self._notify = notify
        self._max_lines = max_lines
        self._begin_anew()
        itself = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: _begin_anew(itself()))

    def write(self, line: str) -> int:
        """Take *line*; it is written soon, or with a later one where no thread can be had."""
        with self._changed:
            if not self._is_running:
                self._start()
            if len(self._lines) < self._max_lines:
                self._lines.append(line.encode("utf-8", "backslashreplace"))
                if self._is_idle:
                    self._changed.notify_all()
            else:
                self._lost += 1
        return len(line)

    def flush(self) -> None:
        """Do nothing: each line is written as a whole, and nobody waits for that."""

    def drain(self, timeout_s: float) -> bool:
        """Wait until all is written that was taken, and return whether it was."""
        with self._changed:
            return self._changed.wait_for(lambda: not (self._lines or self._is_writing), timeout_s)

    def _begin_anew(self) -> None:
        # In a forked process: the lines are the parent's to write, and its thread is not here.
        self._changed = threading.Condition()
        self._lines: deque[bytes] = deque()
        self._lost = 0
        self._is_writing = False
        self._is_idle = False
        self._is_running = False
        self._finalizer: Finalize | None = None

    def _start(self) -> None:
        if self._finalizer is None:
            # Not atexit: a worker process that multiprocessing has made ends without it.
            self._finalizer = Finalize(None, self._end, exitpriority=0)
        try:
            threading.Thread(target=self._run, name="log lines", daemon=True).start()
        except RuntimeError:
            # The process is at its limit of threads: the next line tries again.
            return
        self._is_running = True

    def _end(self) -> None:
        with self._changed:
            if not self._is_running:
                self._start()
        if not self.drain(DRAIN_S):
            _LOG.error("log_lines_lost: %d", len(self._lines) + self._lost)

    def _run(self) -> None:
        while True:
            lines = self._next_lines()
            is_written = self._write_whole(b"".join(lines))
            with self._changed:
                self._is_writing = False
                self._changed.notify_all()
                self._lost += 0 if is_written else len(lines)
                # With half of the room free, so that this line finds a place itself.
                is_flowing = is_written and len(self._lines) <= self._max_lines // 2
                lost, self._lost = (self._lost, 0) if is_flowing else (0, self._lost)
            if lost:
                self._notify(OperationalEvent("log_lines_lost", {"lines": lost}, is_alarm=True))
            self._let_some_come()

    def _let_some_come(self) -> None:
        """Return when there are lines, or none have come for a while."""
        until = time.monotonic() + AWAKE_S
        while not self._lines and time.monotonic() < until:
            time.sleep(GATHER_S)

    def _next_lines(self) -> list[bytes]:
        """Wait for lines, and take as many as a pipe takes in one piece."""
        with self._changed:
            self._is_idle = True
            self._changed.wait_for(lambda: self._lines)
            self._is_idle = False
            self._is_writing = True
            lines = [self._lines.popleft()]
            room = MAX_LINE_BYTES - len(lines[0])
            while self._lines and (room := room - len(self._lines[0])) >= 0:
                lines.append(self._lines.popleft())
            return lines

    def _write_whole(self, lines: bytes) -> bool:
        """Write *lines*, however long that takes; return False if they cannot be written."""
        left = memoryview(lines)
        while left:
            try:
                left = left[os.write(self._descriptor, left) :]
            except BlockingIOError:
                select.select([], [self._descriptor], [])
            except OSError:
                return False
        return True


def _begin_anew(queue: LineQueue | None) -> None:
    if queue is not None:
        queue._begin_anew()  # noqa: SLF001 (the queue's own hook, outside of it to hold no reference)


def stdout_lines(notify: Notify) -> LineQueue | TextIO:
    """Return stdout with a queue in front of it, unless something without a descriptor is there."""
    try:
        return LineQueue(sys.stdout.fileno(), notify=notify)
    except OSError:
        return sys.stdout
