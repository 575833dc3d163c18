"""Orphaned: a server's process whose parent was killed stops by itself, as if told to."""

import multiprocessing
import os
import signal
import threading
from typing import Final

from tokensvc.adapters.background import Periodic
from tokensvc.domain.audit import Notify

LOOK_EVERY_S: Final = 1.0
NOT_FINISHED: Final = 75
"""EX_TEMPFAIL of sysexits.h: somebody was still being answered."""


def end_when_orphaned(*, drain_s: float, notify: Notify) -> None:
    """Let this process finish its answers, for *drain_s* at most, once its parent is gone.

    Nobody would be left to end it, and it would hold the port against the server's
    successor. Nothing is watched where no parent has forked this process.
    """
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid is not None:
        Periodic("parent", _Vigil(parent.pid, drain_s).look, notify=notify).start()


class _Vigil:
    """Tells this process to end when *parent* is not its parent any more, and then makes it."""

    def __init__(self, parent: int, drain_s: float) -> None:
        self._parent = parent
        self._drain_s = drain_s
        self._is_told = False

    def look(self) -> float:
        """Return the seconds until the next look."""
        if self._is_told:
            os._exit(NOT_FINISHED)
        if os.getppid() == self._parent:
            return LOOK_EVERY_S
        self._is_told = True
        # To the thread that waits for it: another one would not wake that up.
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
        return self._drain_s
