"""Issuing: which calls a login makes, and how each situation ends."""

from dataclasses import replace
from typing import Any

import pytest

from tests.builders import a_session, a_user
from tests.fakes import FakeDirectory
from tests.sync.situations import Situation, a_fact
from tokensvc.domain.errors import (
    DirectoryUnavailableError,
    StorageUnavailableError,
    TokenServiceError,
    UserDeactivatedError,
    UserDeletedError,
    UserQuotaReachedError,
    UserSuspendedError,
)
from tokensvc.domain.issuing import Provisioning, TokenIssuer
from tokensvc.domain.lifecycle import LifecyclePolicy
from tokensvc.domain.model import AuthToken, ChatUser, Login, Profile, Session, Uid


def test_returning_user_costs_one_call() -> None:
    """A user who exists gets a token for one call."""
    directory = FakeDirectory()
    directory.create_user(a_user("alice"))
    directory.calls.clear()

    issued = TokenIssuer(directory).issue(a_session("alice"))

    assert not issued.user_created
    assert directory.calls == ["create_auth_token"]


def test_first_login_costs_two_calls() -> None:
    """A user who is missing is created, and the token comes with the creation."""
    directory = FakeDirectory()

    issued = TokenIssuer(directory).issue(a_session("alice"))

    assert issued.user_created
    assert directory.calls == ["create_auth_token", "create_user"]


def test_creation_without_a_token_asks_once_more() -> None:
    """Where the token does not come with the new user, it is asked for."""
    directory = FakeDirectory(token_with_user=False)

    issued = TokenIssuer(directory).issue(a_session("alice"))

    assert issued.user_created
    assert directory.calls == ["create_auth_token", "create_user", "create_auth_token"]


def test_tokens_are_fresh() -> None:
    """Two logins never share a token."""
    issuer = TokenIssuer(FakeDirectory())

    first, second = (issuer.issue(a_session("alice")).token for _ in range(2))

    assert first.value != second.value


class LostRace(FakeDirectory):
    """Another login creates the user between our two calls."""

    def create_user(self, user: ChatUser) -> AuthToken | None:
        self.users[user.uid] = user
        return super().create_user(user)


def test_a_lost_race_still_gets_a_token() -> None:
    """Whoever comes second to create a user asks for the token again."""
    directory = LostRace()

    issued = TokenIssuer(directory).issue(a_session("alice"))

    assert not issued.user_created
    assert directory.calls == ["create_auth_token", "create_user", "create_auth_token"]


def test_deactivated_user_is_refused() -> None:
    """Missing for one call and taken for the next: the user is deactivated."""
    directory = FakeDirectory()
    directory.deactivate(a_user("alice"))

    with pytest.raises(UserDeactivatedError):
        TokenIssuer(directory).issue(a_session("alice"))

    assert directory.deactivated == {"alice"}


def test_deactivated_user_is_restored_where_that_is_wanted() -> None:
    """With reactivate_on_login a deactivated user is made live again."""
    directory = FakeDirectory()
    directory.deactivate(a_user("alice"))

    issued = TokenIssuer(directory, Provisioning(reactivate_on_login=True)).issue(
        a_session("alice")
    )

    assert issued.token.uid == "alice"
    assert directory.deactivated == set()


class Unhelpful(FakeDirectory):
    """A directory in which reactivation changes nothing."""

    def reactivate_user(self, uid: Uid) -> None:
        self.calls.append(f"reactivate_user {uid}")


def test_reactivation_that_changes_nothing_ends() -> None:
    """A user who stays missing after the reactivation is a fault of the directory: no loop."""
    directory = Unhelpful()
    directory.deactivate(a_user("alice"))

    with pytest.raises(DirectoryUnavailableError):
        TokenIssuer(directory, Provisioning(reactivate_on_login=True)).issue(a_session("alice"))

    assert len(directory.calls) == 5


def test_full_directory_is_told() -> None:
    """Where no more users fit, a first login says so."""
    with pytest.raises(UserQuotaReachedError):
        TokenIssuer(FakeDirectory(max_users=0)).issue(a_session("alice"))


def test_full_directory_still_serves_those_it_has() -> None:
    """The quota is no reason to refuse a user who exists."""
    directory = FakeDirectory(max_users=1)
    directory.create_user(a_user("alice"))

    assert TokenIssuer(directory).issue(a_session("alice")).token.uid == "alice"


def test_new_user_gets_the_claims() -> None:
    """What the session says about the user is what CometChat is told."""
    directory = FakeDirectory()

    TokenIssuer(directory, Provisioning(default_role="guest", default_tags=("new",))).issue(
        a_session("alice", name="Alice A.", role="staff", tags=("a",))
    )

    profile = directory.users[Uid("alice")].profile
    assert (profile.name, profile.role, profile.tags) == ("Alice A.", "staff", ("a",))


def test_new_user_gets_the_defaults_for_what_is_not_claimed() -> None:
    """Without claims: the uid for a name, and the role and tags of the settings."""
    directory = FakeDirectory()

    TokenIssuer(directory, Provisioning(default_role="guest", default_tags=("new",))).issue(
        a_session("alice", name=None)
    )

    profile = directory.users[Uid("alice")].profile
    assert (profile.name, profile.role, profile.tags) == ("alice", "guest", ("new",))


def test_returning_user_is_not_changed() -> None:
    """A login is no update: claims of a returning user stay where they are."""
    directory = FakeDirectory()
    directory.create_user(a_user("alice", name="Old"))

    TokenIssuer(directory).issue(a_session("alice", name="New"))

    assert directory.users[Uid("alice")].profile.name == "Old"


