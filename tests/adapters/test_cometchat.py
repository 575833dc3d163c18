"""CometChat's answers: what each of them means, read from its code and not from its status."""

import json
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests import upstreams
from tests.builders import API_KEY, a_session, a_uid, a_user
from tests.fakes import Notices
from tests.raw_server import RawServer, an_answer, raw_server
from tests.upstreams import a_policy
from tokensvc.adapters.breaker import BreakerRule
from tokensvc.adapters.cometchat import CometChatClient
from tokensvc.domain.audit import RequestRecord, VendorCall
from tokensvc.domain.errors import (
    DirectoryMisconfiguredError,
    DirectoryUnavailableError,
    OverloadedError,
    ProfileRefusedError,
    TokenServiceError,
    UserDeactivatedError,
    UserExistsError,
    UserNotFoundError,
    UserQuotaReachedError,
)
from tokensvc.domain.issuing import TokenIssuer

TOKEN = "alice_18000000000123456789abcdef0123456789abcd"


def a_client(url: str, *, places: int = 4, **parts: Any) -> CometChatClient:
    return upstreams.a_client(url + "/v3", policy=a_policy(places=places), **parts)


def data(**members: Any) -> bytes:
    return an_answer(json.dumps({"data": members}).encode())


def error(code: Any, status: str, *headers: str) -> bytes:
    body = {"error": {"code": code, "message": "canary text of the vendor", "source": "chat-api"}}
    return an_answer(json.dumps(body).encode(), *headers, status=status)


def refusal(answer: bytes, operation: str = "token") -> TokenServiceError:
    """Return what *answer* to an operation raises."""
    with raw_server(answer) as server:
        client = a_client(server.url)
        ask: Callable[[], object] = (
            (lambda: client.create_auth_token(a_uid()))
            if operation == "token"
            else (lambda: client.create_user(a_user()))
        )
        with pytest.raises(TokenServiceError) as raised:
            ask()
    return raised.value


def test_token_request_is_forced() -> None:
    """A fresh token is asked for explicitly, with key and app."""
    with raw_server(data(uid="alice", authToken=TOKEN)) as server:
        token = a_client(server.url).create_auth_token(a_uid())

    assert token.value == TOKEN
    assert server.requests[0].startswith(b"POST /v3/users/alice/auth_tokens HTTP/1.1\r\n")
    assert server.requests[0].endswith(b'\r\n\r\n{"force": true}')
    assert f"apikey: {API_KEY}".encode() in server.requests[0]


def test_user_request_holds_what_is_there_and_nothing_empty() -> None:
    """Absent fields are left out: the vendor refuses null and empty ones."""
    with raw_server(data(uid="alice", authToken=TOKEN)) as server:
        a_client(server.url).create_user(a_user("alice", name="Alice"))

    body = json.loads(server.requests[0].partition(b"\r\n\r\n")[2])
    assert body == {"uid": "alice", "name": "Alice", "withAuthToken": True}


def test_user_request_holds_the_whole_profile() -> None:
    """What is known of the user travels under the vendor's names."""
    profile = {
        "name": "Alice",
        "avatar": "https://x.test/a.png",
        "role": "staff",
        "tags": ("a", "b"),
        "metadata": {"level": 0},
    }
    with raw_server(data(uid="alice", authToken=TOKEN)) as server:
        a_client(server.url).create_user(a_user("alice", **profile))

    body = json.loads(server.requests[0].partition(b"\r\n\r\n")[2])
    assert body == {"uid": "alice", **profile, "tags": ["a", "b"], "withAuthToken": True}


def test_created_user_without_a_token() -> None:
    """A new user whose answer carries no token is no failure."""
    with raw_server(data(uid="alice")) as server:
        assert a_client(server.url).create_user(a_user()) is None


