"""Working: one event out of the inbox applied and judged, and the house that is kept beside it."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from tokensvc.domain.accounts import SHUTS_OUT, UserEvent
from tokensvc.domain.audit import Notify, OperationalEvent
from tokensvc.domain.errors import (
    DirectoryMisconfiguredError,
    DirectoryUnavailableError,
    LeaseLostError,
    UserQuotaReachedError,
)
from tokensvc.domain.ports import Accounts, Claim, Inbox
from tokensvc.domain.syncing import DUE, UserSync, reminder
from tokensvc.domain.verdicts import Judge

AGAIN_AND_AGAIN: Final = 4
"""Tries after which a failure is not taken for a short one."""
CHAT_FAILURES: Final = (
    DirectoryUnavailableError,
    DirectoryMisconfiguredError,
    UserQuotaReachedError,
)


@dataclass(frozen=True, slots=True)
class EventWork:
    """Takes one event after the other from the inbox.

    *lease_s* is longer than an event can take. *one_event* is entered around each:
    the place for a deadline that all calls of an event share.
    """

    inbox: Inbox
    sync: UserSync
    judge: Judge
    notify: Notify
    lease_s: float
    one_event: Callable[[], AbstractContextManager[object]] = nullcontext

    def handle_next(self, is_stopping: Callable[[], bool] = lambda: False) -> bool:
        """Deal with the next due event; return whether there was one.

        Raises `StorageUnavailableError` if the inbox cannot be asked; what was
        claimed then comes back when its lease has run out.
        """
        claim = self.inbox.claim(lease_s=self.lease_s)
        if claim is None:
            return False
        try:
            if is_stopping():
                self.inbox.retry(claim, after_s=0.0, reason="worker_stopped")
            else:
                self._apply(claim)
        except LeaseLostError:
            # Somebody else deals with it by now, and does everything again.
            self._tell("sync_lease_lost", claim)
        return True

    def _apply(self, claim: Claim) -> None:
        try:
            with self.one_event():
                self._bring_about(claim)
        except Exception as error:  # noqa: BLE001 (a defect parks one user's events, not the worker)
            self._judge(claim, error)
        else:
            self.inbox.done(claim)
            self._tell("sync_event_applied", claim)

    def _bring_about(self, claim: Claim) -> None:
        """Apply the event; where CometChat fails at it, with what has come since if that helps."""
        try:
            # What cannot be undone is not done where somebody has asked for the contrary by now.
            asked_since = self.inbox.behind(claim) if claim.event.source == DUE else ()
            self.sync.apply(claim.event, asked_since)
        except CHAT_FAILURES as error:
            behind = self.inbox.behind(claim)
            if not self._may_look_ahead(claim, behind):
                raise
            told = [claim.event.version, *(event.version for event in behind)]
            versions = {"version": min(told), "through_version": max(told)}
            self._tell("sync_event_overtaken", claim, reason=error.reason, also=versions)
            self.sync.apply(claim.event, behind)

    def _may_look_ahead(self, claim: Claim, behind: Sequence[UserEvent]) -> bool:
        """Return whether what waits *behind* is a way out, and takes nothing from anybody.

        Nobody stays because something before their suspension cannot be told. And a
        profile that fails again and again gives way to a better one; but not where the
        user is shut out by the event or was in between, or what tokens they had would
        not end.
        """
        if any(event.kind in SHUTS_OUT for event in behind):
            return self.sync.shuts_out(claim.event, behind)
        is_stuck = bool(behind) and claim.attempts >= AGAIN_AND_AGAIN
        return is_stuck and self.sync.leaves_in(claim.event)

    def _judge(self, claim: Claim, error: Exception) -> None:
        verdict = self.judge.verdict(error, attempts=claim.attempts)
        if verdict.wait_s is None:
            self.inbox.bury(claim, reason=verdict.reason)
            self._tell("sync_event_buried", claim, reason=verdict.reason, is_alarm=True)
            return
        self.inbox.retry(claim, after_s=verdict.wait_s, reason=verdict.reason)
        is_alarm = verdict.is_alarm
        self._tell("sync_event_put_off", claim, reason=verdict.reason, is_alarm=is_alarm)

    def _tell(
        self,
        name: str,
        claim: Claim,
        *,
        reason: str = "",
        is_alarm: bool = False,
        also: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        facts: dict[str, str | int | float] = {
            "number": claim.number,
            "uid": claim.event.uid,
            "kind": claim.event.kind.value,
            "source": claim.event.source,
            "attempts": claim.attempts,
            **also,
            **({"reason": reason} if reason else {}),
        }
        self.notify(OperationalEvent(name, facts, is_alarm=is_alarm))


@dataclass(frozen=True, slots=True)
class Housekeeping:
    """What has to be done now and again. Times are UNIX seconds."""

    inbox: Inbox
    accounts: Accounts
    notify: Notify
    now: Callable[[], float]
    keep_done_s: float

    def remind_of_deletions(self) -> None:
        """Put an event into the inbox for each user who is due to be deleted for ever."""
        for account in self.accounts.due_for_deletion(now=self.now()):
            event = reminder(account)
            self.inbox.put([event], body_hash=hashlib.sha256(event.event_id.encode()).digest())

    def forget_done(self) -> None:
        """Delete the events that were done so long ago that no sender repeats them."""
        count = self.inbox.forget_done(before=self.now() - self.keep_done_s)
        if count:
            self.notify(OperationalEvent("sync_events_forgotten", {"count": count}))

    def beat(self) -> None:
        """Say that the worker lives, and how much is waiting for it."""
        status = self.inbox.status()
        oldest_at = status.oldest_waiting_at
        facts: dict[str, str | int | float] = {
            "waiting": status.waiting,
            "leased": status.leased,
            "retrying": status.retrying,
            "buried": status.buried,
            "oldest_s": 0.0 if oldest_at is None else max(0.0, round(self.now() - oldest_at, 3)),
        }
        self.notify(OperationalEvent("sync_heartbeat", facts))
