"""The bulk import: up to 50 rows, each with a fate of its own."""

from typing import Any

import pytest

from tests.emulator.emulated import NOW, Caller, a_caller


def rows(*uids: str, **fields: Any) -> dict[str, Any]:
    """Return the body of an import."""
    return {"users": {uid: {"uid": uid, "name": uid.title(), **fields} for uid in uids}}


def test_import(vendor: Caller) -> None:
    """Each row is answered under its key, and is there afterwards."""
    data = vendor.data("POST", "/data_import/users", json=rows("a", "b"))

    assert data["a"] == {
        "success": True,
        "data": {
            "uid": "a",
            "name": "A",
            "status": "offline",
            "role": "default",
            "createdAt": NOW,
        },
    }
    assert sorted(vendor.app.users) == ["a", "b"]


@pytest.mark.parametrize("time", [1_500_000_000, "1500000000"])
def test_times(vendor: Caller, time: Any) -> None:
    """The import alone sets times; they are answered as numbers."""
    body = rows("a", createdAt=time, lastActiveAt=time)

    user = vendor.data("POST", "/data_import/users", json=body)["a"]["data"]

    assert (user["createdAt"], user["lastActiveAt"]) == (1_500_000_000, 1_500_000_000)


@pytest.mark.parametrize("time", [True, "x", "²", 0, -1, 10**9 - 1, 10**10, 1.5, None, [], 10**40])
def test_faulty_times(vendor: Caller, time: Any) -> None:
    """A time that is no UNIX time stamp fails its row."""
    answer = vendor.data("POST", "/data_import/users", json=rows("a", createdAt=time))

    assert list(answer["a"]["error"]["details"]) == ["createdAt"]


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ({"uid": "old", "name": "x"}, "ERR_UID_ALREADY_EXISTS"),
        ({"uid": "a"}, "ERR_BAD_REQUEST"),
        ({"uid": "a.b", "name": "x"}, "ERR_BAD_REQUEST"),
        ({"uid": "another", "name": "x"}, "ERR_BAD_REQUEST"),
        ({"uid": None, "name": "x"}, "ERR_BAD_REQUEST"),
        ({"name": "x", "role": "nobody"}, "ERR_ROLE_NOT_FOUND"),
        ("x", "ERR_IMPORT_INVALID_USER_FORMAT"),
        (None, "ERR_IMPORT_INVALID_USER_FORMAT"),
    ],
)
def test_one_bad_row(vendor: Caller, row: Any, code: str) -> None:
    """A bad row fails by itself: 200, its error in the envelope, the good row imported."""
    vendor.create("old")
    key = "old" if code == "ERR_UID_ALREADY_EXISTS" else "bad"

    data = vendor.data(
        "POST", "/data_import/users", json={"users": {key: row, **rows("b")["users"]}}
    )

    assert (data[key]["success"], data[key]["error"]["code"]) == (False, code)
    assert data["b"]["success"] is True


def test_row_without_uid(vendor: Caller) -> None:
    """The key is the uid if the row has none."""
    data = vendor.data("POST", "/data_import/users", json={"users": {"Aa": {"name": "x"}}})

    assert data["Aa"]["data"]["uid"] == "aa"


@pytest.mark.parametrize("users", [None, [], {}, "a", 5, True, [{"uid": "a", "name": "x"}]])
def test_malformed(vendor: Caller, users: Any) -> None:
    """Users that are no object of users are refused as a whole."""
    refusal = vendor.refusal("POST", "/data_import/users", json={"users": users})

    assert refusal == (400, "ERR_IMPORT_INVALID_USER_FORMAT")


@pytest.mark.parametrize(("count", "status"), [(50, 200), (51, 400)])
def test_fifty_at_most(vendor: Caller, count: int, status: int) -> None:
    """50 rows pass; of 51 none does."""
    body = rows(*(f"u{number}" for number in range(count)))

    assert vendor.call("POST", "/data_import/users", json=body).status_code == status
    assert len(vendor.app.users) == (count if status == 200 else 0)


def test_body_may_be_larger(vendor: Caller) -> None:
    """The 10 KB of other bodies are not the import's limit."""
    body = rows(*(f"u{number}" for number in range(50)), metadata={"a": "x" * 1000})

    assert vendor.call("POST", "/data_import/users", json=body).status_code == 200


def test_quota_fails_its_row() -> None:
    """The row that is one user too many fails, those before it do not."""
    with a_caller(max_users=1) as vendor:
        data = vendor.data("POST", "/data_import/users", json=rows("a", "b"))

        assert data["a"]["success"] is True
        assert data["b"]["error"]["code"] == "ERR_PLAN_QUOTA_RESTRICTION"


def test_sixty_a_minute(vendor: Caller) -> None:
    """The 61st import of a minute is refused in the documented words."""
    vendor.clock.now += 2
    for _ in range(60):
        vendor.call("POST", "/data_import/users", json={})

    answer = vendor.call("POST", "/data_import/users", json=rows("a"))

    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "58")
    assert answer.json()["error"]["message"] == (
        "Too many requests for data import API. 60 per minute is the maximum request allowed. "
        "Please retry for seconds after 58."
    )


@pytest.mark.parametrize(("limit", "status"), [(2, 200), (1, 429)])
def test_imports_a_minute(limit: int, status: int) -> None:
    """How many imports a minute takes is a switch."""
    with a_caller(import_per_minute=limit) as vendor:
        vendor.data("POST", "/data_import/users", json=rows("a"))

        again = vendor.call("POST", "/data_import/users", json=rows("b"))

        assert again.status_code == status
