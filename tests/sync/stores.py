"""Stores in memory: what these tests keep accounts and events in, and a clock to move."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from tokensvc.domain.accounts import Account, UserEvent
from tokensvc.domain.errors import (
    AccountChangedError,
    LeaseLostError,
    StorageUnavailableError,
)
from tokensvc.domain.model import Uid
from tokensvc.domain.ports import BuriedEvent, Claim, InboxStatus


@dataclass
class Clock:
    """A clock that stands until it is moved; UNIX seconds."""

    time: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.time

    def pass_by(self, seconds: float) -> None:
        """Let *seconds* go by."""
        self.time += seconds


@dataclass
class Store:
    """What both stores share: one lock, and a fault that every method raises while it is set."""

    now: Clock = field(default_factory=Clock)
    fault: str | None = None
    lock: threading.RLock = field(default_factory=threading.RLock)

    def working(self) -> threading.RLock:
        if self.fault is not None:
            raise StorageUnavailableError(self.fault)
        return self.lock


@dataclass
class Entry:
    """One stored event, and what has become of it."""

    number: int
    event: UserEvent
    received_at: float
    state: str = "waiting"
    attempts: int = 0
    fence: int = 0
    due_at: float = 0.0
    is_leased: bool = False
    reason: str = ""
    finished_at: float = 0.0


@dataclass
class FakeInbox(Store):
    """An inbox in memory; `entries` are its events in the order of arrival."""

    entries: list[Entry] = field(default_factory=list)

    def put(self, events: Sequence[UserEvent], *, body_hash: bytes) -> bool:  # noqa: ARG002
        with self.working():
            known = {(entry.event.source, entry.event.event_id) for entry in self.entries}
            new = [event for event in events if (event.source, event.event_id) not in known]
            first = len(self.entries) + 1
            self.entries += [Entry(first + n, e, self.now()) for n, e in enumerate(new)]
            return bool(new)

    def claim(self, *, lease_s: float) -> Claim | None:
        with self.working():
            heads: dict[Uid, Entry] = {}
            for entry in self._in_state("waiting"):
                heads.setdefault(entry.event.uid, entry)
            due = [entry for entry in heads.values() if entry.due_at <= self.now()]
            if not due:
                return None
            entry = min(due, key=lambda found: (found.due_at, found.number))
            entry.attempts, entry.fence = entry.attempts + 1, entry.fence + 1
            entry.due_at, entry.is_leased = self.now() + lease_s, True
            return Claim(entry.number, entry.event, entry.attempts, entry.fence)

    def done(self, claim: Claim) -> None:
        self._finish(claim, "done", "")

    def retry(self, claim: Claim, *, after_s: float, reason: str) -> None:
        with self.working():
            entry = self._held(claim)
            entry.due_at, entry.is_leased, entry.reason = self.now() + after_s, False, reason

    def bury(self, claim: Claim, *, reason: str) -> None:
        self._finish(claim, "buried", reason)

    def status(self) -> InboxStatus:
        with self.working():
            waiting = self._in_state("waiting")
            leased = sum(entry.is_leased for entry in waiting)
            retrying = sum(bool(entry.reason) and not entry.is_leased for entry in waiting)
            return InboxStatus(
                waiting=len(waiting) - leased - retrying,
                leased=leased,
                retrying=retrying,
                buried=len(self._in_state("buried")),
                done=len(self._in_state("done")),
                oldest_waiting_at=min((entry.received_at for entry in waiting), default=None),
            )

    def buried(self, *, after_number: int = 0, limit: int = 100) -> Sequence[BuriedEvent]:
        with self.working():
            found = [entry for entry in self._in_state("buried") if entry.number > after_number]
            return [
                BuriedEvent(e.number, e.event, e.attempts, e.reason, e.received_at, e.finished_at)
                for e in found[:limit]
            ]

    def replay(self, number: int) -> bool:
        return self._dig_up(number, "waiting")

    def drop(self, number: int) -> bool:
        return self._dig_up(number, "done")

    def forget_done(self, *, before: float) -> int:
        with self.working():
            old = [e for e in self._in_state("done") if e.finished_at < before]
            for entry in old:
                entry.state = "forgotten"
            return len(old)

    def _in_state(self, state: str) -> list[Entry]:
        return [entry for entry in self.entries if entry.state == state]

    def _held(self, claim: Claim) -> Entry:
        entry = self.entries[claim.number - 1]
        if entry.state != "waiting" or not entry.is_leased or entry.fence != claim.fence:
            raise LeaseLostError("lease_lost")
        return entry

    def _finish(self, claim: Claim, state: str, reason: str) -> None:
        with self.working():
            entry = self._held(claim)
            entry.state, entry.reason, entry.finished_at = state, reason, self.now()
            entry.is_leased = False

    def _dig_up(self, number: int, state: str) -> bool:
        with self.working():
            found = [entry for entry in self._in_state("buried") if entry.number == number]
            for entry in found:
                entry.state, entry.attempts, entry.due_at, entry.reason = state, 0, 0.0, ""
            return bool(found)


@dataclass
class FakeAccounts(Store):
    """Accounts in memory; `reads` counts how often somebody asked."""

    accounts: dict[Uid, Account] = field(default_factory=dict)
    reads: int = 0

    def find(self, uid: Uid) -> Account | None:
        with self.working():
            self.reads += 1
            return self.accounts.get(uid)

    def save(self, account: Account) -> None:
        with self.working():
            known = self.accounts.get(account.uid)
            if account.revision != (known.revision if known else 0):
                raise AccountChangedError("account_changed")
            self.accounts[account.uid] = replace(
                account, revision=account.revision + 1, updated_at=self.now()
            )

    def due_for_deletion(self, *, now: float, limit: int = 100) -> Sequence[Account]:
        with self.working():
            due = [a for a in self.accounts.values() if a.delete_at is not None]
            return sorted(
                (a for a in due if (a.delete_at or 0) <= now), key=lambda a: (a.delete_at, a.uid)
            )[:limit]
