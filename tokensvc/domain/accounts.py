"""Accounts: what the app has said of each user, and what CometChat has been told of it.

Facts arrive late, twice and out of order. Each aspect of a user (profile,
suspension, deactivation, deletion) is a register of its own that keeps its newest
fact, so that any order of the same facts ends in the same account.
"""

import hashlib
import json
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from tokensvc.domain.claimed import Claimed, laid_over
from tokensvc.domain.model import Profile, Uid

Version = int
"""When a fact was true, in milliseconds since 1970: the entity's own updated time, else the
event's, else the arrival's. A larger one is newer."""

LOGIN: Final = "login"
"""The source of what logins tell. They have asked CometChat for a token, or for a user."""
UNSURE: Final = ""
"""In the place of a hash: CometChat was told, and what it has now is not known."""


class EventKind(StrEnum):
    """What a fact says of a user."""

    CREATED = "created"
    UPDATED = "updated"
    SUSPENDED = "suspended"
    UNSUSPENDED = "unsuspended"
    DEACTIVATED = "deactivated"
    REACTIVATED = "reactivated"
    """Undoes a deactivation, and never a deletion."""
    DELETED = "deleted"
    RESTORED = "restored"
    """Undoes a deactivation and a deletion."""


SHUTS_OUT: Final = frozenset({EventKind.SUSPENDED, EventKind.DEACTIVATED, EventKind.DELETED})
"""Facts that end a user's sessions: none of them waits for a pause to pass."""
_CANONICAL: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class UserEvent:
    """One fact about one user, as a source told it."""

    kind: EventKind
    uid: Uid
    version: Version
    source: str
    """The webhook source's name, or `login`, `import`, `operator`, `due-deletion`."""
    event_id: str
    """Unique in its source: 1 to 200 characters. A second event of the same id is a repetition."""
    profile: Profile | None = None
    """What the user looks like, with `created` and `updated`."""


class AccountState(StrEnum):
    """Where a user is in their life."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    DEACTIVATED = "deactivated"
    DELETING = "deleting"
    """Deactivated at CometChat; deleted for ever when `delete_after` has passed."""
    DELETED = "deleted"
    """Deleted for ever. The account stays as a tombstone."""


@dataclass(frozen=True, slots=True)
class Flag:
    """Something that is on or off, and since which version; of two at once, on wins."""

    is_on: bool = False
    version: Version = -1


@dataclass(frozen=True, slots=True)
class Account:
    """One user's registers, and what CometChat was last told."""

    uid: Uid
    whole: Profile = field(default_factory=Profile)
    """The newest whole profile that was told, and since when it is true."""
    whole_version: Version = -1
    claims: Claimed = field(default_factory=dict)
    """What logins have said since, field by field."""
    suspended: Flag = Flag()
    deactivated: Flag = Flag()
    deleted: Flag = Flag()
    purged_at: float | None = None
    """When the user was deleted for ever, in UNIX seconds."""
    delete_at: float | None = None
    """When that is due, in UNIX seconds; None where it is not."""
    sent_profile_hash: str | None = None
    """Of the profile that CometChat has; None until it has one from us, for all we know, and
    `UNSURE` where it may have another one by now."""
    sent_state: AccountState | None = None
    """The state that CometChat was last brought to."""
    revision: int = 0
    """Grows with every write; a write that has read an older one is refused."""
    created_at: float = 0.0
    updated_at: float = 0.0

    @property
    def profile(self) -> Profile:
        """What the user looks like, after all that has been said."""
        return laid_over(self.whole, self.claims)

    @property
    def profile_version(self) -> Version:
        """The version of the newest word on that; -1 where there is none."""
        return max([self.whole_version, *(version for version, _ in self.claims.values())])

    @property
    def state(self) -> AccountState:
        """Where the user is, after all that has been said."""
        if self.deleted.is_on:
            return AccountState.DELETING if self.purged_at is None else AccountState.DELETED
        if self.suspended.is_on:
            return AccountState.SUSPENDED
        return AccountState.DEACTIVATED if self.deactivated.is_on else AccountState.ACTIVE

    @property
    def newest_version(self) -> Version:
        """Return the version of the newest fact; -1 if there was none."""
        flags = (self.suspended, self.deactivated, self.deleted)
        return max(self.profile_version, *(flag.version for flag in flags))


def unsure(account: Account) -> Account:
    """Return *account* where nobody knows by now what CometChat has.

    That it has been told what the user looks like stays known: what it shows is ours
    then, and not what somebody else has told it.
    """
    sent = None if account.sent_profile_hash is None else UNSURE
    return replace(account, sent_profile_hash=sent, sent_state=None)


def canonical(profile: Profile) -> str:
    """Return *profile* as text: the same for the same profile, and for no other.

    What is absent sorts before what is there, so that of two that are equally new
    the one that says more is taken.
    """
    texts = [profile.name or "", profile.avatar or "", profile.role or ""]
    fields = [*texts, [*profile.tags] or "", dict(profile.metadata) or ""]
    return _CANONICAL.encode(fields)


def profile_hash(profile: Profile) -> str:
    """Return what tells *profile* from any other, in 64 hex digits."""
    return hashlib.sha256(canonical(profile).encode()).hexdigest()
