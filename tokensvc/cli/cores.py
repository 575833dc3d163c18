"""Cores: where there is a web process for each core, each keeps to one."""

import errno
import fcntl
import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from tokensvc.adapters.background import Periodic
from tokensvc.domain.audit import Notify, OperationalEvent

LOOK_EVERY_S: Final = 1.0
NOWHERE: Final = -1


def usable_cores() -> Sequence[int]:
    """Return the cores that this process may use; where nobody tells, as many as there are."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return range(os.cpu_count() or 1)


class Cores:
    """Hands out this process' cores to its children, to each for its lifetime.

    One interpreter runs one thread at a time. Where its threads are on two cores, each
    hand-over from one to the other has to wake a core up, and a quarter of the CPU went
    there (docs/performance.md). On one core a thread that is woken interrupts the one that
    has the interpreter, only to wait for it: so no thread does that here (SCHED_BATCH in
    sched(7)), and all get as much of the core as before. Where processes are fewer than
    cores they are left to the system, as everywhere but on Linux.
    """

    def __init__(self, processes: int) -> None:
        cores = usable_cores() if hasattr(os, "sched_setaffinity") else ()
        self._cores = cores if 1 < len(cores) <= processes else ()
        # A lock on one of its bytes is a process' own: a fork does not inherit it, and its
        # end, however it comes, leaves the core to the one that takes its place.
        self._taken = os.memfd_create("cores") if self._cores else NOWHERE

    def take(self) -> bool:
        """Keep this process to a core that none of its siblings has, if there is one.

        Raises OSError where a sandbox forbids that.
        """
        for place, core in enumerate(self._cores):
            try:
                fcntl.lockf(self._taken, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
            except OSError:
                continue
            _keep_to(core)
            return True
        return False

    def take_soon(self, notify: Notify) -> None:
        """Take a core, or else the first that becomes free: an old process may still end.

        Where that is forbidden, say so and leave the process to the system.
        """
        if self._cores and not self._is_settled(notify):
            Periodic("core", partial(self._look, notify), notify=notify).start()

    def close(self) -> None:
        """Hand out no more."""
        if self._taken != NOWHERE:
            os.close(self._taken)

    def _look(self, notify: Notify) -> float:
        return threading.TIMEOUT_MAX if self._is_settled(notify) else LOOK_EVERY_S

    def _is_settled(self, notify: Notify) -> bool:
        try:
            return self.take()
        except OSError as error:
            reason = errno.errorcode.get(error.errno or 0, "unknown")
            notify(OperationalEvent("worker_not_pinned", {"reason": reason}))
            return True


def _keep_to(core: int) -> None:
    """Keep all threads of this process to *core*, where none interrupts another one.

    Those to come inherit both.
    """
    for thread in Path("/proc/self/task").iterdir():
        number = int(thread.name)
        with suppress(ProcessLookupError):
            os.sched_setaffinity(number, {core})
            # A sandbox may forbid it, or know no policies: then they take turns as everywhere.
            with suppress(OSError):
                if os.sched_getscheduler(number) == os.SCHED_OTHER:
                    os.sched_setscheduler(number, os.SCHED_BATCH, os.sched_param(0))
