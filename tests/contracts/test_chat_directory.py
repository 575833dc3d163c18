"""ChatDirectory's promises, kept by the fake and by the client on the emulator alike."""

from collections.abc import Iterator

import pytest
import requests

from tests.builders import API_KEY, APP_ID, a_uid, a_user
from tests.fakes import FakeDirectory
from tests.upstreams import a_client
from tokensvc.domain.errors import UserExistsError, UserNotFoundError, UserQuotaReachedError
from tokensvc.domain.model import ChatUser
from tokensvc.domain.ports import ChatDirectory
from tokensvc.emulator import EmulatorServer, Switches

MAX_USERS = 3


class Subject:
    """A directory, and how to deactivate a user behind its back."""

    def __init__(self, directory: ChatDirectory, emulator: EmulatorServer | None) -> None:
        self.directory = directory
        self._emulator = emulator

    def have_deactivated(self, user: ChatUser) -> None:
        self.directory.create_user(user)
        if isinstance(self.directory, FakeDirectory):
            self.directory.deactivate(user)
        elif self._emulator:
            requests.delete(
                f"{self._emulator.rest_url}/users/{user.uid}",
                headers={"apikey": API_KEY},
                timeout=5,
            ).raise_for_status()


@pytest.fixture(params=["fake", "client"])
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    """Give each promise to both implementations."""
    if request.param == "fake":
        yield Subject(FakeDirectory(max_users=MAX_USERS), None)
        return
    switches = Switches(max_users=MAX_USERS)
    with EmulatorServer(app_id=APP_ID, api_key=API_KEY, switches=switches) as emulator:
        yield Subject(a_client(emulator.rest_url), emulator)


def test_token_of_a_user(subject: Subject) -> None:
    """A user who exists gets a token of their own."""
    subject.directory.create_user(a_user("alice"))

    token = subject.directory.create_auth_token(a_uid("alice"))

    assert (token.uid, bool(token.value)) == ("alice", True)


def test_tokens_differ(subject: Subject) -> None:
    """Each token is a fresh one."""
    subject.directory.create_user(a_user("alice"))

    values = {subject.directory.create_auth_token(a_uid("alice")).value for _ in range(5)}

    assert len(values) == 5


def test_token_of_nobody(subject: Subject) -> None:
    """A user who does not exist is not found."""
    with pytest.raises(UserNotFoundError):
        subject.directory.create_auth_token(a_uid("nobody"))


def test_token_comes_with_the_user(subject: Subject) -> None:
    """The first token comes with the creation."""
    token = subject.directory.create_user(a_user("alice"))

    assert token is not None
    assert token.uid == "alice"


def test_create_twice(subject: Subject) -> None:
    """The second creation of one uid is refused."""
    subject.directory.create_user(a_user("alice"))

    with pytest.raises(UserExistsError):
        subject.directory.create_user(a_user("alice"))


def test_whole_profile_is_taken(subject: Subject) -> None:
    """Every field of a profile is one that the directory takes."""
    user = a_user(
        "alice",
        avatar="https://x.test/a.png",
        role="default",
        tags=("a", "b"),
        metadata={"team": {"id": 7}},
    )

    assert subject.directory.create_user(user) is not None


def test_deactivated_is_not_found(subject: Subject) -> None:
    """A deactivated user looks like a missing one."""
    subject.have_deactivated(a_user("alice"))

    with pytest.raises(UserNotFoundError):
        subject.directory.create_auth_token(a_uid("alice"))


def test_deactivated_is_taken(subject: Subject) -> None:
    """And its uid is taken all the same."""
    subject.have_deactivated(a_user("alice"))

    with pytest.raises(UserExistsError):
        subject.directory.create_user(a_user("alice"))


def test_reactivated_is_found(subject: Subject) -> None:
    """A reactivated user gets tokens again."""
    subject.have_deactivated(a_user("alice"))

    subject.directory.reactivate_user(a_uid("alice"))

    assert subject.directory.create_auth_token(a_uid("alice")).uid == "alice"


@pytest.mark.parametrize("uid", ["nobody", "alice"])
def test_reactivating_anybody_else_is_nothing(subject: Subject, uid: str) -> None:
    """For a live user and for one who does not exist nothing happens."""
    subject.directory.create_user(a_user("alice"))

    subject.directory.reactivate_user(a_uid(uid))

    assert subject.directory.create_auth_token(a_uid("alice")).uid == "alice"


def test_full_directory(subject: Subject) -> None:
    """Where there is no room for one more, it says so."""
    for number in range(MAX_USERS):
        subject.directory.create_user(a_user(f"user-{number}"))

    with pytest.raises(UserQuotaReachedError):
        subject.directory.create_user(a_user("one-more"))
