"""Telling: the calls that bring one user at CometChat to what their account says."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from tokensvc.domain.accounts import Account, AccountState, profile_hash, unsure
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

    def tell(self, account: Account, *, everything: bool, lets_in: bool) -> Account:
        """Bring CometChat to *account*; return it with what CometChat has been told.

        With *everything* nothing that was sent before is relied on. Whom somebody else
        has deactivated, a moderator at CometChat say, *lets_in* says whether to let in.
        """
        if account.state is AccountState.ACTIVE:
            # Whom we have shut out ourselves is for us to let in.
            lets_in = lets_in or account.sent_state in OFF or self.provisioning.reactivate_on_login
            return self._live(account, everything=everything, lets_in=lets_in)
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

    def _live(self, account: Account, *, everything: bool, lets_in: bool) -> Account:
        if account.profile_version < 0:
            return self._live_as_they_are(account, everything=everything, lets_in=lets_in)
        if account.sent_state is AccountState.ACTIVE and not everything:
            return self._updated(account, lets_in=lets_in)
        is_new = account.sent_state in {None, AccountState.DELETED} and not everything
        return self._made_live(account, is_new=is_new, lets_in=lets_in)

    def _live_as_they_are(self, account: Account, *, everything: bool, lets_in: bool) -> Account:
        """Let in again somebody of whom nobody has said what they look like.

        CometChat may know that from elsewhere; if it has no such user, their first
        login makes one.
        """
        if account.sent_state in OFF or (everything and lets_in):
            self._found_live(account.uid)
        return replace(account, sent_state=AccountState.ACTIVE)

    def _updated(self, account: Account, *, lets_in: bool) -> Account:
        user = self._user(account)
        if profile_hash(user.profile) != account.sent_profile_hash:
            try:
                self.directory.update_user(user)
            except UserNotFoundError:
                # Somebody has deleted or deactivated the user at CometChat itself.
                return self._made_live(account, is_new=False, lets_in=lets_in)
        return _told(account, user)

    def _made_live(self, account: Account, *, is_new: bool, lets_in: bool) -> Account:
        """Have the user at CometChat, live; *is_new* tells where to begin."""
        user = self._user(account)
        if is_new and self._is_added(user):
            return _told(account, user)
        found = self._found_live(user.uid) if lets_in else self.directory.find_user(user.uid)
        if found is None:
            return self._added_or_left_off(account, user, lets_in=lets_in)
        if account.sent_profile_hash is None:
            account = _with_what_was_there(account, found.profile)
            user = self._user(account)
        if not _agrees(found.profile, user.profile):
            self.directory.update_user(user)
        return _told(account, user)

    def _added_or_left_off(self, account: Account, user: ChatUser, *, lets_in: bool) -> Account:
        """Create who is not live; whoever is there and was not let in, stays as they are.

        What they look like is told when they are live again: nothing counts as sent.
        """
        if self._is_added(user):
            return _told(account, user)
        # A login may have made them between the two calls.
        if lets_in or self.directory.find_user(user.uid):
            raise DirectoryUnavailableError("user_neither_there_nor_missing")
        return unsure(account)

    def _user(self, account: Account) -> ChatUser:
        return self.provisioning.complete(ChatUser(account.uid, account.profile))

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


def _told(account: Account, user: ChatUser) -> Account:
    sent = profile_hash(user.profile)
    return replace(account, sent_state=AccountState.ACTIVE, sent_profile_hash=sent)


def _with_what_was_there(account: Account, found: Profile) -> Account:
    """Keep what somebody else has told CometChat, and no fact has said anything of so far.

    Else the first fact about a user with a name and nothing more would cost them
    the picture that they got before there was an account.
    """
    whole = replace(
        account.whole,
        avatar=account.whole.avatar or found.avatar,
        metadata=account.whole.metadata or found.metadata,
    )
    return replace(account, whole=whole)


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
