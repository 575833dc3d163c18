"""Lifecycle: whatever the order in which facts arrive, the same account comes of them."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import NOW, a_uid
from tokensvc.domain.accounts import (
    LOGIN,
    Account,
    AccountState,
    EventKind,
    UserEvent,
    profile_hash,
)
from tokensvc.domain.lifecycle import DAY_S, LifecyclePolicy, apply, purged
from tokensvc.domain.model import Profile

POLICY = LifecyclePolicy()
RECREATING = LifecyclePolicy(allow_recreate=True)
WITH_PROFILE = {EventKind.CREATED, EventKind.UPDATED}


def fact(kind: str, version: int, name: str | None = None) -> UserEvent:
    """Return a fact about alice; those that can say what she looks like do."""
    chosen = EventKind(kind)
    profile = Profile(name=name or f"Alice {version}") if chosen in WITH_PROFILE else None
    return UserEvent(chosen, a_uid(), version, "app", f"{kind}-{version}", profile)


def login(version: int, **profile: Any) -> UserEvent:
    """Return what a login of alice's says."""
    said = Profile(**profile)
    return UserEvent(EventKind.UPDATED, a_uid(), version, LOGIN, f"login-{version}", said)


def after(
    *facts: UserEvent, account: Account | None = None, policy: LifecyclePolicy = POLICY
) -> Account:
    """Return the account after *facts*."""
    for each in facts:
        account = apply(account, each, policy=policy, now=NOW)
    assert account is not None
    return account


TOLD = st.builds(fact, st.sampled_from(list(EventKind)), st.integers(0, 6), st.sampled_from("ab"))
CLAIMED = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from("cd"),
        "avatar": st.sampled_from(["https://x.test/a", "https://x.test/b"]),
        "tags": st.sampled_from([("t",), ("u", "v")]),
        "metadata": st.dictionaries(st.sampled_from("xy"), st.integers(0, 1)),
    },
)
LOGINS = st.builds(
    lambda version, claims: login(version, **claims), version=st.integers(0, 6), claims=CLAIMED
)
FACTS = st.lists(TOLD, min_size=1, max_size=9)
FACTS_AND_LOGINS = st.lists(TOLD | LOGINS, min_size=1, max_size=9)
PURGED = purged(after(fact("created", 2), fact("deleted", 3)), now=NOW)
STARTS = st.sampled_from([None, PURGED])
POLICIES = st.sampled_from([POLICY, RECREATING, LifecyclePolicy(delete_after_s=None)])


@given(facts=FACTS_AND_LOGINS, start=STARTS, policy=POLICIES, data=st.data())
def test_no_order_makes_a_difference(
    facts: list[UserEvent], start: Account | None, policy: LifecyclePolicy, data: Any
) -> None:
    """Any order and any repetition of the same facts end in the same account."""
    again = data.draw(st.lists(st.sampled_from(facts), max_size=4))
    shuffled = data.draw(st.permutations([*facts, *again]))

    assert after(*shuffled, account=start, policy=policy) == after(
        *facts, account=start, policy=policy
    )


@given(facts=FACTS, policy=POLICIES)
def test_a_delete_beats_what_is_not_newer(facts: list[UserEvent], policy: LifecyclePolicy) -> None:
    """After a deletion with nothing newer the user is deleted, whatever else was said."""
    newest = max(each.version for each in facts)

    account = after(fact("deleted", newest), *facts, policy=policy)

    assert account.state is AccountState.DELETING


@given(facts=FACTS)
def test_nobody_comes_back_by_being_mentioned(facts: list[UserEvent]) -> None:
    """Unless recreation is allowed, only a newer restoration undoes a deletion."""
    restored = [each.version for each in facts if each.kind is EventKind.RESTORED]
    deleted = [each.version for each in facts if each.kind is EventKind.DELETED]
    is_deleted = bool(deleted) and max(deleted) >= max(restored, default=-1)

    assert after(*facts).deleted.is_on == is_deleted


@given(facts=FACTS)
def test_the_newest_profile_wins(facts: list[UserEvent]) -> None:
    """What the user looks like is what the newest fact says that says it."""
    told = [each.version for each in facts if each.profile]

    assert after(*facts).profile_version == max(told, default=-1)


WHOLE = Profile("Al", "https://x.test/a", "staff", ("t",), {"a": 1, "b": 2})


def test_a_login_says_single_fields() -> None:
    """What its claims leave out stays as it was told, and is no newer for it."""
    told = replace(fact("updated", 1), profile=WHOLE)

    account = after(told, login(5, name="Alice", metadata={"b": 3}))

    assert account.profile == replace(WHOLE, name="Alice", metadata={"a": 1, "b": 3})
    assert (account.profile_version, account.whole_version) == (5, 1)


def test_each_claim_has_an_age_of_its_own() -> None:
    """A whole profile beats the claims that are not newer, and those alone."""
    claims = (login(2, avatar="https://x.test/old", tags=("old",)), login(5, name="Alice"))
    told = replace(fact("updated", 3), profile=WHOLE)

    assert after(*claims, told).profile == replace(WHOLE, name="Alice")
    assert after(*claims, replace(told, version=5)).profile == WHOLE


