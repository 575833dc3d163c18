"""Operating: what an operator does to one user at CometChat, and what is written down of it."""

from dataclasses import dataclass
from typing import Final

from tokensvc.domain.account_book import AccountBook
from tokensvc.domain.accounts import Account, EventKind
from tokensvc.domain.model import Uid
from tokensvc.domain.ports import UserDirectory

NOT_FOUND: Final = "there is no such user"
SUSPENDED: Final = "suspended by the app, and so not restored"
FAILURES: Final = frozenset({NOT_FOUND, SUSPENDED})


@dataclass(frozen=True, slots=True)
class UserOperator:
    """Acts at CometChat first, so that what is written down has happened.

    Each method can be repeated, and returns what became of the user.
    """

    directory: UserDirectory
    book: AccountBook | None

    def deactivate(self, uid: Uid) -> str:
        """Shut the user out."""
        self._shut_out(EventKind.DEACTIVATED, uid)
        return "deactivated"

    def restore(self, uid: Uid) -> str:
        """Let the user in; the tokens of before stay invalid.

        What the app itself has said last stands: it alone ends a suspension.
        """
        known = self._find(uid)
        if known and known.suspended.is_on:
            return SUSPENDED
        self.directory.reactivate_user(uid)
        if self.directory.find_user(uid) is None:
            return NOT_FOUND
        self.directory.flush_tokens(uid)
        if self.book:
            self.book.happened(known, EventKind.RESTORED, uid)
        return "restored"

    def delete(self, uid: Uid) -> str:
        """Shut the user out, to be deleted for ever when the time has passed."""
        self._shut_out(EventKind.DELETED, uid)
        return "deleted; can be restored"

    def delete_for_ever(self, uid: Uid) -> str:
        """Delete the user and all that is theirs."""
        known = self._find(uid)
        self.directory.delete_user(uid)
        if self.book:
            self.book.deleted_for_ever(known, uid)
        return "deleted for ever"

    def _shut_out(self, kind: EventKind, uid: Uid) -> None:
        """Invalidate the tokens first: those of a deactivated user cannot be reached."""
        known = self._find(uid)
        self.directory.flush_tokens(uid)
        self.directory.deactivate_user(uid)
        if self.book:
            self.book.happened(known, kind, uid)

    def _find(self, uid: Uid) -> Account | None:
        """Return what is known before CometChat is told anything."""
        return self.book.find(uid) if self.book else None
