"""Issuing: which calls a login makes, and how each situation ends."""

import pytest

from tests.builders import a_session, a_user
from tests.fakes import FakeDirectory
from tokensvc.domain.errors import (
    DirectoryUnavailableError,
    UserDeactivatedError,
    UserQuotaReachedError,
)
from tokensvc.domain.issuing import Provisioning, TokenIssuer
from tokensvc.domain.model import AuthToken, ChatUser, Uid


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
