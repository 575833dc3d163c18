"""Mending: what is done at CometChat about a user who differs from the app's list."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from tokensvc.domain.account_book import NEWER_KNOWN, refusal
from tokensvc.domain.accounts import EventKind
from tokensvc.domain.importing import Outcome, Result, UserImport
from tokensvc.domain.model import ChatUser, Uid
from tokensvc.domain.reconciling import Drift

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Mending:
    """Makes CometChat equal the list, one user at a time."""

    sender: UserImport

    def mend(self, drift: Drift, user: ChatUser) -> Result:
        """Update or reactivate a user of the list; raises what `UserImport.send` does.

        Whoever was shut out by the app itself stays shut out: the list may be older.
        """
        known = self.sender.find(user.uid)
        reason = refusal(known, self.sender.version)
        if reason:
            return Result(Outcome.FAILED, reason)
        if drift is Drift.DEACTIVATED:
            self._let_in(user.uid)
        whole = self._through(lambda: self.sender.with_unsaid(user))
        sent = self.sender.provisioning.complete(whole)
        result = self._through(lambda: self.sender.update(sent))
        self.sender.write_down(known, whole, result)
        return result

    def deactivate(self, uid: Uid) -> Result:
        """Let in no more whom the list lets in no more; their tokens go first, or would come back.

        Of whoever came after the list was made, or was heard of since, it says nothing.
        """
        directory = self.sender.directory
        known = self.sender.find(uid)
        if known and max(known.newest_version, known.created_at * 1000) > self.sender.version:
            return Result(Outcome.SKIPPED, NEWER_KNOWN)
        self._through(lambda: directory.flush_tokens(uid))
        self._through(lambda: directory.deactivate_user(uid))
        if self.sender.book:
            self.sender.book.happened(known, EventKind.DEACTIVATED, uid)
        return Result(Outcome.DEACTIVATED)

    def _let_in(self, uid: Uid) -> None:
        directory = self.sender.directory
        self._through(lambda: directory.reactivate_user(uid))
        self._through(lambda: directory.flush_tokens(uid))

    def _through(self, act: Callable[[], T]) -> T:
        return self.sender.patience.through(act)