def test_what_two_logins_say_stays() -> None:
    """A token that says less than an earlier one takes nothing away."""
    account = after(login(1, name="Al", avatar="https://x.test/a"), login(2, name="Alice"))

    assert account.profile == Profile("Alice", "https://x.test/a")


def test_what_a_login_said_is_forgotten_with_the_person() -> None:
    """Nothing of it is left in the tombstone."""
    account = after(fact("created", 1), login(2, name="Alice"), fact("deleted", 3))

    assert purged(account, now=NOW).claims == {}
    assert after(login(9, name="Alice"), account=purged(account, now=NOW)).profile == Profile()


@pytest.mark.parametrize(
    ("kinds", "state"),
    [
        (["created"], AccountState.ACTIVE),
        (["updated"], AccountState.ACTIVE),
        (["suspended"], AccountState.SUSPENDED),
        (["suspended", "unsuspended"], AccountState.ACTIVE),
        (["unsuspended", "suspended"], AccountState.SUSPENDED),
        (["deactivated"], AccountState.DEACTIVATED),
        (["deactivated", "reactivated"], AccountState.ACTIVE),
        (["deactivated", "restored"], AccountState.ACTIVE),
        (["deactivated", "updated"], AccountState.DEACTIVATED),
        (["suspended", "restored"], AccountState.SUSPENDED),
        (["deleted"], AccountState.DELETING),
        (["deleted", "reactivated"], AccountState.DELETING),
        (["deleted", "created"], AccountState.DELETING),
        (["deleted", "updated"], AccountState.DELETING),
        (["deleted", "unsuspended"], AccountState.DELETING),
        (["deleted", "restored"], AccountState.ACTIVE),
        (["suspended", "deleted", "restored"], AccountState.SUSPENDED),
    ],
)
def test_states(kinds: list[str], state: AccountState) -> None:
    """Where a user is after facts that arrive in the order in which they came true."""
    assert after(*(fact(kind, age) for age, kind in enumerate(kinds))).state is state


def test_a_creation_makes_a_deleted_user_anew_where_that_is_allowed() -> None:
    """With allow_recreate a newer creation counts, and an older one does not."""
    facts = [fact("deleted", 5), fact("created", 6)]

    assert after(*facts, policy=RECREATING).state is AccountState.ACTIVE
    assert after(facts[0], fact("created", 5), policy=RECREATING).state is AccountState.DELETING


def test_a_purge_cannot_be_undone() -> None:
    """A restoration of a user who was deleted for ever does nothing, unless they may be new."""
    restored = fact("restored", 9)

    assert after(restored, account=PURGED).state is AccountState.DELETED
    assert after(restored, account=PURGED, policy=RECREATING).state is AccountState.ACTIVE


def test_a_tombstone_holds_nothing_of_the_person() -> None:
    """After the purge the profile is gone, and neither old facts nor new ones bring it back."""
    mentioned = after(fact("updated", 2), fact("updated", 9), account=PURGED)

    assert (PURGED.profile, mentioned.profile) == (Profile(), Profile())
    assert after(fact("updated", 3), account=PURGED, policy=RECREATING).profile == Profile()


def test_when_a_deletion_is_due() -> None:
    """A deletion is final 30 days after it was learnt of, or after what the policy says."""
    never, at_once = LifecyclePolicy(delete_after_s=None), LifecyclePolicy(delete_after_s=0)
    deleted = fact("deleted", 1)

    assert after(deleted).delete_at == NOW + 30 * DAY_S
    assert after(deleted, policy=never).delete_at is None
    assert after(deleted, policy=at_once).delete_at == NOW
    assert after(deleted, fact("restored", 2)).delete_at is None


def test_a_second_deletion_puts_nothing_off() -> None:
    """The time runs from the first deletion; after a restoration it begins anew."""
    deleting = replace(after(fact("deleted", 1)), delete_at=NOW + 5)

    assert after(fact("deleted", 2), account=deleting).delete_at == NOW + 5
    restored = after(fact("restored", 2), account=deleting)
    assert after(fact("deleted", 3), account=restored).delete_at == NOW + 30 * DAY_S


def test_old_news_changes_nothing() -> None:
    """A fact that says nothing new leaves the very account, its time stamp too."""
    account = after(fact("created", 5), fact("suspended", 5))

    assert apply(account, fact("unsuspended", 5), policy=POLICY, now=NOW + 9) is account
    assert apply(account, fact("updated", 4), policy=POLICY, now=NOW + 9) is account
    assert apply(account, fact("updated", 6), policy=POLICY, now=NOW + 9).updated_at == NOW + 9


def test_hashes_tell_profiles_apart() -> None:
    """Each field counts, and the order of metadata does not."""
    whole = Profile("a", "https://x.test", "staff", ("t", "u"), {"b": 1, "a": {"d": 2, "c": 3}})
    others = [
        *(replace(whole, name="b"), replace(whole, avatar=None), replace(whole, role=None)),
        *(replace(whole, tags=("u", "t")), replace(whole, metadata={})),
    ]
    same = replace(whole, metadata={"a": {"c": 3, "d": 2}, "b": 1})

    assert profile_hash(whole) == profile_hash(same)
    assert len({profile_hash(each) for each in [whole, *others]}) == 6
