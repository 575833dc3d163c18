"""Fakes of what keeps users in step: an inbox and accounts in memory, and their clock."""

import itertools
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tokensvc.domain.accounts import SHUTS_OUT, Account, UserEvent
from tokensvc.domain.errors import (
    AccountChangedError,
    DeliveryConflictError,
    LeaseLostError,
    StorageUnavailableError,
)
from tokensvc.domain.model import Uid
from tokensvc.domain.ports import (
    CLOCK_SLACK_S,
    LONGEST_PAUSE_S,
    SHUT_OUT_WITHIN_S,
    BuriedEvent,
    Claim,
    InboxStatus,
    RetriedEvent,
)


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
class Entry:
    """One stored event, and what has become of it."""

    number: int
    event: UserEvent
    body_hash: bytes
    received_at: float
    state: str = "waiting"
    attempts: int = 0
    fence: int = 0
    reason: str = ""
    finished_at: float = 0.0


@dataclass
class _Lane:
    """Whom a user's events wait for: nobody, a holder, or a time."""

    turn: int
    holding: str = "waiting"
    due_at: float = 0.0
    number: int = 0
    fence: int = 0


@dataclass
class FakeInbox:
    """An inbox in memory. While `fault` is set, every method raises it as a reason."""

    now: Clock = field(default_factory=Clock)
    fault: str | None = None
    _entries: dict[int, Entry] = field(default_factory=dict)
    _lanes: dict[Uid, _Lane] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def entries(self) -> list[Entry]:
        """Everything that was put and not dropped or forgotten, in the order of arrival."""
        return [self._entries[number] for number in sorted(self._entries)]

    def put(self, events: Sequence[UserEvent], *, body_hash: bytes) -> bool:
        return self.put_each([(event, body_hash) for event in events]) > 0

    def put_each(self, events: Sequence[tuple[UserEvent, bytes]]) -> int:
        with self._working():
            known = {
                (entry.event.source, entry.event.event_id): entry.body_hash
                for entry in self._entries.values()
            }
            given: dict[tuple[str, str], tuple[UserEvent, bytes]] = {}
            for event, body_hash in events:
                given.setdefault((event.source, event.event_id), (event, body_hash))
            if any(known.get(key, body_hash) != body_hash for key, (_, body_hash) in given.items()):
                raise DeliveryConflictError("body_differs")
            new = [one for key, one in given.items() if key not in known]
            for event, body_hash in new:
                self._store(event, body_hash)
            return len(new)

    def claim(self, *, lease_s: float) -> Claim | None:
        with self._working():
            due = [
                (lane.due_at, lane.turn, uid)
                for uid, lane in self._lanes.items()
                if lane.due_at <= self.now()
            ]
            horizon = self.now() + max(lease_s, LONGEST_PAUSE_S) + CLOCK_SLACK_S
            due = due or [
                (lane.due_at, lane.turn, uid)
                for uid, lane in self._lanes.items()
                if lane.due_at > horizon
            ]
            if not due:
                return None
            uid = min(due)[2]
            entry = self._waiting(uid)[0]
            entry.attempts += 1
            entry.fence += 1
            lane = self._lanes[uid]
            lane.holding, lane.due_at = "leased", self.now() + lease_s
            lane.number, lane.fence = entry.number, entry.fence
            return Claim(entry.number, entry.event, entry.attempts, entry.fence)

    def behind(self, claim: Claim) -> Sequence[UserEvent]:
        with self._working():
            newest: dict[tuple[str, str], UserEvent] = {}
            for entry in self._waiting(claim.event.uid):
                event, key = entry.event, (entry.event.kind, entry.event.source)
                is_newest = key not in newest or event.version >= newest[key].version
                if entry.number > claim.number and is_newest:
                    newest[key] = event
            return [*newest.values()]

    def done(self, claim: Claim) -> None:
        with self._working():
            entry = self._held(claim)
            entry.state, entry.finished_at = "done", self.now()
            self._go_on(claim.event.uid)

    def retry(self, claim: Claim, *, after_s: float, reason: str) -> None:
        with self._working():
            self._held(claim).reason = reason
            if any(event.kind in SHUTS_OUT for event in self.behind(claim)):
                after_s = min(after_s, SHUT_OUT_WITHIN_S)
            lane = self._lanes[claim.event.uid]
            lane.holding, lane.due_at = "retrying", self.now() + min(after_s, LONGEST_PAUSE_S)

    def bury(self, claim: Claim, *, reason: str) -> None:
        with self._working():
            entry = self._held(claim)
            entry.state, entry.reason, entry.finished_at = "buried", reason, self.now()
            self._go_on(claim.event.uid)

    def status(self) -> InboxStatus:
        with self._working():
            live = self._in_state("waiting")
            leased = sum(
                lane.holding == "leased" and lane.due_at > self.now()
                for lane in self._lanes.values()
            )
            retrying = sum(lane.holding == "retrying" for lane in self._lanes.values())
            return InboxStatus(
                waiting=len(live) - leased - retrying,
                leased=leased,
                retrying=retrying,
                buried=len(self._in_state("buried")),
                done=len(self._in_state("done")),
                oldest_waiting_at=min((entry.received_at for entry in live), default=None),
            )

    def retrying(self, *, after_number: int = 0, limit: int = 100) -> Sequence[RetriedEvent]:
        with self._working():
            put_off = {
                lane.number: lane.due_at
                for lane in self._lanes.values()
                if lane.holding == "retrying" and lane.number > after_number
            }
            found = [(self._entries[number], put_off[number]) for number in sorted(put_off)]
            return [
                RetriedEvent(e.number, e.event, e.attempts, e.reason, e.received_at, due_at)
                for e, due_at in found[:limit]
            ]

    def buried(self, *, after_number: int = 0, limit: int = 100) -> Sequence[BuriedEvent]:
        with self._working():
            found = [entry for entry in self._in_state("buried") if entry.number > after_number]
            return [
                BuriedEvent(e.number, e.event, e.attempts, e.reason, e.received_at, e.finished_at)
                for e in found[:limit]
            ]

    def replay(self, number: int) -> bool:
        with self._working():
            entry = self._entries.get(number)
            if entry is None or entry.state != "buried":
                return False
            entry.state, entry.attempts = "waiting", 0
            uid = entry.event.uid
            lane = self._lanes.setdefault(uid, _Lane(self._turn()))
            if lane.holding == "retrying" and self._waiting(uid)[0] is entry:
                self._lanes[uid] = _Lane(self._turn())
            return True

    def drop(self, number: int) -> bool:
        with self._working():
            entry = self._entries.get(number)
            if entry is None or entry.state != "buried":
                return False
            entry.state, entry.finished_at = "done", self.now()
            return True

    def forget_done(self, *, before: float) -> int:
        with self._working():
            old = [entry for entry in self._in_state("done") if entry.finished_at < before]
            for entry in old:
                del self._entries[entry.number]
            return len(old)

    def _working(self) -> threading.RLock:
        if self.fault is not None:
            raise StorageUnavailableError(self.fault)
        return self._lock

    def _store(self, event: UserEvent, body_hash: bytes) -> None:
        lane = self._lanes.setdefault(event.uid, _Lane(self._turn()))
        if event.kind in SHUTS_OUT and lane.holding == "retrying":
            self._lanes[event.uid] = _Lane(self._turn())
        number = next(self._numbers)
        self._entries[number] = Entry(number, event, body_hash, self.now())

    def _turn(self) -> int:
        return max(self._entries, default=0)

    def _in_state(self, state: str) -> list[Entry]:
        return [entry for _, entry in sorted(self._entries.items()) if entry.state == state]

    def _waiting(self, uid: Uid) -> list[Entry]:
        return [entry for entry in self._in_state("waiting") if entry.event.uid == uid]

    def _held(self, claim: Claim) -> Entry:
        lane = self._lanes.get(claim.event.uid)
        held = lane and (lane.holding, lane.number, lane.fence)
        if held != ("leased", claim.number, claim.fence):
            raise LeaseLostError("lease_lost")
        return self._entries[claim.number]

    def _go_on(self, uid: Uid) -> None:
        if self._waiting(uid):
            self._lanes[uid] = _Lane(self._turn())
        else:
            del self._lanes[uid]