@pytest.mark.parametrize(
    ("code", "status", "meaning"),
    [
        ("ERR_UID_NOT_FOUND", "404 Not Found", UserNotFoundError),
        ("ERR_UID_NOT_FOUND", "400 Bad Request", UserNotFoundError),
        ("ERR_UID_NOT_FOUND", "200 OK", UserNotFoundError),
        ("ERR_UID_NOT_FOUND", "500 Oops", UserNotFoundError),
        ("ERR_PLAN_QUOTA_RESTRICTION", "402 Payment Required", UserQuotaReachedError),
        ("ERR_PLAN_QUOTA_RESTRICTION", "400 Bad Request", UserQuotaReachedError),
        ("ERR_SUBSCRIPTION_EXPIRED", "402 Payment Required", DirectoryMisconfiguredError),
        ("AUTH_ERR_APIKEY_NOT_FOUND", "401 Unauthorized", DirectoryMisconfiguredError),
        ("AUTH_ERR_APIKEY_NOT_FOUND", "404 Not Found", DirectoryMisconfiguredError),
        ("AUTH_ERR_NO_ACCESS", "403 Forbidden", DirectoryMisconfiguredError),
        ("ERR_ROLE_NOT_FOUND", "404 Not Found", DirectoryMisconfiguredError),
        ("ERR_BAD_REQUEST", "400 Bad Request", ProfileRefusedError),
        ("ERR_API_NOT_FOUND", "404 Not Found", DirectoryMisconfiguredError),
        ("ERR_TOO_MANY_REQUESTS", "429 Too Many", DirectoryUnavailableError),
        ("ERR_TOO_MANY_REQUESTS", "200 OK", DirectoryUnavailableError),
        ("ERR_EXCEPTION", "500 Oops", DirectoryUnavailableError),
        ("ERR_NEVER_SEEN", "500 Oops", DirectoryUnavailableError),
        ("ERR_NEVER_SEEN", "400 Bad Request", DirectoryUnavailableError),
        ("ERR_NEVER_SEEN", "401 Unauthorized", DirectoryMisconfiguredError),
        ("ERR_NEVER_SEEN", "403 Forbidden", DirectoryMisconfiguredError),
        ("ERR_NEVER_SEEN", "402 Payment Required", UserQuotaReachedError),
        (7, "404 Not Found", DirectoryUnavailableError),
        (None, "404 Not Found", DirectoryUnavailableError),
        (["ERR_UID_NOT_FOUND"], "404 Not Found", DirectoryUnavailableError),
    ],
)
def test_code_decides_and_status_only_where_there_is_none(
    code: object, status: str, meaning: type[TokenServiceError]
) -> None:
    """The vendor documents codes and hardly any status; a known code wins over any status."""
    assert type(refusal(error(code, status))) is meaning


@pytest.mark.parametrize("status", ["400 Bad Request", "409 Conflict", "200 OK"])
def test_taken_uid_is_known_by_its_code(status: str) -> None:
    """A taken uid is a 400 there, though many expect 409."""
    assert type(refusal(error("ERR_UID_ALREADY_EXISTS", status), "user")) is UserExistsError


@pytest.mark.parametrize("status", ["404 Not Found", "409 Conflict", "400 Bad Request"])
def test_bare_status_is_no_word_about_the_user(status: str) -> None:
    """A 404 from some proxy does not mean that the user is missing."""
    answer = an_answer(b"<html>", "Content-Type: text/html", status=status)

    assert type(refusal(answer)) is DirectoryUnavailableError
    assert type(refusal(answer, "user")) is DirectoryUnavailableError


@pytest.mark.parametrize(
    ("code", "operation"), [("ERR_UID_ALREADY_EXISTS", "token"), ("ERR_UID_NOT_FOUND", "user")]
)
def test_word_that_makes_no_sense_here(code: str, operation: str) -> None:
    """An answer about the user that this call cannot have is nonsense, not a crash."""
    assert type(refusal(error(code, "400 Bad Request"), operation)) is DirectoryUnavailableError


