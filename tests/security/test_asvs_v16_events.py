"""ASVS V16.3: whatever matters to security leaves its line."""

import re
from typing import Any

import pytest

from tests.builders import (
    API_KEY,
    ISSUER,
    OTHER_SECRET,
    Service,
    a_service,
    a_service_with,
    a_token,
    a_user,
    bearer,
)
from tests.fakes import FakeDirectory
from tests.raw_server import an_answer, raw_server
from tests.security.forging import token
from tokensvc.domain.model import AuthToken, Uid


class Crashing(FakeDirectory):
    """A directory with a defect, whose text holds a secret."""

    crashes: int = 1

    def create_auth_token(self, uid: Uid) -> AuthToken:
        if self.crashes:
            self.crashes -= 1
            raise ZeroDivisionError(f"secret of {uid} {API_KEY}")
        return super().create_auth_token(uid)


@pytest.mark.parametrize(
    ("sent", "outcome", "reason", "alg"),
    [
        ({}, "ok", None, "HS256"),
        ({"key": OTHER_SECRET}, "session_invalid", "signature_invalid", "HS256"),
        ({"exp": 1}, "session_expired", "exp_past", "HS256"),
        ({"aud": "web"}, "session_invalid", "aud_not_ours", "HS256"),
        ("x.y.z", "session_invalid", "token_malformed", None),
        (None, "session_invalid", "header_missing", None),
    ],
)
def test_v16_3_1_every_login_is_logged(
    sent: dict[str, Any] | str | None, outcome: str, reason: str | None, alg: str | None
) -> None:
    """Good or refused, a login leaves its outcome, the reason, and how the token was signed."""
    service = a_service_with(FakeDirectory())
    text = a_token(**sent) if isinstance(sent, dict) else sent

    service.client.post("/v1/auth-tokens", headers=bearer(text) if text else {})

    (line,) = service.records()
    assert (line["outcome"], line.get("reason"), line.get("alg")) == (outcome, reason, alg)


@pytest.mark.parametrize(
    ("subject", "outcome"), [("alice", "user_deactivated"), ("Alice", "uid_not_allowed")]
)
def test_v16_3_2_refusals_of_known_callers_are_logged(subject: str, outcome: str) -> None:
    """A caller who is proven and yet refused leaves a line with issuer and reason."""
    directory = FakeDirectory()
    directory.deactivate(a_user("alice"))
    service = a_service_with(directory)

    service.login(a_token(sub=subject))

    (line,) = service.records()
    assert (line["outcome"], line["issuer"]) == (outcome, ISSUER)
    assert line["reason"]


def attempts(service: Service) -> list[tuple[int, str, str]]:
    """Try to get around the controls; return what the log says of each attempt."""
    service.login(json={"uid": "bob"})
    service.login(token(header={"alg": "HS512"}))
    service.client.delete("/v1/auth-tokens")
    service.client.get("/.git/config")
    for _ in range(2):
        service.login(a_token(sub="carol"))
    for _ in range(2):
        service.login("x.y.z")
    return [
        (line["status"], line["outcome"], re.sub(r"over \d+.*", "over", line.get("reason", "")))
        for line in service.records()
    ]


def test_v16_3_3_attempts_to_get_around_are_logged() -> None:
    """Hostile input, wrong methods and paths, and breached limits leave their line."""
    limits = {"per_user": "1 per minute", "failed_per_address": "2 per minute"}

    assert attempts(a_service_with(FakeDirectory(), limits=limits)) == [
        (400, "request_invalid", "body_not_empty"),
        (401, "session_invalid", "alg_not_allowed"),
        (405, "method_not_allowed", "http_405"),
        (404, "not_found", "http_404"),
        (201, "ok", ""),
        (429, "rate_limited", "over"),
        (401, "session_invalid", "token_malformed"),
        (429, "rate_limited", "failed attempts over"),
    ]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (an_answer(b"", status="500 Oops"), "answer_not_understood_500"),
        (
            an_answer(b'{"error": {"code": "AUTH_ERR_APIKEY_NOT_FOUND"}}'),
            "AUTH_ERR_APIKEY_NOT_FOUND",
        ),
        (an_answer(b'{"data": {"uid": "bob", "authToken": "b"}}'), "answer_for_another_uid"),
    ],
)
def test_v16_3_4_failures_of_neighbours_are_logged(answer: bytes, reason: str) -> None:
    """What CometChat did wrong stands in the line of the login that it cost."""
    with raw_server(answer) as vendor:
        service = a_service({"cometchat": {"base_url": f"{vendor.url}/v3"}})
        service.login()

    (line,) = [line for line in service.records() if line["event"] == "request"]
    assert line["reason"] == reason


def test_v16_3_4_defects_are_logged_with_their_place() -> None:
    """A defect leaves its kind and its place in the code."""
    service = a_service_with(Crashing())

    service.login()

    reason = service.records()[0]["reason"]
    assert re.fullmatch(r"ZeroDivisionError at [a-z_/]+\.py:\d+", reason)
