"""Watching: which files a block of code opens, which programs it runs, whom it connects to."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

PROGRAMS: Final = frozenset({"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn"})
_WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT


@dataclass
class Doings:
    """What was done in this process, in any of its threads but *strangers*."""

    strangers: frozenset[threading.Thread] = frozenset()
    """Threads that others have left behind."""
    connections: list[object] = field(default_factory=list)
    """The addresses that were connected to."""
    files: list[str] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    programs: list[str] = field(default_factory=list)


_watchers: Final[list[Doings]] = []


def threads_so_far() -> frozenset[threading.Thread]:
    """Return all threads but this one: services of other tests go on in some."""
    return frozenset({*threading.enumerate()} - {threading.current_thread()})


@contextmanager
def watching(strangers: frozenset[threading.Thread] = frozenset()) -> Iterator[Doings]:
    """Write down what happens in the block, in all threads but *strangers*."""
    doings = Doings(strangers)
    _watchers.append(doings)
    try:
        yield doings
    finally:
        _watchers.remove(doings)


def _notice(event: str, arguments: tuple[Any, ...]) -> None:
    for doings in _watchers:
        # Not by their idents: a new thread may have that of one which has ended.
        if doings.strangers and threading.current_thread() in doings.strangers:
            continue
        if event == "socket.connect":
            doings.connections.append(arguments[1])
        elif event == "open" and not isinstance(arguments[0], int):
            doings.files.append(os.fsdecode(arguments[0]))
            if arguments[2] & _WRITING:
                doings.written.append(os.fsdecode(arguments[0]))
        elif event in PROGRAMS:
            doings.programs.append(str(arguments[0]))


# A hook of the interpreter cannot be taken out again: this one does nothing while nobody watches.
sys.addaudithook(_notice)
