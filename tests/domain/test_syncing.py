"""Syncing: which calls a fact costs, and that CometChat ends up as the account says."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.builders import a_uid, a_user
from tests.fakes import FakeUserDirectory
from tests.fakes_sync import FakeAccounts
from tests.sync.situations import Situation, a_fact
from tokensvc.domain.accounts import LOGIN, Account, AccountState
from tokensvc.domain.errors import (
    AccountChangedError,
    DirectoryUnavailableError,
    ProfileRefusedError,
    UserQuotaReachedError,
)
from tokensvc.domain.issuing import Provisioning
from tokensvc.domain.lifecycle import DAY_S, LifecyclePolicy
from tokensvc.domain.model import Profile, Uid
from tokensvc.domain.ports import Accounts
from tokensvc.domain.syncing import DUE, UserSync, reminder
from tokensvc.domain.telling import Telling

ALICE = a_uid("alice")
PURGE_AT_ONCE = LifecyclePolicy(delete_after_s=0)


@pytest.mark.parametrize(
    ("kinds", "calls"),
    [
        (["created"], ["add_user"]),
        (["updated"], ["add_user"]),
        (["created", "updated"], ["update_user"]),
        (["created", "suspended"], ["flush_tokens", "deactivate_user"]),
        (["created", "deactivated"], ["flush_tokens", "deactivate_user"]),
        (["created", "deleted"], ["flush_tokens", "deactivate_user"]),
        (["created", "suspended", "deleted"], []),
        (["created", "deleted", "updated"], []),
        (["created", "suspended", "updated"], []),
        (["created", "unsuspended"], []),
        (
            ["created", "suspended", "unsuspended"],
            ["find_user", "reactivate_user", "flush_tokens", "find_user"],
        ),
        (
            ["created", "deleted", "updated", "restored"],
            ["find_user", "reactivate_user", "flush_tokens", "find_user", "update_user"],
        ),
    ],
)
def test_what_a_fact_costs(kinds: list[str], calls: list[str]) -> None:
    """Only what CometChat does not have yet is sent."""
    assert Situation().after(*kinds) == calls


@pytest.mark.parametrize("kind", ["created", "updated", "suspended", "deleted", "restored"])
def test_a_repetition_costs_nothing(kind: str) -> None:
    """The same fact a second time changes nothing, here or there."""
    situation = Situation()
    fact = a_fact(kind, 5)
    situation.sync().apply(fact)
    written = situation.account()
    situation.directory.calls.clear()

    situation.sync().apply(fact)

    assert situation.directory.calls == []
    assert situation.account() == written


def test_an_identical_profile_is_not_sent_again() -> None:
    """A newer fact with the same profile costs no call."""
    situation = Situation()
    profile = Profile(name="Alice")

    assert situation.after("created", "updated", profile=profile) == []
    assert situation.account().profile_version == int(situation.clock() * 1000)


@pytest.mark.parametrize("kind", ["updated", "suspended", "deleted", "deactivated"])
def test_old_facts_change_nothing(kind: str) -> None:
    """What is older than the account's newest word is not sent to CometChat."""
    situation = Situation()
    situation.after("created", "suspended", "deleted", "restored", "unsuspended", "updated")
    name = situation.name_at_cometchat()

    situation.sync().apply(a_fact(kind, 1))

    assert situation.name_at_cometchat() == name
    assert situation.account().state is AccountState.ACTIVE


def test_tokens_end_with_a_suspension() -> None:
    """Who is suspended has no valid token left, and none comes back with them."""
    situation = Situation()
    situation.after("created")
    situation.directory.create_auth_token(ALICE)

    situation.after("suspended")

    assert not situation.directory.tokens.get(ALICE)


def test_a_token_made_between_flush_and_deactivation_does_not_come_back() -> None:
    """A login in the midst of a suspension gets a token that is dead after it for good."""

    class LoginBetween(FakeUserDirectory):
        def deactivate_user(self, uid: Uid) -> bool:
            self.create_auth_token(uid)
            return super().deactivate_user(uid)

    situation = Situation(LoginBetween())

    situation.after("created", "suspended", "unsuspended")

    assert situation.name_at_cometchat() is not None
    assert not situation.directory.tokens.get(ALICE)


def test_a_user_whom_cometchat_knows_already_is_taken_over() -> None:
    """A creation of somebody who exists makes them look as the app says."""
    situation = Situation()
    situation.directory.add_user(a_user(name="Old"))

    assert situation.after("created", profile=Profile(name="New")) == [
        *("add_user", "find_user", "update_user")
    ]
    assert situation.name_at_cometchat() == "New"


def test_what_was_there_before_stays() -> None:
    """The first fact does not cost a user a picture that is from elsewhere; the next one may."""
    situation = Situation()
    there: dict[str, Any] = {"avatar": "https://x.test/a", "metadata": {"team": 7}}
    situation.directory.add_user(a_user(name="Old", **there))

    situation.after("created", profile=Profile(name="New"))
    found = situation.directory.users[ALICE].profile
    assert (found.name, found.avatar, found.metadata) == ("New", *there.values())

    situation.after("updated", profile=Profile(name="New", metadata={"team": 8}))
    assert situation.directory.users[ALICE].profile.avatar is None


