"""Watching: what a block of code opens and runs, whom it connects to, which threads it begins."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from unittest.mock import patch

PROGRAMS: Final = frozenset({"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn"})
DISK: Final = frozenset({"os.mkdir", "os.rename", "os.link", "os.symlink", "sqlite3.connect"})
_WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT


@dataclass
class Doings:
    """What was done in this process, in any of its threads but *strangers*."""

    strangers: set[threading.Thread] = field(default_factory=set)
    """Those that others have left behind, and those that these begin meanwhile."""
    connections: list[object] = field(default_factory=list)
    """The addresses that were connected to."""
    files: list[str] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    programs: list[str] = field(default_factory=list)
    threads: list[threading.Thread] = field(default_factory=list)

    def forget(self) -> None:
        """Begin anew: what was done so far only prepares."""
        for done in (self.connections, self.files, self.written, self.programs, self.threads):
            done.clear()


_watchers: Final[list[Doings]] = []
_start: Final = threading.Thread.start


@contextmanager
def watching() -> Iterator[Doings]:
    """Write down what this thread does in the block, and each one that begins there.

    Services of other tests go on in other threads: what these do is not written down.
    """
    doings = Doings()
    _watchers.append(doings)
    try:
        # (what begins a thread is told to audit hooks by newer interpreters only)
        with patch.object(threading.Thread, "start", _notice_and_start):
            doings.strangers.update({*threading.enumerate()} - {threading.current_thread()})
            doings.forget()
            yield doings
    finally:
        _watchers.remove(doings)


def _notice_and_start(thread: threading.Thread) -> None:
    for doings in _watchers:
        is_strange = threading.current_thread() in doings.strangers
        (doings.strangers.add if is_strange else doings.threads.append)(thread)
    _start(thread)


def _notice(event: str, arguments: tuple[Any, ...]) -> None:
    for doings in _watchers:
        # Not by their idents: a new thread may have that of one which has ended.
        if threading.current_thread() not in doings.strangers:
            _write_down(doings, event, arguments)


def _write_down(doings: Doings, event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect":
        doings.connections.append(arguments[1])
    elif event == "open" and not isinstance(arguments[0], int):
        doings.files.append(os.fsdecode(arguments[0]))
        if arguments[2] & _WRITING:
            doings.written.append(os.fsdecode(arguments[0]))
    elif event in DISK:
        doings.written.append(f"{event} {arguments[0]!r}")
    elif event in PROGRAMS:
        doings.programs.append(str(arguments[0]))


# A hook of the interpreter cannot be taken out again: this one does nothing while nobody watches.
sys.addaudithook(_notice)
