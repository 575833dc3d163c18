"""The world and the journal: what a test of ours reads and sets up directly."""

from typing import Any

import pytest

from tests.emulator.emulated import API_KEY, APP_ID, NOW, Caller, Clock
from tokensvc.emulator import Switches, World
from tokensvc.emulator.world import SAMPLE_USERS, App


@pytest.fixture
def world() -> World:
    """Have a world without an app."""
    return World(Switches(), Clock())


def an_app(world: World, **changes: Any) -> App:
    """Open an app in *world*."""
    return world.add_app(APP_ID, **{"region": "us", "api_key": API_KEY, **changes})


def test_sample_users(world: World) -> None:
    """A new app of the vendor's has five users, here only if asked for."""
    assert an_app(world).users == {}
    assert list(an_app(world, sample_users=True).users) == list(SAMPLE_USERS)


def test_fields_are_not_touched(world: World) -> None:
    """Creating a user leaves the caller's fields as they were."""
    fields = {"name": "Alice", "createdAt": 1_500_000_000}

    user = world.create_user(an_app(world), "alice", fields)

    assert fields == {"name": "Alice", "createdAt": 1_500_000_000}
    assert user.created_at == 1_500_000_000


def test_users_share_nothing(world: World) -> None:
    """Two users of the same fields are two."""
    app = an_app(world)
    fields = {"name": "x"}
    first, second = (world.create_user(app, uid, fields) for uid in "ab")

    first.fields["name"] = "y"

    assert second.fields["name"] == "x"


def test_second(world: World) -> None:
    """Times are whole seconds of the clock that was given."""
    assert world.second() == NOW


@pytest.mark.parametrize(
    ("deactivated", "shown"), [(None, {}), (5, {"deactivatedAt": 5})], ids=["live", "deactivated"]
)
def test_empty_is_left_out(world: World, deactivated: int | None, shown: dict[str, int]) -> None:
    """What is empty is left out of a user object, not null."""
    user = world.create_user(an_app(world), "alice", {"name": "Alice", "tags": []})
    user.deactivated_at = deactivated

    public = user.public()

    assert "tags" not in public
    assert {name: value for name, value in public.items() if name == "deactivatedAt"} == shown


def test_journal(vendor: Caller) -> None:
    """The journal says who asked what of whom, and what came of it."""
    vendor.call("POST", "/users?x=1", json={"uid": "alice"}, headers={"Host": "a.example"})

    entry = vendor.emulator.requests[0]

    assert (entry.host, entry.method, entry.path) == ("a.example", "POST", "/v3/users")
    assert (entry.body, entry.status, entry.headers["apikey"]) == ({"uid": "alice"}, 400, API_KEY)


@pytest.mark.parametrize(
    ("host", "path", "side"),
    [
        ("127.0.0.1", "/users", "rest"),
        ("127.0.0.1", "/users/alice/auth_tokens/x", "rest"),
        ("127.0.0.1", "/me", "client"),
        ("127.0.0.1", "/call_tokens", "calls"),
        ("127.0.0.1", "/nothing", None),
        (f"{APP_ID}.api-us.cometchat.io", "/me", "rest"),
        (f"{APP_ID}.apiclient-us.cometchat.io", "/users", "client"),
        (f"{APP_ID}.call-us.cometchat.io", "/nothing", "calls"),
    ],
)
def test_journal_of_sides(vendor: Caller, host: str, path: str, side: str | None) -> None:
    """The host says which side was called, and on loopback the path, if it is one."""
    vendor.call("GET", path, headers={"Host": host})

    assert [entry.side for entry in vendor.emulator.requests] == [side]


@pytest.mark.parametrize("body", [b"", b"{", b'{"a": NaN}', b"\xff"])
def test_journal_of_no_json(vendor: Caller, body: bytes) -> None:
    """A body that is no JSON is None there; every request has one entry, in order."""
    vendor.call("POST", "/users", data=body)
    vendor.call("OPTIONS", "/users")

    assert [(entry.method, entry.body) for entry in vendor.emulator.requests] == [
        ("POST", None),
        ("OPTIONS", None),
    ]
