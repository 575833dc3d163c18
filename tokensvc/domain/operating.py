"""Operating: what an operator does to one user at CometChat, and what is written down of it."""

from dataclasses import dataclass
from typing import Final

from tokensvc.domain.account_book import AccountBook
from tokensvc.domain.accounts import Account, AccountState, EventKind
from tokensvc.domain.model import Uid
from tokensvc.domain.ports import UserDirectory

NOT_FOUND: Final = "there is no such user"
SUSPENDED: Final = "suspended by the app, and so not restored"
FAILURES: Final = frozenset({NOT_FOUND, SUSPENDED})
REMEMBERED: Final = "CometChat has no such user; remembered as {}"
SHUT_OUT: Final = frozenset({AccountState.DEACTIVATED, AccountState.DELETING})
"""What a restoration undoes, whether or not CometChat has such a user."""


@dataclass(frozen=True, slots=True)
class UserOperator:
    """Acts at CometChat first, so that what is written down has happened.

    Each method can be repeated, and returns what became of the user.
    """

    directory: UserDirectory
    book: AccountBook | None

    def deactivate(self, uid: Uid) -> str:
        """Shut the user out."""
        return self._shut_out(EventKind.DEACTIVATED, uid) or "deactivated"

    def restore(self, uid: Uid) -> str:
        """Let the user in; the tokens of before stay invalid.

        What the app itself has said last stands: it alone ends a suspension.
        """
        known = self._find(uid)
        if known and known.suspended.is_on:
            return SUSPENDED
        self.directory.reactivate_user(uid)
        if self.directory.find_user(uid) is None:
            return self._restored_here(known, uid)
        self.directory.flush_tokens(uid)
        if self.book:
            self.book.happened(known, EventKind.RESTORED, uid)
        return "restored"

    def delete(self, uid: Uid) -> str:
        """Shut the user out, to be deleted for ever when the time has passed."""
        return self._shut_out(EventKind.DELETED, uid) or "deleted; can be restored"

    def delete_for_ever(self, uid: Uid) -> str:
        """Delete the user and all that is theirs."""
        known = self._find(uid)
        self.directory.delete_user(uid)
        if self.book:
            self.book.deleted_for_ever(known, uid)
        return "deleted for ever"

    def _shut_out(self, kind: EventKind, uid: Uid) -> str:
        """Invalidate the tokens first: those of a deactivated user cannot be reached.

        Whom CometChat does not have may come yet, and is shut out then. Returns what
        has to be said of that.
        """
        known = self._find(uid)
        self.directory.flush_tokens(uid)
        is_there = self.directory.deactivate_user(uid)
        if self.book:
            self.book.happened(known, kind, uid)
            return "" if is_there else REMEMBERED.format(kind)
        return "" if is_there else NOT_FOUND

    def _restored_here(self, known: Account | None, uid: Uid) -> str:
        """Let in again somebody who was shut out before CometChat had them."""
        if not (self.book and known and known.state in SHUT_OUT):
            return NOT_FOUND
        self.book.wished(known, EventKind.RESTORED, uid)
        return REMEMBERED.format(EventKind.RESTORED)

    def _find(self, uid: Uid) -> Account | None:
        """Return what is known before CometChat is told anything."""
        return self.book.find(uid) if self.book else None
