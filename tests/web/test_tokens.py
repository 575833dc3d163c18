"""The login over HTTP: the answer, the body, and what is refused before CometChat hears of it."""

import io
import time

import pytest

from tests.builders import APP_ID, a_service_with, a_token, a_user, bearer
from tests.fakes import FakeDirectory


def test_answer_has_what_a_client_needs() -> None:
    """A login answers 201 with the token, the app, the region and the times."""
    service = a_service_with(FakeDirectory())

    answer = service.login()

    body = answer.get_json()
    assert answer.status_code == 201
    assert list(body) == [
        *("uid", "authToken", "appId", "region"),
        *("issuedAt", "expiresAt", "refreshAfter", "userCreated"),
    ]
    assert (body["uid"], body["appId"], body["region"]) == ("alice", APP_ID, "us")
    assert body["authToken"].startswith("alice_")
    assert abs(body["issuedAt"] - time.time()) < 5
    assert (body["expiresAt"], body["refreshAfter"], body["userCreated"]) == (None, None, True)


def test_answer_is_kept_by_nobody() -> None:
    """Caches on the way must not store the token."""
    answer = a_service_with(FakeDirectory()).login()

    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Pragma"] == "no-cache"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_second_login_finds_the_user() -> None:
    """A returning user is not created again, and gets another token."""
    service = a_service_with(FakeDirectory())
    first = service.login().get_json()

    second = service.login().get_json()

    assert second["userCreated"] is False
    assert second["authToken"] != first["authToken"]


@pytest.mark.parametrize("body", [b"", b"{}", b" {} \n"])
def test_empty_bodies_are_fine(body: bytes) -> None:
    """No body and an empty object say the same."""
    answer = a_service_with(FakeDirectory()).login(data=body, content_type="application/json")

    assert answer.status_code == 201


def test_no_body_needs_no_type() -> None:
    """An empty body may be declared as anything."""
    assert a_service_with(FakeDirectory()).login(content_type="text/plain").status_code == 201


