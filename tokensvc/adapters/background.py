"""Background: work that goes on beside the requests, in a thread of its own."""

import os
import threading
import time
import weakref
from collections.abc import Callable

from tokensvc.domain.audit import Notify, OperationalEvent


class Periodic:
    """Calls *act* now and again; *act* returns the seconds until its next turn.

    The thread belongs to the process: after a fork the child starts its own. An
    *act* that raises is told to *notify* and called again after *retry_s*. Whatever
    comes within *gather_s* of the call for a turn is done in it.
    """

    def __init__(
        self,
        name: str,
        act: Callable[[], float],
        *,
        notify: Notify,
        retry_s: float = 5.0,
        gather_s: float = 0.0,
    ) -> None:
        self._name = name
        self._act = act
        self._notify = notify
        self._retry_s = retry_s
        self._gather_s = gather_s
        self._wanted = False
        self._due = threading.Event()
        self._thread: threading.Thread | None = None
        self._beginning = threading.Lock()
        itself = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: _restart(itself()))

    def start(self) -> None:
        """Begin, with a first turn at once; raises RuntimeError where no thread can be had."""
        # Events and locks of before a fork may be held by threads that are not here.
        self._due = threading.Event()
        thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._wanted = True
        try:
            thread.start()
        except RuntimeError:
            self._wanted = False
            raise
        self._thread = thread

    def wake(self) -> None:
        """Let the next turn come now."""
        self._due.set()

    def start_or_wake(self) -> bool:
        """Begin when there is work for the first time, else let the next turn come now.

        Returns whether there is a thread. A process at its limit gets none, and
        begins with a later piece of work: whoever has this one must not fail by it.
        """
        with self._beginning:
            if self._thread is not None:
                self.wake()
                return True
            try:
                self.start()
            except RuntimeError as error:
                self._tell(error)
                return False
            return True

    def stop(self) -> None:
        """End after the turn that is under way."""
        self._wanted = False
        self._due.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def restart_in_child(self) -> None:
        """Begin anew in a forked process, if there was a thread in its parent."""
        self._beginning = threading.Lock()
        self._thread = None
        if self._wanted:
            self.start_or_wake()

    def _run(self) -> None:
        while self._wanted:
            # Before the turn: a wake during it asks for one more.
            self._due.clear()
            if self._due.wait(self._turn()) and self._wanted:
                time.sleep(self._gather_s)

    def _turn(self) -> float:
        try:
            return self._act()
        except Exception as error:  # noqa: BLE001 (whatever it was, the next turn must come)
            self._tell(error)
            return self._retry_s

    def _tell(self, error: Exception) -> None:
        facts = {"work": self._name, "kind": type(error).__name__}
        self._notify(OperationalEvent("background_work_failed", facts, is_alarm=True))


def _restart(periodic: Periodic | None) -> None:
    if periodic is not None:
        periodic.restart_in_child()
