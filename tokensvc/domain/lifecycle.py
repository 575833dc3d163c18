"""Lifecycle: one more fact about a user, and the account that follows from it.

A fact may come late, twice or before older ones. Each register of the account
keeps the newest fact of its own, so that the order of arrival makes no
difference: `apply` is commutative, associative and idempotent.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from tokensvc.domain.accounts import LOGIN, Account, EventKind, Flag, UserEvent, Version, canonical
from tokensvc.domain.claimed import newest, said, since
from tokensvc.domain.model import Profile

DAY_S: Final = 86_400.0

_SUSPENDED: Final[Mapping[EventKind, bool]] = {
    EventKind.SUSPENDED: True,
    EventKind.UNSUSPENDED: False,
}
_DEACTIVATED: Final[Mapping[EventKind, bool]] = {
    EventKind.DEACTIVATED: True,
    EventKind.REACTIVATED: False,
    EventKind.RESTORED: False,
}
_DELETED: Final = frozenset({EventKind.DELETED, EventKind.RESTORED})


@dataclass(frozen=True, slots=True)
class LifecyclePolicy:
    """What a deletion leads to."""

    delete_after_s: float | None = 30 * DAY_S
    """How long it can be undone until the user is deleted for ever; None: that never happens."""
    allow_recreate: bool = False
    """Whether a newer creation, or a restoration after the user was deleted for ever,
    makes a deleted user anew."""


def apply(
    account: Account | None, event: UserEvent, *, policy: LifecyclePolicy, now: float
) -> Account:
    """Return *account* with what *event* says; the same account if that is nothing new.

    *account* is None for a user of whom nothing was said before. *now* (UNIX
    seconds) is when the fact is learnt: a deletion counts its time from there.
    """
    before = account or Account(event.uid, created_at=now, updated_at=now)
    after = replace(
        before,
        suspended=_newer(before.suspended, _SUSPENDED.get(event.kind), event.version),
        deactivated=_newer(before.deactivated, _DEACTIVATED.get(event.kind), event.version),
        deleted=_newer(before.deleted, _deleted(before, event, policy), event.version),
    )
    after = _with_deletion_times(before, after, policy, now)
    after = _with_profile(after, event, policy)
    return before if after == before else replace(after, updated_at=now)


def last_word(account: Account | None, kind: EventKind, *, now: float) -> Version:
    """Return the version of a fact of *kind* that somebody has just made true.

    It is newer than all that is known so far, also where what was known came from a
    clock that is ahead of this one.
    """
    if account is None:
        return int(now * 1000)
    registers = (
        (account.suspended, _SUSPENDED),
        (account.deactivated, _DEACTIVATED),
        (account.deleted, _DELETED),
    )
    newer = [flag.version + 1 for flag, kinds in registers if kind in kinds]
    return max([int(now * 1000), *newer])


def purged(account: Account, *, now: float) -> Account:
    """Return the tombstone of a user who was just deleted for ever, whatever else was said.

    What they looked like is forgotten, and no fact as old as the deletion (in the
    same millisecond, that is) can bring it back.
    """
    return replace(
        account,
        deleted=replace(account.deleted, is_on=True),
        whole=Profile(),
        whole_version=max(account.profile_version, account.deleted.version) + 1,
        claims={},
        purged_at=now,
        delete_at=None,
        sent_profile_hash=None,
        updated_at=now,
    )


def with_claims(account: Account, profile: Profile, version: Version) -> Account:
    """Return *account* with what a login says of single fields: the newest of each counts."""
    claims = newest(account.claims, said(profile, version))
    return replace(account, claims=since(account.whole_version, claims))


def _newer(flag: Flag, is_on: bool | None, version: Version) -> Flag:  # noqa: FBT001 (a table's value)
    """Return the newer of *flag* and what a fact says of it, which is nothing for None."""
    if is_on is None or (version, is_on) <= (flag.version, flag.is_on):
        return flag
    return Flag(is_on, version)


def _deleted(before: Account, event: UserEvent, policy: LifecyclePolicy) -> bool | None:
    """Return what *event* says of the deletion; a creation undoes it where that is allowed.

    A user who was deleted for ever is gone, so that a restoration would be one too.
    """
    if event.kind is EventKind.DELETED:
        return True
    is_undone = event.kind is EventKind.RESTORED and before.purged_at is None
    is_new = event.kind in {EventKind.RESTORED, EventKind.CREATED} and policy.allow_recreate
    return False if is_undone or is_new else None


def _with_deletion_times(
    before: Account, after: Account, policy: LifecyclePolicy, now: float
) -> Account:
    """Return *after* with when it is due to be deleted for ever, or when that was done.

    A second, newer deletion does not put off what the first has begun.
    """
    purged_at = before.purged_at
    if policy.allow_recreate and after.deleted != before.deleted:
        # There may be a new user by now, of whom the old purge says nothing.
        purged_at = None
    if not after.deleted.is_on or purged_at is not None:
        return replace(after, purged_at=purged_at, delete_at=None)
    if before.deleted.is_on and before.purged_at is None:
        return after
    delay_s = policy.delete_after_s
    return replace(after, purged_at=None, delete_at=None if delay_s is None else now + delay_s)


def _with_profile(account: Account, event: UserEvent, policy: LifecyclePolicy) -> Account:
    """Return *account* with the newest profile.

    A login says single fields, which are laid over it; anybody else tells the whole. Of
    two wholes that are equally new the one that sorts last is taken, so that the order of
    arrival makes no difference. Of a user who was deleted for ever, and cannot come
    back, nothing more is kept.
    """
    is_gone = account.purged_at is not None and not policy.allow_recreate
    if event.profile is None or is_gone:
        return account
    if event.source == LOGIN:
        return with_claims(account, event.profile, event.version)
    known = (account.whole_version, canonical(account.whole))
    if (event.version, canonical(event.profile)) <= known:
        return account
    claims = since(event.version, account.claims)
    return replace(account, whole=event.profile, whole_version=event.version, claims=claims)