@pytest.mark.parametrize(
    "answer",
    [
        an_answer(b""),
        an_answer(b"{}"),
        an_answer(b"[]"),
        an_answer(b"null"),
        an_answer(b"not json"),
        an_answer(b'{"data": null}'),
        an_answer(b'{"data": []}'),
        an_answer(b'{"data": {}}'),
        an_answer(b'{"data": {"uid": "alice"}}'),
        an_answer(b'{"data": {"uid": "alice", "authToken": ""}}'),
        an_answer(b'{"data": {"uid": "alice", "authToken": 7}}'),
        an_answer(b'{"data": {"uid": "alice", "authToken": null}}'),
        an_answer(b'{"data": {"uid": "alice", "authToken": "' + b"x" * 600 + b'"}}'),
        an_answer(b'{"data": {"uid": "alice", "authToken": "a\\n\\u0000b"}}'),
        an_answer(b'{"data": {"uid": "bob", "authToken": "bob_1"}}'),
        an_answer(b'{"data": {"uid": "Alice", "authToken": "alice_1"}}'),
        an_answer(b'{"data": {"authToken": "alice_1"}}'),
        an_answer(b'{"data": {"uid": ["alice"], "authToken": "alice_1"}}'),
        an_answer(b'{"data": {"uid": "bob", "uid": "alice", "authToken": "alice_1"}}'),
        an_answer(b"<html></html>", "Content-Type: text/html"),
        an_answer(b'{"data": {"uid": "alice", "authToken": "a"}}', "Content-Type: text/html"),
        an_answer(b'{"data": {"uid": "alice", "authToken": "a"}}', status="302 Found"),
        an_answer(b'{"error": "text"}', status="500 Oops"),
    ],
)
def test_nonsense_is_no_login(answer: bytes) -> None:
    """No answer but a good one, for this uid, hands out a token."""
    assert type(refusal(answer)) is DirectoryUnavailableError


def test_vendors_text_stays_outside() -> None:
    """Neither the vendor's message nor a code we do not know is in what we raise."""
    for answer in (error("ERR_BAD_REQUEST", "400 Bad"), error("canary code", "500 Oops")):
        assert "canary" not in str(refusal(answer)) + refusal(answer).reason


def test_retry_after_is_passed_on() -> None:
    """When the vendor says to come back, the client is told the same."""
    answer = error("ERR_TOO_MANY_REQUESTS", "429 Too Many", "Retry-After: 15")

    assert refusal(answer).retry_after_s == 15


def test_retry_after_without_a_word_from_the_vendor() -> None:
    """Without one the client gets a small default."""
    assert refusal(error("ERR_EXCEPTION", "500 Oops")).retry_after_s == 2


def test_ordinary_rate_headers_hold_nobody() -> None:
    """A 503 that tells when the vendor's minute is over has not asked for that long a pause."""
    reset = f"X-RateLimit-Reset: {int(time.time()) + 55}"
    failure = error("ERR_EXCEPTION", "503 Oops", "X-RateLimit-Remaining: 480", reset)
    with raw_server(failure, failure, data(uid="alice", authToken=TOKEN)) as server:
        client = a_client(server.url)
        with pytest.raises(DirectoryUnavailableError) as raised:
            client.create_auth_token(a_uid())
        later = client.create_auth_token(a_uid())

    assert (raised.value.retry_after_s, later.value) == (2, TOKEN)


def test_retry_after_of_a_500_is_not_passed_on() -> None:
    """It may be about anything, and a client would stay away for an hour."""
    assert refusal(error("ERR_EXCEPTION", "500 Oops", "Retry-After: 86400")).retry_after_s == 2


def test_full_bulkhead_refuses_at_once() -> None:
    """With every place taken there is no call, and no wait."""
    with raw_server(data(uid="alice", authToken=TOKEN)) as server:
        client = a_client(server.url, places=1)
        with client.upstream.policy.bulkhead.place(), pytest.raises(OverloadedError):
            client.create_auth_token(a_uid())
        after = client.create_auth_token(a_uid())

    assert (after.value, len(server.requests)) == (TOKEN, 1)


CALLS: dict[str, Callable[[CometChatClient, str], object]] = {
    "create_auth_token": lambda client, uid: client.create_auth_token(a_uid(uid)),
    "create_user": lambda client, uid: client.create_user(a_user(uid)),
    "reactivate_user": lambda client, uid: client.reactivate_user(a_uid(uid)),
}


