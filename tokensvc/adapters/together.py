"""Together: what several threads write at once goes to disk with one sync."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from sqlalchemy import Connection

from tokensvc.domain.errors import StorageUnavailableError, TokenServiceError

T = TypeVar("T")
Job = Callable[[Connection], T]
"""Writes in a transaction that others write in too. It raises before it has written, or not at all
but for what ends the whole transaction."""

MAX_JOBS: Final = 128
"""In one transaction, so that none takes long."""
GATHER_S: Final = 0.002
"""How long a thread that writes right after another one lets more come together first. Another
process that writes to the file finds it free then; one that went on at once would keep it."""


@dataclass(slots=True, eq=False)
class _Entry(Generic[T]):
    job: Job[T]
    leads: bool = False
    """Whether its thread is the one that writes for all."""
    woken: threading.Event = field(default_factory=threading.Event)
    result: T | None = None
    error: Exception | None = None


@dataclass(slots=True)
class Together:
    """Lets one thread write at a time, and do it for all who wait.

    SQLite has one writer, and a commit waits for the disk: threads that took turns
    would wait for one sync each. Whoever was written for goes on at once, and the
    one who has waited longest of the others writes next.
    """

    timeout_s: float
    commit: Callable[[Callable[[Connection], None]], None]
    """Calls its argument in a transaction, and commits."""
    _waiting: list[_Entry[Any]] = field(default_factory=list)
    _is_led: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def waiting(self) -> int:
        """How many jobs are in nobody's hands yet."""
        return len(self._waiting)

    def run(self, job: Job[T]) -> T:
        """Return what *job* returns, once it is on disk; raise what it raises."""
        entry = _Entry(job)
        with self._lock:
            self._waiting.append(entry)
            entry.leads, self._is_led = not self._is_led, True
        if not entry.leads:
            self._wait(entry)
            if entry.leads:
                time.sleep(GATHER_S)
        if entry.leads:
            try:
                self._settle(self._next_batch())
            finally:
                self._hand_over()
        if entry.error is not None:
            raise entry.error
        return entry.result  # type: ignore[return-value]  # (settled without an error)

    def _wait(self, entry: _Entry[Any]) -> None:
        """Return once *entry* is settled or leads; give up when that takes too long."""
        if entry.woken.wait(self.timeout_s):
            return
        with self._lock:
            if entry.leads:
                return
            is_in_work = entry not in self._waiting
            if not is_in_work:
                self._waiting.remove(entry)
        if not (is_in_work and entry.woken.wait(self.timeout_s)):
            raise StorageUnavailableError("database_locked")

    def _next_batch(self) -> Sequence[_Entry[Any]]:
        with self._lock:
            batch = self._waiting[:MAX_JOBS]
            del self._waiting[:MAX_JOBS]
        return batch

    def _hand_over(self) -> None:
        with self._lock:
            self._is_led = bool(self._waiting)
            if self._waiting:
                self._waiting[0].leads = True
                self._waiting[0].woken.set()

    def _settle(self, batch: Sequence[_Entry[Any]]) -> None:
        def run_all(connection: Connection) -> None:
            for entry in batch:
                try:
                    entry.result = entry.job(connection)
                except TokenServiceError as refusal:
                    entry.error = refusal

        failure: Exception | None = StorageUnavailableError("interrupted")
        try:
            self.commit(run_all)
            failure = None
        except Exception as error:  # noqa: BLE001 (whatever it was, none of them is on disk)
            failure = error
        finally:
            for entry in batch:
                entry.error = failure or entry.error
                entry.woken.set()
