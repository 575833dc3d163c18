"""Odd input: whatever is sent, the answer is an envelope, and never a 500."""

from typing import Any

import pytest

from tests.emulator.emulated import Caller

VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1.5, 10**30, "", " ", "\x00", "x" * 5000, "\U0001f600"),
    *([], [None], [[]], {}, {"": None}, {"a": {"a": []}}),
]
FIELDS = [
    *("uid", "name", "avatar", "link", "role", "statusMessage", "metadata", "tags", "unset"),
    *("withAuthToken", "createdAt", "lastActiveAt", "permanent", "force", "uidsToDeactivate"),
    *("uidsToActivate", "users", "platform", "appInfo", "sessionId", "description", "settings"),
]
WRITES = [
    ("POST", "/users"),
    ("PUT", "/users"),
    ("DELETE", "/users"),
    ("PUT", "/users/alice"),
    ("DELETE", "/users/alice"),
    ("POST", "/users/alice/auth_tokens"),
    ("POST", "/roles"),
    ("PUT", "/roles/default"),
    ("POST", "/data_import/users"),
    ("PUT", "/me"),
    ("POST", "/call_tokens"),
]


def assert_sane(answer: Any) -> None:
    """Assert that an answer is the vendor's: JSON, data or an error, and no crash."""
    assert answer.status_code in {200, 400, 401, 402, 403, 404, 429}
    assert answer.headers["Content-Type"] == "application/json"
    assert len(answer.json().keys() & {"data", "error"}) == 1


@pytest.mark.parametrize("field", FIELDS)
def test_any_value_in_any_field(vendor: Caller, field: str) -> None:
    """Every odd value in every field of every write is answered."""
    vendor.create("alice")
    for value in VALUES:
        for method, path in WRITES:
            body = {"uid": "u", "name": "n", "role": "default", field: value}

            assert_sane(
                vendor.call(
                    method, path, json=body, headers={"authToken": vendor.live_token("alice")}
                )
            )


@pytest.mark.parametrize(("method", "path"), WRITES)
@pytest.mark.parametrize("body", [b"[]", b"5", b'"x"', b"null", b"true", b"[[[]]]", b" \n "])
def test_body_that_is_no_object(vendor: Caller, method: str, path: str, body: bytes) -> None:
    """A body of another kind is as good as an empty one."""
    vendor.create("alice")
    headers = {"authToken": vendor.live_token("alice")}

    with_body = vendor.call(method, path, data=body, headers=headers)
    vendor.data("PUT", "/users", json={"uidsToActivate": ["alice"]})
    without = vendor.call(method, path, headers=headers)

    assert_sane(with_body)
    assert with_body.status_code == without.status_code


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"{'a': 1}",
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1e999}',
        b'{"a": "\\ud800"}',
        b'{"\\udfff": 1}',
        b'{"a": "\xff"}',
        b"\xef\xbb\xbf{}",
        b"\x00",
        b"<html>",
        b'{"a": ' + b"9" * 5000 + b"}",
        b"[" * 5000,
        b'{"a": ' + b"[" * 600 + b"]" * 600 + b"}",
    ],
)
def test_body_that_is_no_json(vendor: Caller, body: bytes) -> None:
    """What the vendor's language would not read is refused as no JSON."""
    assert vendor.details("POST", "/users", data=body) == {
        "body": ["The request body must be JSON."]
    }


def test_deep_body(vendor: Caller) -> None:
    """What is nested less deep is kept, and comes back whole."""
    metadata: Any = {}
    for _ in range(500):
        metadata = {"a": metadata}

    assert vendor.create(metadata=metadata)["metadata"] == metadata


def test_pairs_of_surrogates(vendor: Caller) -> None:
    """A whole pair is a character like any other."""
    body = b'{"uid": "alice", "name": "\\ud83d\\ude00"}'

    assert vendor.data("POST", "/users", data=body)["name"] == "\U0001f600"


@pytest.mark.parametrize(("size", "is_too_large"), [(10 * 1024, False), (10 * 1024 + 1, True)])
def test_large_body(vendor: Caller, size: int, is_too_large: bool) -> None:  # noqa: FBT001 (cases)
    """Ten kilobytes are read, one byte more is not."""
    body = b"{}" + b" " * (size - 2)

    details = vendor.details("POST", "/users", data=body)

    assert (details == {"body": ["The request body is too large."]}) is is_too_large


@pytest.mark.parametrize("size", [5 * 1024 * 1024, 20 * 1024 * 1024])
def test_very_large_body(vendor: Caller, size: int) -> None:
    """A body of megabytes is heard out and refused; the connection can be used again."""
    refusal = vendor.refusal("POST", "/data_import/users", data=b" " * size)

    assert refusal == (400, "ERR_BAD_REQUEST")
    assert vendor.call("GET", "/users").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/users/" + "x" * 10_000,
        "/users/%00",
        "/users/%ff%fe",
        "/users/%",
        "/users/a%2Fb",
        "/users/é",
        "/users/..%2f..",
        "/users/{uid}",
        "/users/;a=b",
        "/users/alice/auth_tokens/" + "x" * 10_000,
        "/roles/%0d%0a",
        "/users?perPage=" + "9" * 5000,
        "/users?page=99999999999&perPage=0",
        "/users?searchIn[]=nothing&searchKey=a",
        "/users?searchKey=%00%ff&tags=,,,&roles[]",
        "/users?=&&;==&%",
    ],
)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_odd_paths(vendor: Caller, method: str, path: str) -> None:
    """Strange paths and queries are answered like any other."""
    assert_sane(vendor.call(method, path))


@pytest.mark.parametrize("path", ["/users", "/users/alice", "/me", "/nothing"])
def test_head(vendor: Caller, path: str) -> None:
    """HEAD is no known method, and has no body."""
    answer = vendor.call("HEAD", path)

    assert (answer.status_code, answer.content) == (404, b"")


@pytest.mark.parametrize("name", ["apikey", "appId", "authToken", "Origin", "Host"])
@pytest.mark.parametrize("value", ["\xe9", "x" * 10_000, "a, b", "*", "null"])
def test_odd_headers(vendor: Caller, name: str, value: str) -> None:
    """Strange header values are answered, also where they are repeated in the answer."""
    answer = vendor.call("GET", "/me", headers={name: value.encode("latin-1")})

    assert_sane(answer)
