"""Limits: calls per minute and class, their headers, and the plan's quota of users."""

from typing import Any

import pytest

from tests.emulator.emulated import NOW, Caller, a_caller

SPACED = {"X-Rate-Limit", "X-Rate-Limit-Remaining"}
JOINED = {"X-RateLimit-Limit", "X-RateLimit-Remaining"}
RESETS = {"X-Rate-Limit-Reset", "X-RateLimit-Reset"}


def rate_headers(headers: Any) -> set[str]:
    """Return the names of the rate limit headers."""
    return {name for name in headers if name.startswith("X-Rate")}


@pytest.mark.parametrize(
    ("family", "names"),
    [("both", SPACED | JOINED), ("X-Rate-Limit", SPACED), ("X-RateLimit", JOINED)],
)
def test_headers(family: str, names: set[str]) -> None:
    """Every answer says what is left, in the family that was chosen, and not when it resets."""
    with a_caller(rate_headers=family) as vendor:
        assert rate_headers(vendor.call("GET", "/users").headers) == names


@pytest.mark.parametrize(
    ("family", "names"),
    [("both", RESETS), ("X-Rate-Limit", RESETS - {"X-RateLimit-Reset"}), ("X-RateLimit", JOINED)],
)
def test_headers_of_a_refusal(family: str, names: set[str]) -> None:
    """A refusal says also when to come again, in both ways."""
    with a_caller(standard_per_minute=1, rate_headers=family) as vendor:
        vendor.call("GET", "/users")
        vendor.clock.now += 13.5

        answer = vendor.call("GET", "/users")

        assert names <= rate_headers(answer.headers)
        assert answer.headers["Retry-After"] == "47"
        assert {answer.headers.get(name, str(int(NOW) + 60)) for name in RESETS} == {
            str(int(NOW) + 60)
        }


def test_refusal(vendor: Caller) -> None:
    """Too many is a 429 with a code of its own."""
    with a_caller(standard_per_minute=0) as strict:
        assert strict.refusal("GET", "/users") == (429, "ERR_TOO_MANY_REQUESTS")
    assert vendor.call("GET", "/users").status_code == 200


def test_what_is_left(vendor: Caller) -> None:
    """Each call takes one, on failures too."""
    left = [
        vendor.call("GET", path).headers["X-Rate-Limit-Remaining"]
        for path in ("/users", "/users/nobody", "/users")
    ]

    assert left == ["19999", "19998", "19997"]


@pytest.mark.parametrize("path", ["/users/nobody", "/roles/nobody", "/users?perPage=x"])
def test_every_answer_has_headers(vendor: Caller, path: str) -> None:
    """A refusal of the entity carries them as well."""
    assert rate_headers(vendor.call("GET", path).headers) == SPACED | JOINED


def test_wrong_keys_cost_nothing(vendor: Caller) -> None:
    """Who is refused at the door is not counted."""
    vendor.call("GET", "/users", key="x" * 40)

    assert vendor.call("GET", "/users").headers["X-Rate-Limit-Remaining"] == "19999"


def test_next_minute() -> None:
    """The window is the current minute: at its end there is a whole allowance again."""
    with a_caller(standard_per_minute=1) as vendor:
        statuses = []
        for now in (NOW + 59, NOW + 59.9, NOW + 60, NOW + 61):
            vendor.clock.now = now
            statuses.append(vendor.call("GET", "/users").status_code)

        assert statuses == [200, 429, 200, 429]


@pytest.mark.parametrize(
    ("method", "path", "is_core"),
    [
        ("POST", "/users", True),
        ("DELETE", "/users/alice", True),
        ("DELETE", "/users", True),
        ("POST", "/users/alice/auth_tokens", True),
        ("GET", "/users", False),
        ("GET", "/users/alice", False),
        ("PUT", "/users", False),
        ("PUT", "/users/alice", False),
        ("DELETE", "/users/alice/auth_tokens", False),
        ("GET", "/roles", False),
    ],
)
def test_classes(method: str, path: str, is_core: bool) -> None:  # noqa: FBT001 (cases)
    """Creating, deleting and logging in are core; the rest has an allowance of its own."""
    with a_caller(core_per_minute=0) as vendor:
        assert (vendor.call(method, path, json={}).status_code == 429) is is_core
    with a_caller(standard_per_minute=0) as vendor:
        assert (vendor.call(method, path, json={}).status_code == 429) is not is_core


def test_client_logins_are_core() -> None:
    """The client's login counts with the REST side's core calls, after its check of the path."""
    with a_caller(core_per_minute=0) as vendor:
        assert vendor.client("PUT", "/me", "x").status_code == 429
        assert vendor.client("GET", "/me", "x").status_code == 401


@pytest.mark.parametrize(("limit", "status"), [(None, 200), (3, 200), (2, 402)])
def test_quota(limit: int | None, status: int) -> None:
    """One user more than the plan has is a 402; without a plan there is no end."""
    with a_caller(max_users=limit) as vendor:
        vendor.create("a")
        vendor.create("b")

        answer = vendor.call("POST", "/users", json={"uid": "c", "name": "C"})

        assert answer.status_code == status
        assert ("c" in vendor.app.users) is (status == 200)


def test_code_of_the_quota() -> None:
    """The refusal's code is the plan's; a taken uid comes before it."""
    with a_caller(max_users=1) as vendor:
        vendor.create("a")

        codes = [
            vendor.refusal("POST", "/users", json={"uid": uid, "name": "x"})[1] for uid in "ab"
        ]

        assert codes == ["ERR_UID_ALREADY_EXISTS", "ERR_PLAN_QUOTA_RESTRICTION"]


@pytest.mark.parametrize(("permanent", "status"), [(True, 200), (False, 402)])
def test_quota_counts_the_deactivated(permanent: bool, status: int) -> None:  # noqa: FBT001
    """A deactivated user still takes a place, one deleted for ever does not."""
    with a_caller(max_users=1) as vendor:
        vendor.create("a")
        vendor.data("DELETE", "/users/a", json={"permanent": permanent})

        answer = vendor.call("POST", "/users", json={"uid": "b", "name": "B"})

        assert answer.status_code == status


@pytest.mark.parametrize(("limit", "status"), [(5120, 200), (1600, 400)])
def test_metadata_limit(limit: int, status: int) -> None:
    """What metadata may measure is a switch."""
    with a_caller(max_metadata_bytes=limit) as vendor:
        user = {"uid": "alice", "name": "Alice", "metadata": {"a": "x" * 2000}}

        assert vendor.call("POST", "/users", json=user).status_code == status


@pytest.mark.parametrize(("switch", "uids"), [(True, ["a", "b"]), (False, [])])
def test_array_on_create(switch: bool, uids: list[str]) -> None:  # noqa: FBT001 (cases)
    """An array creates its users only with the switch."""
    with a_caller(array_body_on_create=switch) as vendor:
        body = [{"uid": uid, "name": uid} for uid in "ab"]

        answer = vendor.call("POST", "/users", json=body)

        assert answer.status_code == (200 if switch else 400)
        assert list(vendor.app.users) == uids


def test_array_with_a_faulty_user() -> None:
    """An array is taken one by one: those before the faulty one stay, those after never come."""
    with a_caller(array_body_on_create=True) as vendor:
        body = [{"uid": "a", "name": "a"}, {"uid": "b"}, {"uid": "c", "name": "c"}]

        assert list(vendor.details("POST", "/users", json=body)) == ["name"]
        assert list(vendor.app.users) == ["a"]
