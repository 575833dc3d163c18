"""The inbox's door: threads that claim events, and a house that is kept beside them."""

import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, TextIO

from tokensvc.domain.audit import Notify, OperationalEvent
from tokensvc.domain.errors import StorageUnavailableError
from tokensvc.domain.working import EventWork
from tokensvc.services_sync import assemble_sync
from tokensvc.settings import Settings
from tokensvc.settings_loading import load_settings

STORAGE_PAUSE_S: Final = 5.0
TICK_S: Final = 0.5
"""How often the main thread looks whether it is to stop, or has a chore to do."""
DUE_DELETIONS_EVERY_S: Final = 10.0
HEARTBEAT_EVERY_S: Final = 60.0
FORGET_EVERY_S: Final = 600.0


def create_worker(
    settings: Settings | None = None,
    *,
    now: Callable[[], float] = time.time,
    log_stream: TextIO | None = None,
) -> "Worker":
    """Return the worker; without *settings* it reads them from the environment.

    *now* is the clock in UNIX seconds, *log_stream* (else stdout) takes the lines of
    its log. Raises `ConfigurationError` if the settings cannot be used.
    """
    settings = settings or load_settings(os.environ)
    sync = assemble_sync(settings, now=now, log_stream=log_stream)
    chores = (
        Chore(sync.house.beat, HEARTBEAT_EVERY_S),
        Chore(sync.house.remind_of_deletions, DUE_DELETIONS_EVERY_S),
        Chore(sync.house.forget_done, FORGET_EVERY_S),
    )
    for work in sync.background:
        work.start()
    return Worker(sync.work, chores, threads=settings.worker.threads, clock=time.monotonic)


@dataclass(slots=True)
class Chore:
    """Something to be done every *every_s*, the first time at once."""

    act: Callable[[], None]
    every_s: float
    due_at: float = field(default=float("-inf"))


class Outage:
    """That the storage cannot be asked: found by each thread, told once, and its end too."""

    def __init__(self, notify: Notify, clock: Callable[[], float]) -> None:
        self._notify = notify
        self._clock = clock
        self._lock = threading.Lock()
        self._began_at: float | None = None
        self._failed_at = 0.0

    def goes_on(self, reason: str) -> None:
        """Tell that it has begun, if that is news."""
        with self._lock:
            self._failed_at = self._clock()
            if self._began_at is not None:
                return
            self._began_at = self._failed_at
        facts = {"reason": reason}
        self._notify(OperationalEvent("sync_storage_unavailable", facts, is_alarm=True))

    def is_over(self, asked_at: float) -> None:
        """Tell that it has ended, if there was one: what was asked for then has succeeded."""
        with self._lock:
            if self._began_at is None or asked_at < self._failed_at:
                return
            seconds = round(self._clock() - self._began_at, 3)
            self._began_at = None
        self._notify(OperationalEvent("sync_storage_back", {"seconds": seconds}))


class Worker:
    """Works the inbox off with *threads* threads, and keeps house in the calling one."""

    def __init__(
        self,
        work: EventWork,
        chores: Sequence[Chore],
        *,
        threads: int,
        clock: Callable[[], float],
        idle_s: float = 0.5,
    ) -> None:
        self._work = work
        self._chores = chores
        self._threads = threads
        self._clock = clock
        self._idle_s = idle_s
        self._stopping = threading.Event()
        self._outage = Outage(work.notify, clock)

    def stop(self) -> None:
        """Let `run` return once the events under way are dealt with; from any thread."""
        self._stopping.set()

    def run(self, *, is_orphaned: Callable[[], bool] = lambda: False, grace_s: float) -> bool:
        """Work until `stop`, or until whoever started this process is gone.

        Returns whether all threads came to an end within *grace_s* of that; an event
        that one of them still holds is claimed again when its lease has run out.
        """
        claimants = [
            threading.Thread(target=self._claim_and_work, name=f"sync-{number}", daemon=True)
            for number in range(self._threads)
        ]
        for claimant in claimants:
            claimant.start()
        while not self._stopping.is_set():
            self._keep_house()
            if is_orphaned():
                self.stop()
            self._stopping.wait(TICK_S)
        ends_at = self._clock() + grace_s
        for claimant in claimants:
            claimant.join(max(0.0, ends_at - self._clock()))
        return not any(claimant.is_alive() for claimant in claimants)

    def _claim_and_work(self) -> None:
        while not self._stopping.is_set():
            pause_s = self._guarded(self._work_off)
            if pause_s:
                self._stopping.wait(pause_s)

    def _work_off(self) -> float:
        return 0.0 if self._work.handle_next(self._stopping.is_set) else self._idle_s

    def _keep_house(self) -> None:
        for chore in self._chores:
            if self._clock() >= chore.due_at:
                chore.due_at = self._clock() + chore.every_s
                self._guarded(chore.act)

    def _guarded(self, act: Callable[[], float | None]) -> float:
        """Return what *act* does, or a pause if it fails: nothing ends a thread of the worker."""
        asked_at = self._clock()
        try:
            pause_s = act() or 0.0
        except StorageUnavailableError as error:
            self._outage.goes_on(error.reason)
        except Exception as error:  # noqa: BLE001 (see above)
            facts = {"kind": type(error).__name__}
            self._work.notify(OperationalEvent("sync_worker_failed", facts, is_alarm=True))
        else:
            self._outage.is_over(asked_at)
            return pause_s
        return STORAGE_PAUSE_S
