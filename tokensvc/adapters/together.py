"""Together: what several threads write at once goes to disk with one sync."""

import threading
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


@dataclass(slots=True)
class _Entry(Generic[T]):
    job: Job[T]
    is_settled: bool = False
    result: T | None = None
    error: Exception | None = None


@dataclass(slots=True)
class Together:
    """Lets one thread write at a time, and do it for all who wait.

    SQLite has one writer, and a commit waits for the disk: threads that took turns
    would wait for one sync each.
    """

    timeout_s: float
    commit: Callable[[Callable[[Connection], None]], None]
    """Calls its argument in a transaction, and commits."""
    _waiting: list[_Entry[Any]] = field(default_factory=list)
    _turn: threading.Lock = field(default_factory=threading.Lock)
    _queue: threading.Lock = field(default_factory=threading.Lock)

    @property
    def waiting(self) -> int:
        """How many jobs are in nobody's hands yet."""
        return len(self._waiting)

    def run(self, job: Job[T]) -> T:
        """Return what *job* returns, once it is on disk; raise what it raises."""
        entry = _Entry(job)
        with self._queue:
            self._waiting.append(entry)
        if not self._turn.acquire(timeout=self.timeout_s):
            self._withdraw(entry)
            raise StorageUnavailableError("database_locked")
        try:
            # One of those before may have done it on the way.
            while not entry.is_settled:
                self._settle(self._next_batch())
        finally:
            self._turn.release()
        if entry.error is not None:
            raise entry.error
        return entry.result  # type: ignore[return-value]  # (settled without an error)

    def _next_batch(self) -> Sequence[_Entry[Any]]:
        with self._queue:
            batch = self._waiting[:MAX_JOBS]
            del self._waiting[:MAX_JOBS]
        return batch

    def _withdraw(self, entry: _Entry[Any]) -> None:
        with self._queue:
            if entry in self._waiting:
                self._waiting.remove(entry)

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
                entry.is_settled = True