def an_issuer(situation: Situation, observed: list[Login] | None = None) -> TokenIssuer:
    """Return an issuer who knows the accounts."""
    return TokenIssuer(
        situation.directory,
        situation.provisioning,
        situation.accounts,
        observed.append if observed is not None else lambda _: None,
    )


def a_timed_session(situation: Situation, uid: str = "alice", **profile: Any) -> Session:
    """Return a session that was opened just now."""
    return replace(a_session(uid, **profile), issued_at=situation.clock())


@pytest.mark.parametrize("reactivates", [False, True])
@pytest.mark.parametrize(
    ("kinds", "error"),
    [
        (["deleted"], UserDeletedError),
        (["created", "deleted"], UserDeletedError),
        (["created", "suspended", "deleted"], UserDeletedError),
        (["suspended"], UserSuspendedError),
        (["created", "suspended"], UserSuspendedError),
        (["created", "deactivated", "suspended"], UserSuspendedError),
    ],
)
def test_who_is_shut_out_stays_out(
    kinds: list[str], error: type[TokenServiceError], *, reactivates: bool
) -> None:
    """A deleted or suspended user gets no token and no new account, whatever the settings."""
    situation = Situation(provisioning=Provisioning(reactivate_on_login=reactivates))
    situation.after(*kinds)
    known = set(situation.directory.users)
    situation.clock.pass_by(60)

    with pytest.raises(error):
        an_issuer(situation).issue(a_timed_session(situation))

    assert set(situation.directory.users) == known
    assert situation.directory.deactivated == known


def test_who_was_deleted_for_ever_stays_out() -> None:
    """The tombstone speaks when CometChat has forgotten, also where creations would restore."""
    situation = Situation(policy=LifecyclePolicy(delete_after_s=0, allow_recreate=True))
    situation.after("created", "deleted")
    assert situation.directory.users == {}

    with pytest.raises(UserDeletedError):
        an_issuer(situation).issue(a_timed_session(situation))

    assert situation.directory.users == {}


@pytest.mark.parametrize(
    ("reactivates", "age_s", "is_welcome"),
    [(False, 0, False), (True, 0, True), (True, 60, False), (True, None, False)],
)
def test_deactivated_account(*, reactivates: bool, age_s: float | None, is_welcome: bool) -> None:
    """A deactivated user comes back where that is wanted, and with a newer session alone.

    One that does not say when it was issued is not newer.
    """
    situation = Situation(provisioning=Provisioning(reactivate_on_login=reactivates))
    situation.sync().apply(a_fact("created", 1))
    situation.sync().apply(a_fact("deactivated", int(situation.clock() * 1000) - 1))
    issued_at = None if age_s is None else situation.clock() - age_s
    session = replace(a_session(), issued_at=issued_at)
    observed: list[Login] = []
    issuer = an_issuer(situation, observed)

    if is_welcome:
        assert issuer.issue(session).token.uid == "alice"
        assert observed == [Login(session, has_reactivated=True)]
    else:
        with pytest.raises(UserDeactivatedError):
            issuer.issue(session)
        assert (observed, situation.directory.deactivated) == ([], {"alice"})


def test_a_deactivated_user_who_is_missing_comes_back_in_the_account_too() -> None:
    """Where CometChat has no such user the login creates one, and the deactivation is undone."""
    situation = Situation(provisioning=Provisioning(reactivate_on_login=True))
    situation.after("deactivated")
    situation.clock.pass_by(1)
    session = a_timed_session(situation)
    observed: list[Login] = []

    an_issuer(situation, observed).issue(session)

    assert observed == [Login(session, has_created=True, has_reactivated=True)]


def test_a_returning_users_login_reads_no_account() -> None:
    """Who exists at CometChat costs no look at the database, and is told of."""
    situation = Situation()
    situation.after("created")
    reads = situation.accounts.reads
    session = a_timed_session(situation)
    observed: list[Login] = []

    an_issuer(situation, observed).issue(session)

    assert situation.accounts.reads == reads
    assert observed == [Login(session)]


def test_without_the_accounts_nobody_is_created() -> None:
    """While the database cannot be asked a missing user is told to come later."""
    situation = Situation()
    situation.accounts.fault = "disk_full"

    with pytest.raises(StorageUnavailableError):
        an_issuer(situation).issue(a_timed_session(situation))

    assert situation.directory.users == {}


def test_a_returning_user_needs_no_accounts() -> None:
    """The same fault costs a user who exists nothing."""
    situation = Situation()
    situation.after("created")
    situation.accounts.fault = "disk_full"

    assert an_issuer(situation).issue(a_timed_session(situation)).token.uid == "alice"


def test_a_creation_is_told() -> None:
    """A first login is told of as one that has created its user."""
    situation = Situation()
    session = a_timed_session(situation)
    observed: list[Login] = []

    an_issuer(situation, observed).issue(session)

    assert observed == [Login(session, has_created=True)]


@pytest.mark.parametrize(("age_s", "name"), [(0, "Session's"), (60, "App's")])
def test_a_user_missing_at_cometchat_is_made_by_the_newest_word(age_s: float, name: str) -> None:
    """Who is known here and missing there is created as the app has said, or the newer session."""
    situation = Situation()
    version = int(situation.clock() * 1000) - 30_000
    situation.sync().apply(a_fact("created", version, profile=Profile(name="App's")))
    situation.directory.delete_user(Uid("alice"))
    session = replace(a_session(name="Session's"), issued_at=situation.clock() - age_s)

    an_issuer(situation).issue(session)

    assert situation.name_at_cometchat() == name