@dataclass
class FakeAccounts:
    """Accounts in memory. While `fault` is set, every method raises it as a reason."""

    now: Clock = field(default_factory=Clock)
    fault: str | None = None
    accounts: dict[Uid, Account] = field(default_factory=dict)
    reads: int = 0
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def find(self, uid: Uid) -> Account | None:
        with self._working():
            self.reads += 1
            return self.accounts.get(uid)

    def find_each(self, uids: Collection[Uid]) -> Mapping[Uid, Account]:
        with self._working():
            self.reads += 1
            return {uid: self.accounts[uid] for uid in uids if uid in self.accounts}

    def save(self, account: Account) -> None:
        with self._working():
            known = self.accounts.get(account.uid)
            if account.revision != (known.revision if known else 0):
                raise AccountChangedError("account_changed")
            created_at = known.created_at if known else account.created_at or self.now()
            self.accounts[account.uid] = replace(
                account,
                revision=account.revision + 1,
                created_at=created_at,
                updated_at=self.now(),
            )

    def due_for_deletion(self, *, now: float, limit: int = 100) -> Sequence[Account]:
        with self._working():
            due = [
                (account.delete_at, account.uid, account)
                for account in self.accounts.values()
                if account.delete_at is not None and account.delete_at <= now
            ]
            return [account for _, _, account in sorted(due, key=lambda item: item[:2])[:limit]]

    def _working(self) -> threading.RLock:
        if self.fault is not None:
            raise StorageUnavailableError(self.fault)
        return self._lock
