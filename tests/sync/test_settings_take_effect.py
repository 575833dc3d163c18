"""Settings of keeping users in step take effect: each changes what happens."""

import io
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.builders import (
    API_KEY,
    APP_ID,
    NO_DATABASE,
    Service,
    a_service,
    a_token,
    a_uid,
    settings,
)
from tests.sync.situations import a_fact
from tests.sync.test_worker import running, until
from tokensvc.domain.accounts import AccountState
from tokensvc.domain.lifecycle import DAY_S
from tokensvc.emulator import EmulatorServer
from tokensvc.services_storage import storage_of
from tokensvc.services_sync import SyncServices, assemble_sync
from tokensvc.settings_loading import ConfigurationError
from tokensvc.worker import create_worker

ALICE = a_uid("alice")


@pytest.fixture
def emulator() -> Iterator[EmulatorServer]:
    with EmulatorServer(app_id=APP_ID, api_key=API_KEY) as emulator:
        yield emulator


class Place:
    """Settings that point at an emulator and at a database."""

    def __init__(self, emulator: EmulatorServer, sqlite_url: str) -> None:
        self.overrides: dict[str, Any] = {
            "cometchat": {"base_url": emulator.rest_url},
            "storage": {"url": sqlite_url},
        }

    def sync(self, **overrides: Any) -> SyncServices:
        return assemble_sync(settings(**self.overrides, **overrides), log_stream=io.StringIO())

    def state_after(self, *kinds: str, **lifecycle: Any) -> AccountState:
        """Return alice's state after facts that came true one after the other."""
        sync = self.sync(lifecycle=lifecycle).work.sync
        accounts = [sync.apply(a_fact(kind, age)) for age, kind in enumerate(kinds)]
        return accounts[-1].state

    def service(self, **overrides: Any) -> Service:
        return a_service({**self.overrides, **overrides})


@pytest.fixture
def place(emulator: EmulatorServer, sqlite_url: str) -> Place:
    return Place(emulator, sqlite_url)


@pytest.mark.parametrize(
    ("delete_after", "state", "delay_s"),
    [
        ("30d", AccountState.DELETING, 30 * DAY_S),
        ("12h", AccountState.DELETING, DAY_S / 2),
        ("never", AccountState.DELETING, None),
        ("0s", AccountState.DELETED, None),
    ],
)
def test_delete_after(
    place: Place, delete_after: str, state: AccountState, delay_s: float | None
) -> None:
    """When a deleted user is deleted for ever is the operator's choice."""
    assert place.state_after("created", "deleted", delete_after=delete_after) is state

    account = place.sync().house.accounts.find(ALICE)
    assert account is not None
    due_in = None if account.delete_at is None else account.delete_at - account.updated_at
    assert due_in == (None if delay_s is None else pytest.approx(delay_s, abs=5))


@pytest.mark.parametrize(
    ("is_allowed", "state"), [(False, AccountState.DELETING), (True, AccountState.ACTIVE)]
)
def test_allow_recreate(place: Place, *, is_allowed: bool, state: AccountState) -> None:
    """Whether a creation brings a deleted user back."""
    facts = ("created", "deleted", "created")

    assert place.state_after(*facts, allow_recreate=is_allowed) is state


@pytest.mark.parametrize(
    ("lease_s", "total_timeout_s", "expected_s"), [(100, 5, 100), (10, 5, 60), (10, 0.5, 10)]
)
def test_lease(place: Place, lease_s: float, total_timeout_s: float, expected_s: float) -> None:
    """A lease is as long as the operator says, and longer where twelve calls may take longer."""
    place.overrides["cometchat"]["total_timeout_s"] = total_timeout_s

    assert place.sync(worker={"lease_s": lease_s}).work.lease_s == expected_s


@pytest.mark.parametrize("threads", [1, 3])
def test_threads(place: Place, threads: int) -> None:
    """So many threads work the inbox off."""
    chosen = settings(**place.overrides, worker={"threads": threads})
    with running(create_worker(chosen, log_stream=io.StringIO())):
        until(lambda: len(working()) == threads)

    assert working() == []


def telling() -> int:
    """Return how many threads tell of logins: each service of this process may have one."""
    return [thread.name for thread in threading.enumerate()].count("login-facts")


def working() -> list[str]:
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name.startswith("sync-")]


@pytest.mark.parametrize("is_wanted", [False, True])
def test_update_on_login(place: Place, *, is_wanted: bool) -> None:
    """Whether newer claims of a returning user are told, shortly after the login."""
    place.sync().work.sync.apply(a_fact("created", 1))
    inbox = storage_of(settings(**place.overrides)).inbox
    service = place.service(provisioning={"update_on_login": is_wanted})

    assert service.login(a_token(name="New")).status_code == 201
    # A user who is new is told either way, by the same thread and after alice.
    assert service.login(a_token(name="Bob", sub="bob")).status_code == 201

    until(lambda: inbox.status().waiting > 0)
    first = inbox.claim(lease_s=60)
    assert first is not None
    assert first.event.uid == ("alice" if is_wanted else "bob")


def test_login_without_a_database(emulator: EmulatorServer, place: Place) -> None:
    """A returning user logs in, and a new one is told to come later, and is not created."""
    place.sync().work.sync.apply(a_fact("created", 1))
    place.overrides["storage"]["url"] = NO_DATABASE
    service = place.service()

    known, new = service.login(a_token()), service.login(a_token(sub="bob"))

    assert known.status_code == 201
    assert (new.status_code, new.get_json()["code"]) == (503, "storage_unavailable")
    assert [*emulator.world.apps[APP_ID].users] == ["alice"]


def test_a_shut_out_user_is_told_so(place: Place) -> None:
    """A suspended user gets a code of their own, and so does a deleted one."""
    sync = place.sync().work.sync
    sync.apply(a_fact("suspended", 1))
    sync.apply(a_fact("deleted", 1, uid="bob"))
    service = place.service()

    answers = [service.login(a_token(sub=uid)) for uid in ("alice", "bob")]

    assert [answer.status_code for answer in answers] == [403, 403]
    assert [answer.get_json()["code"] for answer in answers] == ["user_suspended", "user_deleted"]


def test_a_service_without_logins_has_no_thread(place: Place) -> None:
    """The thread of the login facts begins with the first that tells something."""
    before = telling()
    service = place.service()
    assert telling() == before

    service.login(a_token(sub="somebody-new"))

    assert telling() == before + 1


@pytest.mark.parametrize(
    "delay", ["30", "d", "1w", "-1d", "1.5d", "3661d", "9999999999d", "", "NEVER", "30 d", "٣d"]
)
def test_odd_delays_are_refused(delay: str) -> None:
    """What is no delay does not start the service."""
    with pytest.raises(ConfigurationError):
        settings(lifecycle={"delete_after": delay})
