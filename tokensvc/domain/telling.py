"""Telling: the calls that bring one user at CometChat to what their account says."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from tokensvc.domain.accounts import Account, AccountState, profile_hash
from tokensvc.domain.errors import DirectoryUnavailableError, UserExistsError, UserNotFoundError
from tokensvc.domain.issuing import Provisioning
from tokensvc.domain.model import ChatUser, Profile, Uid
from tokensvc.domain.ports import UserDirectory

OFF: Final = frozenset(
    {
        *(AccountState.SUSPENDED, AccountState.DEACTIVATED, AccountState.DELETING),
        AccountState.DELETED,
    }
)
"""Where a user cannot log in, all of which CometChat knows as deactivated, or not at all."""


@dataclass(frozen=True, slots=True)
class Telling:
    """Tells CometChat what it does not have yet. Every call can be repeated."""

    directory: UserDirectory
    provisioning: Provisioning

    def tell(self, account: Account, *, everything: bool) -> Account:
        """Bring CometChat to *account*; return it with what CometChat has been told.

        With *everything* nothing that was sent before is relied on.
        """
        if account.state is AccountState.ACTIVE:
            return self._live(account, everything=everything)
        if everything or account.sent_state not in OFF:
            self._end(account)
        return replace(account, sent_state=account.state)

    def delete(self, uid: Uid) -> None:
        """Delete the user for ever."""
        self.directory.delete_user(uid)

    def _end(self, account: Account) -> None:
        """Let the user in no more.

        The tokens go first: those of a deactivated user cannot be reached, and
        would work again after a restoration.
        """
        if account.state is AccountState.DELETED:
            self.directory.delete_user(account.uid)
            return
        self.directory.flush_tokens(account.uid)
        self.directory.deactivate_user(account.uid)

    def _live(self, account: Account, *, everything: bool) -> Account:
        if account.profile_version < 0:
            return self._live_as_they_are(account, everything=everything)
        user = self.provisioning.complete(ChatUser(account.uid, account.profile))
        wanted = profile_hash(user.profile)
        if account.sent_state is not AccountState.ACTIVE or everything:
            is_new = account.sent_state in {None, AccountState.DELETED} and not everything
            self._make_live(user, is_new=is_new)
        elif wanted != account.sent_profile_hash:
            self._update(user)
        return replace(account, sent_state=AccountState.ACTIVE, sent_profile_hash=wanted)

    def _live_as_they_are(self, account: Account, *, everything: bool) -> Account:
        """Let in again somebody of whom nobody has said what they look like.

        CometChat may know that from elsewhere; if it has no such user, their first
        login makes one.
        """
        if account.sent_state in OFF or everything:
            self._found_live(account.uid)
        return replace(account, sent_state=AccountState.ACTIVE)

    def _update(self, user: ChatUser) -> None:
        try:
            self.directory.update_user(user)
        except UserNotFoundError:
            # Somebody has deleted or deactivated the user at CometChat itself.
            self._make_live(user, is_new=False)

    def _make_live(self, user: ChatUser, *, is_new: bool) -> None:
        """Have the user at CometChat, live, as they are; *is_new* tells where to begin."""
        if is_new and self._is_added(user):
            return
        found = self._found_live(user.uid)
        if found is None:
            if not self._is_added(user):
                raise DirectoryUnavailableError("user_neither_there_nor_missing")
        elif not _agrees(found.profile, user.profile):
            self.directory.update_user(user)

    def _is_added(self, user: ChatUser) -> bool:
        """Create the user; return whether they were missing."""
        try:
            self.directory.add_user(user)
        except UserExistsError:
            return False
        return True

    def _found_live(self, uid: Uid) -> ChatUser | None:
        """Return the user, made live if they were deactivated, or None if there is none.

        What was handed out before the deactivation does not come back with the user:
        a token can have been made between the flush and the deactivation.
        """
        found = self.directory.find_user(uid)
        if found is not None:
            return found
        self.directory.reactivate_user(uid)
        self.directory.flush_tokens(uid)
        return self.directory.find_user(uid)


def _agrees(found: Profile, wanted: Profile) -> bool:
    """Return whether an update to *wanted* would change nothing at CometChat.

    Role and tags cannot be unset, and roles are kept in lower case.
    """
    pairs: Mapping[str, tuple[object, object]] = {
        "name": (found.name, wanted.name),
        "avatar": (found.avatar, wanted.avatar),
        "metadata": (dict(found.metadata), dict(wanted.metadata)),
        "role": (found.role, wanted.role.lower() if wanted.role else found.role),
        "tags": (found.tags, wanted.tags or found.tags),
    }
    return all(have == want for have, want in pairs.values())
