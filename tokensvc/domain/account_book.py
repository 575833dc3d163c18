"""The account book: what a command does at CometChat, written down beside what facts have said.

Whoever runs a command has told CometChat already, unless they only wish for something.
What is written says so, and the worker has nothing left to do; where somebody else
writes at the same time, or there may be news of a restored user, the fact goes into
the inbox and waits for its turn.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from tokensvc.domain.accounts import (
    Account,
    AccountState,
    EventKind,
    UserEvent,
    Version,
    profile_hash,
    unsure,
)
from tokensvc.domain.errors import AccountChangedError
from tokensvc.domain.lifecycle import LifecyclePolicy, apply, last_word, purged
from tokensvc.domain.model import ChatUser, Profile, Uid
from tokensvc.domain.ports import Accounts, Inbox

OPERATOR: Final = "operator"
IMPORT: Final = "import"
MAX_ROUNDS: Final = 5
NEWER_KNOWN: Final = "newer_known"
"""A newer fact than the list has said what the user looks like."""


@dataclass(frozen=True, slots=True)
class AccountBook:
    """Reads and writes accounts for commands. *now* is in UNIX seconds.

    Every method may raise `StorageUnavailableError`.
    """

    accounts: Accounts
    inbox: Inbox
    policy: LifecyclePolicy
    now: Callable[[], float]
    new_id: Callable[[], str]

    def find(self, uid: Uid) -> Account | None:
        """Return what is known of the user: to be asked before CometChat is told anything."""
        return self.accounts.find(uid)

    def is_gone(self, known: Account | None) -> bool:
        """Return whether the user was deleted for ever, and cannot come back."""
        is_deleted = known is not None and known.state is AccountState.DELETED
        return is_deleted and not self.policy.allow_recreate

    def imported(
        self, known: Account | None, raw: Profile, sent: ChatUser, version: Version
    ) -> None:
        """Write down that CometChat has *sent*, which was made of the list's *raw* profile."""
        event = self._event(EventKind.UPDATED, sent.uid, IMPORT, version, profile=raw)
        self._write(known, event, lambda account: _has_been_sent(account, event, sent))

    def may_be_imported(self, known: Account | None, user: ChatUser, version: Version) -> None:
        """Write down that a list may have told CometChat of *user*, and the worker tells it all."""
        event = self._event(EventKind.UPDATED, user.uid, IMPORT, version, profile=user.profile)
        self._write(known, event, unsure)

    def happened(self, known: Account | None, kind: EventKind, uid: Uid) -> Account:
        """Write down what an operator has just done at CometChat; return the account after it."""
        event = self._by_operator(known, kind, uid)
        return self._write(known, event, lambda account: _has_happened(account, kind))

    def wished(self, known: Account | None, kind: EventKind, uid: Uid) -> Account:
        """Write down what an operator wants and nobody has done; return the account after it.

        The worker is told first: it does what is wished for also where nothing more
        can be written, or the command ends here.
        """
        event = self._by_operator(known, kind, uid)
        self._leave_to_worker(event)
        return self._saved(known, event, unsure)

    def deleted_for_ever(self, known: Account | None, uid: Uid) -> None:
        """Write down that the user is gone; what stays is a tombstone.

        The worker sees to it once more: it may have crossed the command.
        """
        event = self._by_operator(known, EventKind.DELETED, uid)
        self._write(known, event, self._as_tombstone)

    def _as_tombstone(self, account: Account) -> Account:
        return unsure(purged(account, now=self.now()))

    def _write(
        self, known: Account | None, event: UserEvent, told: Callable[[Account], Account]
    ) -> Account:
        """Save the account as it is after *event*; what the worker has to tell of it, it finds."""
        account = self._saved(known, event, told)
        if account.sent_state is None or event.kind is EventKind.RESTORED:
            # What was learnt of somebody who was shut out has not been told yet.
            self._leave_to_worker(event)
        return account

    def _saved(
        self, known: Account | None, event: UserEvent, told: Callable[[Account], Account]
    ) -> Account:
        """Apply *event* to the account as it was before CometChat was told; return it as saved.

        If somebody has written it since, they may have told CometChat something after
        the command did, or before: what it has is not known then, and the worker,
        who finds the fact in the inbox, tells it again.
        """
        for tries in range(MAX_ROUNDS):
            account = told(apply(known, event, policy=self.policy, now=self.now()))
            if tries > 0:
                account = unsure(account)
            try:
                self.accounts.save(account)
            except AccountChangedError:
                known = self.accounts.find(event.uid)
                continue
            return replace(account, revision=account.revision + 1)
        raise AccountChangedError("account_kept_changing")

    def _leave_to_worker(self, event: UserEvent) -> None:
        self.inbox.put([event], body_hash=hashlib.sha256(event.event_id.encode()).digest())

    def _by_operator(self, known: Account | None, kind: EventKind, uid: Uid) -> UserEvent:
        return self._event(kind, uid, OPERATOR, last_word(known, kind, now=self.now()))

    def _event(
        self,
        kind: EventKind,
        uid: Uid,
        source: str,
        version: Version,
        profile: Profile | None = None,
    ) -> UserEvent:
        return UserEvent(kind, uid, version, source, self.new_id(), profile)


def refusal(known: Account | None, version: Version) -> str | None:
    """Return why a list of *version* must leave the user alone, or None.

    Nobody comes back from the dead by a list, and a list that is older than what is
    known does not undo it.
    """
    if known is None:
        return None
    if known.state is not AccountState.ACTIVE:
        return f"account_{known.state}"
    return NEWER_KNOWN if known.profile_version > version else None


def _has_happened(account: Account, kind: EventKind) -> Account:
    """Note what CometChat was brought to, unless something else is to be the case.

    Whom a tombstone stands for is to be gone there, and not only shut out.
    """
    is_let_in = kind in {EventKind.RESTORED, EventKind.REACTIVATED}
    is_to_be_in = account.state is AccountState.ACTIVE
    agrees = is_let_in == is_to_be_in and account.state is not AccountState.DELETED
    return replace(account, sent_state=account.state) if agrees else unsure(account)


def _has_been_sent(account: Account, event: UserEvent, sent: ChatUser) -> Account:
    """Note what CometChat has now, unless something newer was learnt meanwhile."""
    is_newest = (account.profile_version, account.profile) == (event.version, event.profile)
    if not is_newest or account.state is not AccountState.ACTIVE:
        return unsure(account)
    return replace(
        account, sent_profile_hash=profile_hash(sent.profile), sent_state=AccountState.ACTIVE
    )
