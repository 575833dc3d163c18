"""Syncing: one fact about a user applied, so that CometChat equals what the app has said.

Every step can be repeated: what is done after a crash is done again. CometChat is
told first and the account is written last, so that what is written down was told.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from tokensvc.domain.account_book import OPERATOR
from tokensvc.domain.accounts import LOGIN, Account, AccountState, EventKind, UserEvent, unsure
from tokensvc.domain.errors import (
    AccountChangedError,
    DirectoryMisconfiguredError,
    ProfileRefusedError,
)
from tokensvc.domain.lifecycle import LifecyclePolicy, apply, purged
from tokensvc.domain.ports import Accounts
from tokensvc.domain.telling import Telling

DUE: Final = "due-deletion"
"""The source of the worker's own reminders that a user is to be deleted for ever."""
BAD_ROLE: Final = "ERR_ROLE_NOT_FOUND"
BAD_UID: Final = "ERR_INVALID_UID"
DUE_SLACK_S: Final = 300.0
"""How much earlier than here a deletion may have come due by another machine's clock."""
MAX_ROUNDS: Final = 2


@dataclass(frozen=True, slots=True)
class UserSync:
    """Applies facts to accounts, and brings CometChat to what follows."""

    accounts: Accounts
    telling: Telling
    policy: LifecyclePolicy
    now: Callable[[], float]

    def apply(self, event: UserEvent, behind: Sequence[UserEvent] = ()) -> Account:
        """Return the account after *event*, once CometChat was told and it is written down.

        *behind* is what waits behind an event that CometChat has failed at: what all of
        them lead to is told at once. So a profile that fails, for ever perhaps, keeps
        nobody from being shut out, and a better one takes its place.

        Raises whatever CometChat and the storage do. A `ProfileRefusedError` leaves
        the fact written down all the same: only what the user looks like is missing.
        Whoever finds the account changed meanwhile may have told CometChat something
        old after something new, and so tells everything again.
        """
        # Whom an operator wants in is let in, also where it was a command that shut them out.
        lets_in = event.source == OPERATOR
        for tries in range(MAX_ROUNDS):
            known = self.accounts.find(event.uid)
            account = self._after(known, event, *behind)
            lets_in |= _is_let_in(known, account)
            # A login that has just got a token or made the user may have crossed the deletion.
            crossed = event.source == LOGIN and account.state is not AccountState.ACTIVE
            # What the tries that failed have told is not known.
            everything = crossed or tries > 0 or bool(behind)
            told, refusal = self._tell(account, event, everything=everything, lets_in=lets_in)
            lets_in |= account.state is not AccountState.ACTIVE
            try:
                # What was told without being news is written too: was it still true?
                if everything or told != known:
                    self.accounts.save(told)
            except AccountChangedError:
                continue
            if refusal:
                raise refusal
            return told
        raise AccountChangedError("account_kept_changing")

    def leaves_in(self, event: UserEvent) -> bool:
        """Return whether the user may log in once *event* has come true."""
        return self._after(self.accounts.find(event.uid), event).state is AccountState.ACTIVE

    def shuts_out(self, event: UserEvent, behind: Sequence[UserEvent]) -> bool:
        """Return whether what waits *behind* shuts a user out whom *event* alone does not."""
        known = self.accounts.find(event.uid)
        alone, together = self._after(known, event), self._after(known, event, *behind)
        return alone.state is AccountState.ACTIVE is not together.state

    def _after(self, known: Account | None, first: UserEvent, *others: UserEvent) -> Account:
        """Return what *known* becomes by facts; their order makes no difference."""
        account = apply(known, first, policy=self.policy, now=self.now())
        for event in others:
            account = apply(account, event, policy=self.policy, now=self.now())
        return account

    def _tell(
        self, account: Account, event: UserEvent, *, everything: bool, lets_in: bool
    ) -> tuple[Account, ProfileRefusedError | None]:
        """Bring CometChat to *account*; return it with what CometChat has been told."""
        if self._is_due(account, event):
            self.telling.delete(account.uid)
            gone = purged(account, now=self.now())
            return replace(gone, sent_state=AccountState.DELETED), None
        try:
            return self.telling.tell(account, everything=everything, lets_in=lets_in), None
        except DirectoryMisconfiguredError as error:
            refusal = _of_user(error, account)
            if refusal is None:
                raise
            # How far it came is not known, so that the next fact tells everything.
            return unsure(account), refusal

    def _is_due(self, account: Account, event: UserEvent) -> bool:
        if account.delete_at is None:
            return False
        is_reminder = event.source == DUE and event.version == account.deleted.version
        return account.delete_at <= self.now() + (DUE_SLACK_S if is_reminder else 0.0)


def _is_let_in(known: Account | None, account: Account) -> bool:
    """Return whether something newly said undoes a suspension, a deactivation or a deletion."""
    before = known or Account(account.uid)
    pairs = (
        (before.suspended, account.suspended),
        (before.deactivated, account.deactivated),
        (before.deleted, account.deleted),
    )
    return any(new != old and not new.is_on for old, new in pairs)


def _of_user(error: DirectoryMisconfiguredError, account: Account) -> ProfileRefusedError | None:
    """Return *error* as what it is, if it is about this user alone: None if it is not.

    A role that CometChat does not know is the user's if the app has given it to them;
    the default one is for the operator to mend, and everybody waits for that.
    """
    if isinstance(error, ProfileRefusedError):
        return error
    is_theirs = error.reason == BAD_ROLE and bool(account.profile.role)
    return ProfileRefusedError(error.reason) if is_theirs or error.reason == BAD_UID else None


def reminder(account: Account) -> UserEvent:
    """Return the fact that *account* is due to be deleted for ever.

    It says again what is known, and goes through the inbox: there nobody can be
    restoring the same user at the same time.
    """
    version = account.deleted.version
    event_id = f"{account.uid}:{version}"
    return UserEvent(EventKind.DELETED, account.uid, version, DUE, event_id)