def test_a_user_who_was_just_created_by_their_login_is_left_as_they_are() -> None:
    """Where CometChat has the very profile, nothing is sent."""
    situation = Situation(provisioning=Provisioning(default_tags=("new",)))
    situation.directory.add_user(a_user(name="Alice", tags=("new",)))

    assert situation.after("updated", profile=Profile(name="Alice")) == ["add_user", "find_user"]


def test_a_user_deleted_at_cometchat_itself_is_made_again() -> None:
    """An update of somebody who is gone there creates them: the app's word counts."""
    situation = Situation()
    situation.after("created")
    situation.directory.delete_user(ALICE)

    situation.after("updated")

    assert situation.name_at_cometchat() is not None


def test_nobody_is_made_up() -> None:
    """Without a word on what a user looks like none is created, and none is overwritten."""
    situation = Situation()
    situation.after("suspended", "unsuspended")
    assert situation.directory.users == {}

    situation.directory.add_user(a_user(name="As known"))
    situation.after("suspended")
    assert situation.name_at_cometchat() is None
    situation.after("unsuspended")
    assert situation.name_at_cometchat() == "As known"


def test_defaults_are_those_of_a_first_login() -> None:
    """Gaps in a profile are filled as they are at a login."""
    situation = Situation(provisioning=Provisioning("guest", ("new",)))

    situation.after("created", profile=Profile())

    assert situation.directory.users[ALICE].profile == Profile("alice", None, "guest", ("new",))


def test_a_fact_from_a_login_ends_a_session_that_should_not_be() -> None:
    """A login that crossed a deletion has a token, or a new user: both are ended."""
    situation = Situation()
    situation.after("deleted")
    situation.directory.create_user(a_user())

    situation.after("updated", source=LOGIN)

    assert situation.name_at_cometchat() is None
    assert not situation.directory.tokens.get(ALICE)


def test_deletion_comes_due() -> None:
    """The user is deactivated at once, and deleted for ever once the reminder comes."""
    situation = Situation()
    situation.after("created", "deleted")
    assert situation.directory.deactivated == {ALICE}

    situation.clock.pass_by(30 * DAY_S)
    situation.sync().apply(reminder(situation.account()))

    assert situation.directory.users == {}
    account = situation.account()
    assert (account.state, account.delete_at) == (AccountState.DELETED, None)
    assert account.sent_state is AccountState.DELETED


def test_deletion_at_once() -> None:
    """With a delay of 0 the user is deleted for ever when the fact comes."""
    situation = Situation(policy=PURGE_AT_ONCE)

    assert situation.after("created", "deleted") == ["delete_user"]
    assert situation.account().state is AccountState.DELETED


def test_a_reminder_does_not_delete_whoever_was_restored() -> None:
    """A reminder that waited behind a restoration, or is early, does nothing."""
    situation = Situation()
    situation.after("created", "deleted")
    waiting = reminder(situation.account())
    situation.sync().apply(waiting)
    assert situation.account().state is AccountState.DELETING

    situation.after("restored")
    situation.clock.pass_by(31 * DAY_S)
    situation.sync().apply(waiting)

    assert situation.account().state is AccountState.ACTIVE
    assert situation.name_at_cometchat() is not None


def test_a_reminder_forgives_a_clock_that_is_behind() -> None:
    """A machine whose clock is a minute behind the reminder's does what it says; no other fact."""
    situation = Situation()
    situation.after("created", "deleted")
    situation.clock.pass_by(30 * DAY_S - 60)

    situation.sync().apply(a_fact("updated", 1))
    assert situation.account().state is AccountState.DELETING
    situation.sync().apply(reminder(situation.account()))

    assert situation.account().state is AccountState.DELETED


def test_a_new_life() -> None:
    """With allow_recreate a deleted user is created anew, with the new profile."""
    situation = Situation(policy=replace(PURGE_AT_ONCE, allow_recreate=True))

    assert situation.after("created", "deleted", "created") == ["add_user"]
    assert situation.account().state is AccountState.ACTIVE


def test_a_refused_profile_leaves_the_rest_of_the_fact() -> None:
    """The state is told and the fact written down; the profile is sent when it is better."""
    situation = Situation()
    situation.directory.refused_names = {"bad"}
    situation.after("created", "deleted")
    bad = Profile(name="bad")
    situation.sync().apply(a_fact("updated", int(situation.clock() * 1000) + 1, profile=bad))

    with pytest.raises(ProfileRefusedError):
        situation.after("restored")

    assert situation.account().state is AccountState.ACTIVE
    situation.after("updated", profile=Profile(name="good"))
    assert situation.name_at_cometchat() == "good"


