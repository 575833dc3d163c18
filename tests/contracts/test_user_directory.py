"""UserDirectory's promises, kept by the fake and by the client on the emulator alike."""

from collections.abc import Iterator

import pytest

from tests import upstreams
from tests.builders import API_KEY, APP_ID, a_uid, a_user
from tests.fakes import FakeUserDirectory
from tokensvc.adapters.cometchat_users import CometChatUsers
from tokensvc.domain.errors import (
    ProfileRefusedError,
    UserExistsError,
    UserNotFoundError,
    UserQuotaReachedError,
)
from tokensvc.domain.model import ChatUser, Profile, Uid
from tokensvc.domain.ports import UserDirectory
from tokensvc.emulator import EmulatorServer, Switches

MAX_USERS = 60
REFUSED = "x" * 101
"""A name that CometChat does not take."""
ALICE = a_uid("alice")


def a_client(rest_url: str) -> CometChatUsers:
    """Return the client of the REST API at *rest_url*."""
    return CometChatUsers(upstreams.a_client(rest_url))


@pytest.fixture(params=["fake", "client"])
def directory(request: pytest.FixtureRequest) -> Iterator[UserDirectory]:
    """Give each promise to both implementations."""
    if request.param == "fake":
        yield FakeUserDirectory(max_users=MAX_USERS, refused_names={REFUSED})
        return
    switches = Switches(max_users=MAX_USERS)
    with EmulatorServer(app_id=APP_ID, api_key=API_KEY, switches=switches) as emulator:
        yield a_client(emulator.rest_url)


def profile_of(directory: UserDirectory, uid: Uid = ALICE) -> Profile:
    """Return what a user who is there looks like."""
    user = directory.find_user(uid)
    assert user is not None
    return user.profile


def test_nobody_is_found(directory: UserDirectory) -> None:
    """A user who does not exist is None, and no error."""
    assert directory.find_user(ALICE) is None


def test_found_as_added(directory: UserDirectory) -> None:
    """A user is found with all that they were added with."""
    user = a_user(
        avatar="https://x.test/a.png", role="default", tags=("a", "b"), metadata={"n": {"id": 7}}
    )

    directory.add_user(user)

    assert directory.find_user(ALICE) == user


def test_added_twice(directory: UserDirectory) -> None:
    """The uid is taken, by a live user and by a deactivated one."""
    directory.add_user(a_user())
    with pytest.raises(UserExistsError):
        directory.add_user(a_user())

    directory.deactivate_user(ALICE)
    with pytest.raises(UserExistsError):
        directory.add_user(a_user())


def test_update(directory: UserDirectory) -> None:
    """A user looks like the last update; avatar and metadata that it lacks are gone."""
    directory.add_user(a_user(avatar="https://x.test/a.png", metadata={"a": 1}))

    directory.update_user(a_user(name="New"))

    assert profile_of(directory) == Profile(name="New", role="default")


def test_what_cannot_be_unset_stays(directory: UserDirectory) -> None:
    """Tags and role that an update lacks stay as they are."""
    directory.add_user(a_user(tags=("a",), avatar="https://x.test/a.png"))

    directory.update_user(a_user(metadata={"b": 2}))

    assert profile_of(directory) == Profile("Alice", None, "default", ("a",), {"b": 2})


def test_update_of_nobody(directory: UserDirectory) -> None:
    """Neither a missing nor a deactivated user is updated."""
    with pytest.raises(UserNotFoundError):
        directory.update_user(a_user())

    directory.add_user(a_user())
    directory.deactivate_user(ALICE)
    with pytest.raises(UserNotFoundError):
        directory.update_user(a_user())


def test_refused_profiles(directory: UserDirectory) -> None:
    """What CometChat refuses is told apart from what is wrong with the set-up."""
    with pytest.raises(ProfileRefusedError):
        directory.add_user(a_user(name=REFUSED))

    directory.add_user(a_user())
    with pytest.raises(ProfileRefusedError):
        directory.update_user(a_user(name=REFUSED))


def test_deactivation_can_be_repeated(directory: UserDirectory) -> None:
    """A deactivated user is not found; a second time, and for nobody, nothing happens."""
    directory.add_user(a_user())
    uids = (ALICE, ALICE, a_uid("nobody"))

    assert [directory.deactivate_user(uid) for uid in uids] == [True, True, False]
    assert directory.find_user(ALICE) is None
    directory.reactivate_user(ALICE)
    assert directory.find_user(ALICE) is not None


def test_deletion_can_be_repeated(directory: UserDirectory) -> None:
    """A deleted user is gone for ever and their uid is free; a second time nothing happens."""
    directory.add_user(a_user())
    for uid in (ALICE, ALICE, a_uid("nobody")):
        directory.delete_user(uid)

    directory.reactivate_user(ALICE)
    assert directory.find_user(ALICE) is None
    directory.add_user(a_user())


def test_a_deactivated_user_is_deleted(directory: UserDirectory) -> None:
    """A deletion for ever takes deactivated users too: their uid is free."""
    directory.add_user(a_user())
    directory.deactivate_user(ALICE)

    directory.delete_user(ALICE)

    directory.add_user(a_user(name="Another"))
    assert profile_of(directory).name == "Another"


def test_flush_can_be_repeated(directory: UserDirectory) -> None:
    """For a live user, again, for a deactivated one and for nobody it is no error."""
    directory.create_user(a_user())
    directory.flush_tokens(ALICE)
    directory.flush_tokens(ALICE)
    directory.deactivate_user(ALICE)
    for uid in (ALICE, a_uid("nobody")):
        directory.flush_tokens(uid)

    assert directory.find_user(ALICE) is None


def test_list(directory: UserDirectory) -> None:
    """Everybody is listed once, the deactivated ones as such, with what they look like."""
    for user in users(3):
        directory.add_user(user)
    directory.deactivate_user(a_uid("user-1"))

    listed = {found.user.uid: found for found in directory.list_users()}

    assert sorted(listed) == ["user-0", "user-1", "user-2"]
    assert [uid for uid, found in listed.items() if found.is_deactivated] == ["user-1"]
    assert listed[a_uid("user-0")].user.profile.tags == ("t",)


def test_import(directory: UserDirectory) -> None:
    """Each user of an import is told what became of them, and the good ones are there."""
    directory.add_user(a_user())

    results = directory.import_users([*users(2), a_user(), a_user("bob", name=REFUSED)])

    assert results == {
        "user-0": "ok",
        "user-1": "ok",
        "alice": "ERR_UID_ALREADY_EXISTS",
        "bob": "ERR_BAD_REQUEST",
    }
    assert profile_of(directory, a_uid("user-1")).tags == ("t",)


def test_full_directory(directory: UserDirectory) -> None:
    """Where there is no room for one more, it says so."""
    directory.import_users(users(50))
    results = directory.import_users(users(60, first=50))

    assert sorted(set(results.values())) == ["ok"]
    with pytest.raises(UserQuotaReachedError):
        directory.add_user(a_user())


def users(end: int, first: int = 0) -> list[ChatUser]:
    return [a_user(f"user-{number}", tags=("t",)) for number in range(first, end)]
