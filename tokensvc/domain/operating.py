"""Operating: what an operator does to one user at CometChat, and what is written down of it."""

from dataclasses import dataclass
from typing import Final

from tokensvc.domain.account_book import AccountBook
from tokensvc.domain.accounts import Account, AccountState, EventKind
from tokensvc.domain.model import Uid
from tokensvc.domain.ports import UserDirectory
from tokensvc.domain.times import utc_text

NOT_FOUND: Final = "there is no such user"
GONE: Final = "deleted for ever, and so not restored"
ALREADY_GONE: Final = "deleted for ever before"
SUSPENDED: Final = "suspended by the app, and so not restored"
STILL_SUSPENDED: Final = "no longer deleted; suspended by the app, and so not let in"
FAILURES: Final = frozenset({NOT_FOUND, GONE, SUSPENDED})
REMEMBERED: Final = "CometChat has no such user; remembered as {}"


@dataclass(frozen=True, slots=True)
class UserOperator:
    """Acts at CometChat first, so that what is written down has happened (but for ever).

    Each method can be repeated, and returns what became of the user.
    """

    directory: UserDirectory
    book: AccountBook | None

    def deactivate(self, uid: Uid) -> str:
        """Shut the user out."""
        return self._shut_out(EventKind.DEACTIVATED, uid)

    def restore(self, uid: Uid) -> str:
        """Let the user in; the tokens of before stay invalid.

        What the app itself has said last stands: it alone ends a suspension.
        """
        known = self._find(uid)
        if self.book and self.book.is_gone(known):
            return GONE
        if known and known.suspended.is_on:
            return self._kept_suspended(known, uid)
        self.directory.reactivate_user(uid)
        if self.directory.find_user(uid) is None:
            return self._restored_here(known, uid)
        self.directory.flush_tokens(uid)
        account = self.book.happened(known, EventKind.RESTORED, uid) if self.book else None
        return GONE if self.book and self.book.is_gone(account) else "restored"

    def delete(self, uid: Uid) -> str:
        """Shut the user out, to be deleted for ever when the time has passed."""
        return self._shut_out(EventKind.DELETED, uid)

    def delete_for_ever(self, uid: Uid) -> str:
        """Delete the user and all that is theirs.

        That they are to be is written down before: nothing can be undone here, and a
        user whom CometChat misses and nobody knows to be deleted would be made again.
        """
        known = self._find(uid)
        if self.book:
            known = self.book.wished(known, EventKind.DELETED, uid)
        self.directory.delete_user(uid)
        if self.book:
            self.book.deleted_for_ever(known, uid)
        return "deleted for ever"

    def _shut_out(self, kind: EventKind, uid: Uid) -> str:
        """Invalidate the tokens first: those of a deactivated user cannot be reached.

        Whom CometChat does not have may come yet, and is shut out then.
        """
        known = self._find(uid)
        self.directory.flush_tokens(uid)
        is_there = self.directory.deactivate_user(uid)
        account = self.book.happened(known, kind, uid) if self.book else None
        if self.book and self.book.is_gone(account):
            return ALREADY_GONE
        if not is_there:
            return REMEMBERED.format(kind) if account else NOT_FOUND
        return f"deleted; {_until(account)}" if kind is EventKind.DELETED else str(kind)

    def _kept_suspended(self, known: Account, uid: Uid) -> str:
        """Undo the deletion of somebody who stays shut out; nothing else is ours to undo."""
        if not (self.book and known.state is AccountState.DELETING):
            return SUSPENDED
        account = self.book.wished(known, EventKind.RESTORED, uid)
        return GONE if self.book.is_gone(account) else STILL_SUSPENDED

    def _restored_here(self, known: Account | None, uid: Uid) -> str:
        """Let in again somebody who was shut out before CometChat had them."""
        if not (self.book and known and known.state is not AccountState.ACTIVE):
            return NOT_FOUND
        account = self.book.wished(known, EventKind.RESTORED, uid)
        return GONE if self.book.is_gone(account) else REMEMBERED.format(EventKind.RESTORED)

    def _find(self, uid: Uid) -> Account | None:
        """Return what is known before CometChat is told anything."""
        return self.book.find(uid) if self.book else None


def _until(account: Account | None) -> str:
    """Return how long a deletion can be undone."""
    if account is None or account.delete_at is None:
        return "can be restored at any time"
    if account.delete_at <= account.updated_at:
        return "the worker deletes them for ever at once"
    return f"can be restored until {utc_text(account.delete_at)}"
