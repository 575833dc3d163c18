"""ASVS V2: input is what it should be, and nobody can have more than their share."""

import re
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.builders import Service, a_service_with, a_token, bearer, settings
from tests.fakes import FakeDirectory
from tests.processes import serving
from tests.raw_server import an_answer, raw_server
from tests.security.source_tree import ROOT
from tokensvc.adapters.http_client import MAX_ANSWER_BYTES
from tokensvc.adapters.jws import MAX_TOKEN_BYTES
from tokensvc.adapters.key_sets import MAX_JWKS_BYTES, MAX_JWKS_KEYS, MAX_KID_CHARS
from tokensvc.adapters.session_jwt import MAX_JTI_CHARS
from tokensvc.domain.errors import DirectoryUnavailableError
from tokensvc.domain.model import AuthToken, ChatUser, Uid
from tokensvc.domain.profiles import (
    MAX_AVATAR_CHARS,
    MAX_METADATA_BYTES,
    MAX_NAME_CHARS,
    MAX_ROLE_CHARS,
    MAX_TAG_CHARS,
    MAX_TAGS,
)
from tokensvc.domain.strict_json import MAX_DEPTH
from tokensvc.domain.uids import MAX_SUBJECT_CHARS, MAX_UID_CHARS
from tokensvc.web.body_places import OF_ONE_STRANGER, deliveries_at_once
from tokensvc.web.record import MAX_USER_AGENT_CHARS
from tokensvc.web.tokens import MAX_BODIES_AT_ONCE, MAX_BODY_BYTES

RULES = ROOT / "docs" / "security.md"
INPUTS = {
    "session token": [MAX_TOKEN_BYTES],
    "JSON": [MAX_DEPTH],
    "`kid`": [MAX_KID_CHARS],
    "`jti`": [MAX_JTI_CHARS],
    "subject": [MAX_SUBJECT_CHARS],
    "uid": [MAX_UID_CHARS],
    "request body": [MAX_BODY_BYTES],
    "`User-Agent`": [MAX_USER_AGENT_CHARS],
    "name": [MAX_NAME_CHARS],
    "avatar": [MAX_AVATAR_CHARS],
    "role": [MAX_ROLE_CHARS],
    "tags": [MAX_TAGS, MAX_TAG_CHARS],
    "metadata": [MAX_METADATA_BYTES],
    "CometChat's answer": [MAX_ANSWER_BYTES],
    "JWKS": [MAX_JWKS_BYTES, MAX_JWKS_KEYS],
}


def row(name: str) -> str:
    """Return the row of the written rules that is about *name*."""
    (found,) = re.findall(rf"^\| {re.escape(name)} \|.*$", RULES.read_text(), re.MULTILINE)
    return str(found)


@pytest.mark.parametrize(("name", "bounds"), INPUTS.items(), ids=INPUTS.keys())
def test_v2_1_1_input_rules_are_written_down(name: str, bounds: list[int]) -> None:
    """The written rules have a row for each input, with the bounds that the code has."""
    numbers = {int(text.replace(",", "")) for text in re.findall(r"\d[\d,]*", row(name))}

    assert set(bounds) <= numbers


def test_v2_1_3_limits_are_written_down() -> None:
    """The limits of one user, one address and all together stand there with their defaults."""
    chosen = settings()

    assert chosen.limits.per_user in row("`limits.per_user`")
    assert chosen.limits.failed_per_address in row("`limits.failed_per_address`")
    assert str(chosen.cometchat.max_in_flight) in row("`cometchat.max_in_flight`")
    assert str(MAX_BODIES_AT_ONCE) in row("request bodies at once")
    deliveries = row("bodies of deliveries at once")
    half = deliveries_at_once(chosen.server.threads) // 2
    assert f"| {half}, and {OF_ONE_STRANGER}; {half}, and {half // 2} " in deliveries


def a_plain_service() -> Service:
    return a_service_with(FakeDirectory())