def test_after_a_refusal_nothing_is_taken_for_told() -> None:
    """A user made live before their profile was refused is deactivated when that is asked."""
    situation = Situation()
    situation.directory.refused_names = {"bad"}
    situation.after("created", "deleted")
    bad = Profile(name="bad")
    situation.sync().apply(a_fact("updated", int(situation.clock() * 1000) + 1, profile=bad))
    with pytest.raises(ProfileRefusedError):
        situation.after("restored")
    assert situation.name_at_cometchat() is not None

    situation.after("deleted")

    assert situation.name_at_cometchat() is None


@pytest.mark.parametrize("kind", ["created", "updated", "suspended", "deleted"])
def test_what_was_not_told_is_not_written_down(kind: str) -> None:
    """Where CometChat is out of reach the account stays as it was."""
    situation = Situation()
    situation.after("created")
    before = situation.account()
    situation.directory.failing = [DirectoryUnavailableError("timeout")]

    with pytest.raises(DirectoryUnavailableError):
        situation.sync().apply(
            a_fact(kind, int(situation.clock() * 1000) + 1, profile=Profile("x"))
        )

    assert situation.account() == before


def test_no_room_for_one_more() -> None:
    """A full plan is told as such, and nothing is written down."""
    situation = Situation(FakeUserDirectory(max_users=0))

    with pytest.raises(UserQuotaReachedError):
        situation.after("created")

    assert situation.accounts.accounts == {}


class Overtaken:
    """Accounts in which somebody else applies *overtaking* right before our first write."""

    def __init__(self, situation: Situation, *overtaking: str) -> None:
        self._accounts = situation.accounts
        self._situation = situation
        self._overtaking = [*overtaking]

    def find(self, uid: Uid) -> Account | None:
        return self._accounts.find(uid)

    def find_each(self, uids: Collection[Uid]) -> Mapping[Uid, Account]:
        return self._accounts.find_each(uids)

    def save(self, account: Account) -> None:
        while self._overtaking:
            self._situation.clock.pass_by(5)
            self._situation.after(self._overtaking.pop(0))
        self._accounts.save(account)

    def due_for_deletion(self, *, now: float, limit: int = 100) -> list[Account]:
        return [*self._accounts.due_for_deletion(now=now, limit=limit)]


def overtaken(situation: Situation, accounts: Accounts) -> UserSync:
    telling = Telling(situation.directory, situation.provisioning)
    return UserSync(accounts, telling, situation.policy, situation.clock)


@pytest.mark.parametrize(
    ("ours", "theirs", "is_live"),
    [
        ("updated", ["suspended"], False),
        ("suspended", ["unsuspended"], True),
        ("deleted", ["restored"], True),
        ("restored", ["suspended", "deleted"], False),
    ],
)
def test_who_is_overtaken_tells_the_newest_again(
    ours: str, theirs: list[str], *, is_live: bool
) -> None:
    """What we told CometChat after somebody newer is put right: here by the same hand."""
    situation = Situation()
    situation.after("created")
    shown = Profile(name="Other") if ours == "updated" else None
    old = a_fact(ours, int(situation.clock() * 1000) + 1, profile=shown)

    account = overtaken(situation, Overtaken(situation, *theirs)).apply(old)

    assert (account.state is AccountState.ACTIVE) == is_live
    assert (situation.name_at_cometchat() is not None) == is_live


def test_who_tells_no_news_is_overtaken_too() -> None:
    """A worker that ends a crossing login's session, and is overtaken, finds out and undoes it."""

    class RestoredMeanwhile(FakeUserDirectory):
        def deactivate_user(self, uid: Uid) -> bool:
            if not self.users[uid].profile.tags:
                situation.after("restored")
                situation.after("updated", profile=Profile(name="Alice", tags=("back",)))
            return super().deactivate_user(uid)

    situation = Situation()
    situation.after("created", "deleted")
    meanwhile = RestoredMeanwhile(users=situation.directory.users)
    meanwhile.deactivated = situation.directory.deactivated
    login = a_fact("updated", 1, source=LOGIN)

    situation.sync(meanwhile).apply(login)

    assert situation.account().state is AccountState.ACTIVE
    assert situation.name_at_cometchat() == "Alice"


def test_an_account_that_keeps_changing_is_left_for_later() -> None:
    """Nobody tries for ever."""

    class Restless(FakeAccounts):
        def save(self, account: Account) -> None:
            raise AccountChangedError(account.uid)

    situation = Situation()

    with pytest.raises(AccountChangedError):
        overtaken(situation, Restless()).apply(a_fact("created"))


def test_the_reminder_says_nothing_new() -> None:
    """A reminder repeats the deletion that it is about, under an id of its own."""
    situation = Situation()
    situation.after("created", "deleted")
    account = situation.account()

    event = reminder(account)

    assert (event.source, event.version) == (DUE, account.deleted.version)
    assert event.event_id == f"alice:{account.deleted.version}"