@pytest.mark.parametrize("operation", CALLS)
def test_user_whose_calls_fail_opens_the_breaker_for_nobody(operation: str) -> None:
    """What CometChat cannot do for one user it may well do for all others."""
    notices = Notices()
    policy = a_policy(notices=notices, rule=BreakerRule(min_calls=2))
    with raw_server(error("ERR_EXCEPTION", "500 Oops")) as server:
        client = upstreams.a_client(server.url, policy=policy)
        events = []
        for uid in ("mallory", "mallory", "mallory", "alice"):
            with pytest.raises(DirectoryUnavailableError):
                CALLS[operation](client, uid)
            events.append(notices.names())

    assert events == [[], [], [], ["breaker_opened"]]


def test_failed_calls_give_their_place_back() -> None:
    """A place is free again after an error."""
    with raw_server(error("ERR_UID_NOT_FOUND", "404 Not Found")) as server:
        client = a_client(server.url, places=1)
        for _ in range(3):
            with pytest.raises(UserNotFoundError):
                client.create_auth_token(a_uid())

    assert len(server.requests) == 3


def test_calls_are_observed() -> None:
    """Each call is told to the observer, good or bad, with its time."""
    seen: list[VendorCall] = []
    with raw_server(error("ERR_UID_NOT_FOUND", "404 Not Found"), data(uid="alice")) as server:
        client = a_client(server.url, observe=seen.append)
        with pytest.raises(UserNotFoundError):
            client.create_auth_token(a_uid())
        client.create_user(a_user())

    assert [(call.operation, call.outcome) for call in seen] == [
        ("create_auth_token", "ERR_UID_NOT_FOUND"),
        ("create_user", "ok"),
    ]
    assert all(call.duration_s > 0 for call in seen)


OTHER_KEY = "9c2e4b7d1f6a8035c9e1b3d5f7092a4c6e8b0d2f"
KEY_UNKNOWN = ("AUTH_ERR_APIKEY_NOT_FOUND", "401 Unauthorized")


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.close()


def keys_in(server: RawServer) -> list[str]:
    """Return which key each request had."""
    return ["current" if API_KEY.encode() in request else "previous" for request in server.requests]


def test_user_that_was_made_unseen_is_made() -> None:
    """The answer to a creation is lost: that the uid is taken now means that it worked."""
    exists = error("ERR_UID_ALREADY_EXISTS", "400 Bad Request")
    with raw_server(reset, exists) as server:
        assert a_client(server.url).create_user(a_user()) is None

    assert len(server.requests) == 2


def test_user_that_was_there_before_is_taken() -> None:
    """And without a lost answer it means that somebody else was there."""
    assert type(refusal(error("ERR_UID_ALREADY_EXISTS", "400 Bad"), "user")) is UserExistsError


TOO_MANY = error("ERR_TOO_MANY_REQUESTS", "429 Too Many")


def test_user_whose_creation_was_turned_away_was_there_before() -> None:
    """After a 429 nothing can have been made: that the uid is taken means just that."""
    exists = error("ERR_UID_ALREADY_EXISTS", "400 Bad Request")
    with raw_server(TOO_MANY, exists) as server, pytest.raises(UserExistsError):
        a_client(server.url).create_user(a_user())

    assert len(server.requests) == 2


def test_deactivated_user_is_told_so_however_busy_it_was() -> None:
    """A creation that was turned away and then refused is no user who is new and not found."""
    missing = error("ERR_UID_NOT_FOUND", "404 Not Found")
    exists = error("ERR_UID_ALREADY_EXISTS", "400 Bad Request")
    with raw_server(missing, TOO_MANY, exists, missing) as server:
        issuer = TokenIssuer(a_client(server.url))
        with pytest.raises(UserDeactivatedError):
            issuer.issue(a_session())


def test_lost_tokens_are_on_record() -> None:
    """A token that may have been made, and that nobody was handed, is counted."""
    seen: list[VendorCall] = []
    with raw_server(reset, data(uid="alice", authToken=TOKEN)) as server:
        a_client(server.url, observe=seen.append).create_auth_token(a_uid())
    record = RequestRecord("id", 0.0, "POST", vendor_calls=seen)

    assert [(call.outcome, call.answer_lost) for call in seen] == [
        ("connection_failed", True),
        ("ok", False),
    ]
    assert record.orphaned_tokens == 1