@pytest.mark.parametrize(
    ("changes", "request_", "status"),
    [
        ({"sub": "Alice"}, {}, 422),
        ({"sub": "a" * 101}, {}, 422),
        ({"sub": ["alice"]}, {}, 401),
        ({"jti": "j" * 257}, {}, 401),
        ({"header": {"kid": "k" * 257}}, {}, 401),
        ({"header": {"kid": "k\x00"}}, {}, 401),
        ({"exp": "tomorrow"}, {}, 401),
        ({}, {"json": {"uid": "bob"}}, 400),
        ({}, {"data": b"x", "content_type": "text/plain"}, 415),
        ({}, {"data": b" " * 1025, "content_type": "application/json"}, 413),
    ],
)
def test_v2_2_1_input_outside_the_rules_is_refused(
    changes: dict[str, Any], request_: dict[str, Any], status: int
) -> None:
    """What is not on the list of the allowed is refused, also with a good signature."""
    service = a_plain_service()

    assert service.login(a_token(**changes), **request_).status_code == status
    assert service.login().status_code == 201


@pytest.mark.parametrize("proposed", ["", "a b", "<x>", "x" * 65, "a.b.c", "é"])
def test_v2_2_1_odd_request_ids_are_replaced(proposed: str) -> None:
    """A request id that is no plain word is not taken over, but replaced by one of ours."""
    answer = a_plain_service().login(headers={"X-Request-Id": proposed})

    assert answer.headers["X-Request-Id"] != proposed
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["X-Request-Id"])


def test_v2_2_2_the_server_judges_whatever_the_client_did(tmp_path: Path) -> None:
    """Straight at the server's socket, past every client, the same rules hold."""
    with (
        raw_server(an_answer(b"{}")) as vendor,
        serving(tmp_path, vendor_url=vendor.url) as process,
    ):
        url = f"{process.url}/v1/auth-tokens"
        statuses = [
            requests.post(url, headers=bearer(text), data=body, timeout=10).status_code
            for text, body in [(a_token(sub="bob/.."), b""), ("x.y.z", b""), (a_token(), b"[]")]
        ]

    assert statuses == [422, 401, 415]
    assert vendor.requests == []


class Interrupted(FakeDirectory):
    """A directory that creates a user, and then fails once to say so."""

    failures: int = 1

    def create_user(self, user: ChatUser) -> AuthToken | None:
        token = super().create_user(user)
        if self.failures:
            self.failures -= 1
            raise DirectoryUnavailableError("timeout")
        return token


def test_v2_3_3_interrupted_login_is_completed_by_the_next() -> None:
    """A first login that breaks off gives no token, and the next one finds the user."""
    directory = Interrupted()
    service = a_service_with(directory)

    first, second = service.login(), service.login()

    assert (first.status_code, second.status_code) == (503, 201)
    assert "authToken" not in first.get_json()
    assert (list(directory.users), second.get_json()["userCreated"]) == ([Uid("alice")], False)


def test_v2_4_1_one_user_has_one_share() -> None:
    """New tokens and new addresses give a user no more logins; another user has their own."""
    directory = FakeDirectory()
    service = a_service_with(
        directory,
        limits={"per_user": "3 per minute", "failed_per_address": "9 per minute"},
        http={"trusted_proxies": ["127.0.0.0/8"]},
    )

    statuses = [
        service.login(
            a_token(jti=str(turn)), headers={"X-Forwarded-For": f"198.51.100.{turn}"}
        ).status_code
        for turn in range(5)
    ]

    assert statuses == [201, 201, 201, 429, 429]
    assert service.login(a_token(sub="bob")).status_code == 201
    assert len(directory.calls) == 6


def test_v2_4_1_guessing_is_slowed_down() -> None:
    """An address whose tokens keep being refused is told to wait, and how long."""
    service = a_service_with(
        FakeDirectory(), limits={"per_user": "9 per minute", "failed_per_address": "2 per minute"}
    )

    answers = [service.login("not.a.token") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [401, 401, 429]
    assert int(answers[-1].headers["Retry-After"]) >= 1