@pytest.mark.parametrize(
    ("body", "media_type", "status", "code"),
    [
        (b'{"uid": "bob"}', "application/json", 400, "request_invalid"),
        (b'{"force": true}', "application/json", 400, "request_invalid"),
        (b"[]", "application/json", 400, "request_invalid"),
        (b"null", "application/json", 400, "request_invalid"),
        (b'""', "application/json", 400, "request_invalid"),
        (b"{", "application/json", 400, "request_invalid"),
        (b"\xff", "application/json", 400, "request_invalid"),
        (b"\xef\xbb\xbf{}", "application/json", 400, "request_invalid"),
        (b"{}", "text/plain", 415, "unsupported_media_type"),
        (b"{}", "", 415, "unsupported_media_type"),
        (b"uid=bob", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
        (b" " * 1025, "application/json", 413, "body_too_large"),
        (b"{" + b" " * 100_000 + b"}", "application/json", 413, "body_too_large"),
    ],
)
def test_bodies_that_wish_for_something_are_refused(
    body: bytes, media_type: str, status: int, code: str
) -> None:
    """The uid is never the client's word; CometChat is not asked."""
    directory = FakeDirectory()
    service = a_service_with(directory)

    answer = service.login(data=body, content_type=media_type)

    assert (answer.status_code, answer.get_json()["code"]) == (status, code)
    assert directory.calls == []


class Broken(io.RawIOBase):
    """A body that the server cannot read, and says so by an error of its own."""

    def readable(self) -> bool:
        return True

    def readinto(self, _: bytearray, /) -> int:  # type: ignore[override]  # (any buffer)
        raise EOFError("invalid chunk size")


def test_a_body_that_the_server_cannot_read_is_refused() -> None:
    """Whatever the server calls it, the fault is the caller's."""
    directory = FakeDirectory()
    service = a_service_with(directory)
    broken = {"wsgi.input": Broken(), "wsgi.input_terminated": True}

    answer = service.login(environ_overrides={**broken, "HTTP_TRANSFER_ENCODING": "chunked"})

    assert (answer.status_code, answer.get_json()["code"]) == (400, "request_invalid")
    assert (service.records()[-1]["reason"], directory.calls) == ("body_unreadable", [])


def test_body_does_not_choose_the_user() -> None:
    """Whatever else a request says, the token's subject is who logs in."""
    service = a_service_with(FakeDirectory())

    answer = service.client.post(
        "/v1/auth-tokens?uid=bob",
        headers={**bearer(a_token()), "X-Uid": "bob", "onBehalfOf": "bob"},
    )

    assert answer.get_json()["uid"] == "alice"


@pytest.mark.parametrize(
    ("reading", "reason"),
    [
        ({"REQUEST_METHOD": "post"}, "method_in_lower_case"),
        ({"HTTP_HOST": "a.test,b.test"}, "host_repeated"),
        ({"HTTP_HOST": ""}, "host_missing"),
        ({"HTTP_TRANSFER_ENCODING": "chunked"}, "body_unreadable"),
        ({"CONTENT_LENGTH": "5"}, "http_400"),  # the framework itself sees a body that is too short
    ],
)
def test_two_readings_are_refused(reading: dict[str, str], reason: str) -> None:
    """What a proxy in front may have read in another way gets no token."""
    directory = FakeDirectory()
    service = a_service_with(directory)

    answer = service.login(environ_overrides=reading)

    assert (answer.status_code, answer.get_json()["code"]) == (400, "request_invalid")
    assert (service.records()[-1]["reason"], directory.calls) == (reason, [])


def test_http_1_0_needs_no_host() -> None:
    """The old protocol has no Host, and old probes speak it."""
    old = {"HTTP_HOST": "", "SERVER_PROTOCOL": "HTTP/1.0"}

    assert a_service_with(FakeDirectory()).login(environ_overrides=old).status_code == 201


@pytest.mark.parametrize("host", ["192.0.2.7:8080", "[::1]", f"{'a' * 64}.test", "x_y.test"])
def test_any_host_will_do(host: str) -> None:
    """Which name leads here is for the proxy in front to say; none is looked up or repeated."""
    answer = a_service_with(FakeDirectory()).login(environ_overrides={"HTTP_HOST": host})

    assert answer.status_code == 201


def test_deactivated_user_is_told_to_stop() -> None:
    """A user deactivated at CometChat gets 403 and no token."""
    directory = FakeDirectory()
    directory.deactivate(a_user("alice"))

    answer = a_service_with(directory).login()

    assert (answer.status_code, answer.get_json()["code"]) == (403, "user_deactivated")
    assert answer.get_json()["action"] == "stop"


def test_full_directory_is_told() -> None:
    """A used-up user quota is 503, and retrying does not help."""
    answer = a_service_with(FakeDirectory(max_users=0)).login()

    assert (answer.status_code, answer.get_json()["code"]) == (503, "user_quota_reached")
    assert answer.get_json()["action"] == "stop"
    assert "Retry-After" not in answer.headers


@pytest.mark.parametrize("subject", ["Alice", "alice@example.com", "a b", "a/../b", "x" * 101])
def test_subject_that_is_no_uid_is_told_so(subject: str) -> None:
    """A good token whose subject CometChat cannot take is 422."""
    directory = FakeDirectory()
    service = a_service_with(directory)

    answer = service.login(a_token(sub=subject))

    assert (answer.status_code, answer.get_json()["code"]) == (422, "uid_not_allowed")
    assert (answer.get_json()["action"], directory.calls) == ("stop", [])


def test_encoded_takes_any_subject() -> None:
    """With the encoded strategy the same subject logs in."""
    service = a_service_with(FakeDirectory(), uids={"strategy": "encoded"})

    assert service.login(a_token(sub="Alice@x")).get_json()["uid"] == "_41lice_40x"


def test_expired_session_is_told() -> None:
    """A token that is good but for its age is told its age."""
    answer = a_service_with(FakeDirectory()).login(a_token(exp=time.time() - 60))

    assert (answer.status_code, answer.get_json()["code"]) == (401, "session_expired")
    assert answer.get_json()["action"] == "reauthenticate"


@pytest.mark.parametrize("change", [{"aud": "other"}, {"iss": "https://other"}, {"sub": ""}])
def test_expired_and_wrong_is_just_wrong(change: dict[str, str]) -> None:
    """Only a token about which everything else is good is told its age."""
    answer = a_service_with(FakeDirectory()).login(a_token(exp=time.time() - 60, **change))

    assert (answer.status_code, answer.get_json()["code"]) == (401, "session_invalid")