@pytest.mark.parametrize(
    ("code", "status"),
    [
        KEY_UNKNOWN,
        ("AUTH_ERR_NO_ACCESS", "403 Forbidden"),
        ("AUTH_ERR_EMPTY_APIKEY", "400 Bad Request"),
        ("ERR_NEVER_SEEN", "401 Unauthorized"),
        ("ERR_NEVER_SEEN", "403 Forbidden"),
    ],
)
def test_other_key_is_tried_once_and_kept_to(code: str, status: str) -> None:
    """Our key is refused: the other one is tried, and is the first from then on."""
    notices = Notices()
    with raw_server(error(code, status), data(uid="alice", authToken=TOKEN)) as server:
        client = a_client(server.url, keys=lambda: [API_KEY, OTHER_KEY], notices=notices)
        client.create_auth_token(a_uid())
        client.create_auth_token(a_uid())

    assert keys_in(server) == ["current", "previous", "previous"]
    assert [(event.name, event.facts) for event in notices.events] == [
        ("rest_key_switched", {"used": "previous"})
    ]


def test_word_about_the_user_is_a_word_for_the_key() -> None:
    """A key that is told that there is no such user has been taken."""
    notices = Notices()
    missing = error("ERR_UID_NOT_FOUND", "404 Not Found")
    with raw_server(error(*KEY_UNKNOWN), missing) as server:
        client = a_client(server.url, keys=lambda: [API_KEY, OTHER_KEY], notices=notices)
        for _ in range(2):
            with pytest.raises(UserNotFoundError):
                client.create_auth_token(a_uid())

    assert keys_in(server) == ["current", "previous", "previous"]
    assert notices.names() == ["rest_key_switched"]


def test_both_keys_refused() -> None:
    """With neither taken the login fails, nothing is repeated, and one alarm is enough."""
    notices = Notices()
    with raw_server(error(*KEY_UNKNOWN)) as server:
        client = a_client(server.url, keys=lambda: [API_KEY, OTHER_KEY], notices=notices)
        for _ in range(3):
            with pytest.raises(DirectoryMisconfiguredError):
                client.create_auth_token(a_uid())

    assert keys_in(server) == ["current", "previous"] * 3
    assert [(event.name, event.is_alarm) for event in notices.events] == [
        ("rest_key_refused", True)
    ]


def test_only_key_refused() -> None:
    """One key that is refused is one call and an alarm."""
    notices = Notices()
    with raw_server(error(*KEY_UNKNOWN)) as server, pytest.raises(DirectoryMisconfiguredError):
        a_client(server.url, notices=notices).create_auth_token(a_uid())

    assert (len(server.requests), notices.names()) == (1, ["rest_key_refused"])


def test_other_misconfiguration_is_not_about_the_key() -> None:
    """A role that is unknown to one key is unknown to the other."""
    notices = Notices()
    with raw_server(error("ERR_ROLE_NOT_FOUND", "404 Not Found")) as server:
        client = a_client(server.url, keys=lambda: [API_KEY, OTHER_KEY], notices=notices)
        with pytest.raises(DirectoryMisconfiguredError):
            client.create_auth_token(a_uid())

    assert (keys_in(server), notices.events) == (["current"], [])


def test_exchanged_keys_begin_with_the_current_one() -> None:
    """New keys, new luck: the preference was for one of the old ones."""
    keys = [API_KEY, OTHER_KEY]
    good = data(uid="alice", authToken=TOKEN)
    with raw_server(error(*KEY_UNKNOWN), good) as server:
        client = a_client(server.url, keys=lambda: keys)
        client.create_auth_token(a_uid())
        keys[:] = [OTHER_KEY, API_KEY]
        client.create_auth_token(a_uid())
        keys[:] = [API_KEY, "a-third-key-of-somebody"]
        client.create_auth_token(a_uid())

    assert keys_in(server) == ["current", "previous", "previous", "current"]


def test_client_does_not_print_its_key() -> None:
    """A client that is printed shows no secret."""
    assert API_KEY not in repr(a_client("http://127.0.0.1:9"))
