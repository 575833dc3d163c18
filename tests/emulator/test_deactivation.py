"""Deactivation: hidden, not gone; deletion for ever: gone, and the uid free again."""

from typing import Any

import pytest

from tests.emulator.emulated import NOW, Caller, a_caller


@pytest.mark.parametrize("body", [None, {}, {"permanent": False}, {"permanent": None}])
def test_delete_deactivates(vendor: Caller, alice: str, body: Any) -> None:
    """A delete that does not say `"permanent": true` only deactivates."""
    data = vendor.data("DELETE", f"/users/{alice}", json=body)

    assert data == {"deactivatedUids": [alice]}
    assert vendor.app.users[alice].deactivated_at == NOW


def test_delete_for_ever(vendor: Caller, alice: str) -> None:
    """With `"permanent": true` the user and the tokens are gone, in the documented words."""
    vendor.token()

    data = vendor.data("DELETE", f"/users/{alice}", json={"permanent": True})

    assert data == {
        "success": True,
        "message": "User with alice has been deleted successfully.",
    }
    assert (vendor.app.users, vendor.app.tokens) == ({}, {})


def test_uid_is_free_again(vendor: Caller, alice: str) -> None:
    """After a deletion for ever the uid can be created; the old token stays dead."""
    token = vendor.token()
    vendor.data("DELETE", f"/users/{alice}", json={"permanent": True})

    assert vendor.create(alice)["uid"] == alice
    assert vendor.client("GET", "/me", token).status_code == 401


@pytest.mark.parametrize("permanent", ["true", 1, 0, [True], {}])
def test_permanent_is_a_flag(vendor: Caller, alice: str, permanent: Any) -> None:
    """Anything but true and false is refused, and nothing happens."""
    details = vendor.details("DELETE", f"/users/{alice}", json={"permanent": permanent})

    assert details == {"permanent": ["The permanent field must be true or false."]}
    assert vendor.app.users[alice].deactivated_at is None


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/users/alice"),
        ("PUT", "/users/alice"),
        ("DELETE", "/users/alice"),
        ("POST", "/users/alice/auth_tokens"),
        ("GET", "/users/alice/auth_tokens"),
        ("DELETE", "/users/alice/auth_tokens"),
    ],
)
def test_deactivated_user_seems_unknown(vendor: Caller, alice: str, method: str, path: str) -> None:
    """Who is deactivated is answered like who never was."""
    vendor.data("DELETE", f"/users/{alice}")

    assert vendor.refusal(method, path) == (404, "ERR_UID_NOT_FOUND")


def test_deactivated_uid_is_taken(vendor: Caller, alice: str) -> None:
    """And yet the uid cannot be created."""
    vendor.data("DELETE", f"/users/{alice}")

    refusal = vendor.refusal("POST", "/users", json={"uid": alice, "name": "x"})

    assert refusal == (400, "ERR_UID_ALREADY_EXISTS")


def test_tokens_are_suspended(vendor: Caller, alice: str) -> None:
    """The tokens of a deactivated user fail, and work again after the restoration."""
    token = vendor.token()

    vendor.data("DELETE", f"/users/{alice}")
    suspended = vendor.client("GET", "/me", token).status_code
    vendor.data("PUT", "/users", json={"uidsToActivate": [alice]})

    assert (suspended, vendor.client("GET", "/me", token).status_code) == (401, 200)


def test_deactivate_in_bulk(vendor: Caller) -> None:
    """Each uid is told what became of it; unknown ones as the caller spelled them."""
    for uid in ("a", "b"):
        vendor.create(uid)
    vendor.data("DELETE", "/users/b")

    data = vendor.data("DELETE", "/users", json={"uidsToDeactivate": ["A", "b", "NoBody"]})

    assert data == {
        "deactivatedUids": ["a"],
        "alreadyDeactivatedUids": ["b"],
        "notFound": ["NoBody"],
    }


def test_reactivate_in_bulk(vendor: Caller) -> None:
    """Restoring tells the same three fates."""
    for uid in ("a", "b"):
        vendor.create(uid)
    vendor.data("DELETE", "/users/a")

    data = vendor.data("PUT", "/users", json={"uidsToActivate": ["A", "b", "NoBody"]})

    assert data == {
        "reactivatedUids": ["a"],
        "nonDeactivatedUids": ["b"],
        "notFound": ["NoBody"],
    }


@pytest.mark.parametrize(
    ("method", "field"), [("DELETE", "uidsToDeactivate"), ("PUT", "uidsToActivate")]
)
def test_bulk_of_the_unknown(vendor: Caller, method: str, field: str) -> None:
    """If all are unknown it is a 200 all the same, and empty groups are left out."""
    assert vendor.data(method, "/users", json={field: ["X"]}) == {"notFound": ["X"]}


@pytest.mark.parametrize(
    ("method", "field"), [("DELETE", "uidsToDeactivate"), ("PUT", "uidsToActivate")]
)
@pytest.mark.parametrize("uids", [None, [], "a", {"a": 1}, [1], [["a"]], [None], ["a"] * 26])
def test_bulk_with_a_fault(vendor: Caller, method: str, field: str, uids: Any) -> None:
    """A list of 1 to 25 texts: anything else is refused."""
    assert list(vendor.details(method, "/users", json={field: uids})) == [field]


def test_bulk_of_twenty_five(vendor: Caller) -> None:
    """25 uids are allowed."""
    uids = [f"x{number}" for number in range(25)]

    data = vendor.data("DELETE", "/users", json={"uidsToDeactivate": uids})

    assert data == {"notFound": uids}


@pytest.mark.parametrize(
    ("switch", "body", "is_gone"),
    [
        (False, None, False),
        (True, None, True),
        (True, {"permanent": False}, False),
        (False, {"permanent": True}, True),
    ],
)
def test_permanent_in_the_query(
    switch: bool,  # noqa: FBT001 (a case)
    body: Any,
    is_gone: bool,  # noqa: FBT001 (likewise)
) -> None:
    """`?permanent=true` counts only with the switch, and the body wins."""
    with a_caller(permanent_in_query=switch) as vendor:
        vendor.create("alice")

        vendor.data("DELETE", "/users/alice?permanent=true", json=body)

        assert ("alice" not in vendor.app.users) is is_gone


@pytest.mark.parametrize("query", ["", "?permanent=false", "?permanent="])
def test_no_permanent_in_the_query(query: str) -> None:
    """Without it the switch changes nothing."""
    with a_caller(permanent_in_query=True) as vendor:
        vendor.create("alice")

        vendor.data("DELETE", f"/users/alice{query}")

        assert "alice" in vendor.app.users
