"""CometChat's further endpoints: what goes over the wire, and what odd answers come to."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.builders import API_KEY, APP_ID, a_uid, a_user
from tests.contracts.test_user_directory import a_client
from tests.fakes import Notices
from tests.raw_server import an_answer, raw_server
from tests.upstreams import a_client as a_directory_client
from tests.upstreams import a_policy
from tokensvc.adapters.cometchat_users import CometChatUsers
from tokensvc.adapters.request_budget import RequestBudget
from tokensvc.domain.errors import DirectoryMisconfiguredError, DirectoryUnavailableError
from tokensvc.domain.model import ChatUser
from tokensvc.emulator import EmulatorServer
from tokensvc.emulator.faults import parse_fault

ALICE = a_uid("alice")


@pytest.fixture
def emulator() -> Iterator[EmulatorServer]:
    with EmulatorServer(app_id=APP_ID, api_key=API_KEY) as running:
        yield running


@contextmanager
def answered(answer: bytes) -> Iterator[CometChatUsers]:
    """Run a vendor that gives one answer, and yield a client of it."""
    with raw_server(answer) as vendor:
        yield a_client(f"{vendor.url}/v3")


def test_for_ever_is_said_in_the_body(emulator: EmulatorServer) -> None:
    """A deletion for ever says so in the JSON body; the query, which is unverified, stays empty."""
    directory = a_client(emulator.rest_url)
    directory.add_user(a_user())

    directory.delete_user(ALICE)

    entry = emulator.requests[-1]
    assert (entry.method, entry.path, entry.body) == (
        *("DELETE", "/v3/users/alice"),
        {"permanent": True},
    )


def test_users_are_added_without_a_token(emulator: EmulatorServer) -> None:
    """Nobody asked for a token, so that none is made that nobody holds."""
    a_client(emulator.rest_url).add_user(a_user())

    assert "withAuthToken" not in emulator.requests[-1].body
    assert emulator.world.apps[APP_ID].tokens == {}


def test_absent_is_unset(emulator: EmulatorServer) -> None:
    """An update names what is to be cleared, and sends nothing empty."""
    directory = a_client(emulator.rest_url)
    directory.add_user(a_user(avatar="https://x.test/a", metadata={"a": 1}))

    directory.update_user(a_user(name="New", metadata={"b": 2}))

    assert emulator.requests[-1].body == {
        "name": "New",
        "metadata": {"b": 2},
        "unset": ["avatar"],
    }


def test_all_pages_are_walked(emulator: EmulatorServer) -> None:
    """More users than fit a page are all listed."""
    directory = a_client(emulator.rest_url)
    for batch in range(5):
        directory.import_users([a_user(f"user-{batch}-{number}") for number in range(50)])

    assert len({found.user.uid for found in directory.list_users()}) == 250


@pytest.mark.parametrize("users", [1, 50])
def test_bulk_limit_is_no_limit_of_the_single_calls(emulator: EmulatorServer, users: int) -> None:
    """Sixty bulk requests a minute are counted apart: the single calls keep the whole plan."""
    budget = RequestBudget(500, notify=Notices(), now=lambda: 60 * 30_000_000 + 10.0)
    policy = a_policy(request_budget=budget)
    directory = CometChatUsers(a_directory_client(emulator.rest_url, policy=policy))

    directory.import_users([a_user(f"user-{number}") for number in range(users)])
    for _ in range(100):
        directory.find_user(ALICE)
    directory.import_users([a_user("last")])
    directory.add_user(a_user())

    assert len(emulator.requests) == 103


def test_pages_shrink_until_they_can_be_read(emulator: EmulatorServer) -> None:
    """Users of 15 KB do not make the list unreadable, and it goes on from the same place."""
    directory = a_client(emulator.rest_url)
    directory.import_users([a_heavy_user(number) for number in range(30)])
    for batch in range(2):
        directory.import_users([a_user(f"light-{batch}-{number}") for number in range(50)])

    assert len({found.user.uid for found in directory.list_users()}) == 130
    listings = [entry for entry in emulator.requests if entry.method == "GET"]
    assert len(listings) == 1 + 3 + 3 + 1, "one page read, three too large, three read, one empty"


def test_imports_are_split_so_that_their_answers_can_be_read(emulator: EmulatorServer) -> None:
    """Fifty heavy users go in several requests, and each is told what became of them."""
    directory = a_client(emulator.rest_url)

    results = directory.import_users([a_heavy_user(number) for number in range(50)])

    imports = [entry for entry in emulator.requests if entry.path.endswith("/data_import/users")]
    assert set(results.values()) == {"ok"}
    assert len(results) == 50
    assert 3 <= len(imports) <= 5


def a_heavy_user(number: int) -> ChatUser:
    """Return a user of 15 KB: what each letter of the metadata takes in an answer is escaped."""
    return a_user(f"user-{number}", metadata={"a": "é" * 2400})


def test_rows_count_though_the_answer_is_a_500() -> None:
    """An import that ended in a 500 tells of the rows that were imported before."""
    rows = {
        "alice": {"success": True, "data": {}},
        "bob": {"success": False, "error": {"code": "ERR_UID_ALREADY_EXISTS"}},
        "carol": {"success": False, "error": {"code": "a stranger's text"}},
    }
    body = {"data": rows, "error": {"code": "ERR_EXCEPTION", "message": "x"}}
    answer = an_answer(json.dumps(body).encode(), status="500 Oops")
    with answered(answer) as directory:
        results = directory.import_users([a_user(uid) for uid in [*rows, "dora"]])

    assert list(results.values()) == [
        *("ok", "ERR_UID_ALREADY_EXISTS"),
        *("row_not_understood", "answer_without_row"),
    ]


def test_a_500_without_rows_is_unavailable(emulator: EmulatorServer) -> None:
    """Without a single row nothing is known, and the import is to be repeated."""
    emulator.faults.order(parse_fault("status=500", time.time()))

    with pytest.raises(DirectoryUnavailableError):
        a_client(emulator.rest_url).import_users([a_user()])


def test_no_bulk_endpoint() -> None:
    """Where the bulk endpoint is not available it is said with the vendor's code."""
    body = json.dumps({"error": {"code": "ERR_API_NOT_FOUND"}}).encode()
    with (
        answered(an_answer(body, status="404 Not Found")) as directory,
        pytest.raises(DirectoryMisconfiguredError) as caught,
    ):
        directory.import_users([a_user()])

    assert caught.value.reason == "ERR_API_NOT_FOUND"


@pytest.mark.parametrize("data", [{"uid": "mallory"}, {"uid": 7}, {}, {"uid": "Alice"}])
def test_an_answer_about_somebody_else(data: dict[str, object]) -> None:
    """An answer about another user says nothing of the one who was asked about."""
    with (
        answered(an_answer(json.dumps({"data": data}).encode())) as directory,
        pytest.raises(DirectoryUnavailableError) as caught,
    ):
        directory.find_user(ALICE)

    assert caught.value.reason == "answer_for_another_uid"


@pytest.mark.parametrize("body", [{"data": {}}, {"data": "x"}, {}, {"error": {"code": "x"}}])
def test_a_list_that_is_none(body: dict[str, object]) -> None:
    """Whatever is no list is no empty list either: nobody must be taken for missing."""
    with (
        answered(an_answer(json.dumps(body).encode())) as directory,
        pytest.raises(DirectoryUnavailableError),
    ):
        list(directory.list_users())
