"""ASVS V10: as a resource server it takes tokens for itself alone, of users who stay themselves."""

from typing import Any

import pytest

from tests.builders import OTHER_SECRET, Service, a_service_with, a_sessions_table, a_token
from tests.fakes import FakeDirectory
from tokensvc.domain.model import Uid


def a_plain_service(directory: FakeDirectory | None = None) -> Service:
    return a_service_with(directory or FakeDirectory())


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({"aud": "chat"}, 201),
        ({"aud": ["https://graph.example.test", "chat"]}, 201),
        ({"aud": "https://graph.example.test", "azp": "chat", "client_id": "chat"}, 401),
        ({"aud": "https://graph.example.test", "scope": "chat"}, 401),
        ({"aud": None, "resource": "chat"}, 401),
    ],
)
def test_v10_3_1_access_tokens_for_this_service_alone(claims: dict[str, Any], status: int) -> None:
    """Only `aud` says for whom a token is: not the client that asked for it, and not its scope."""
    answer = a_plain_service().login(a_token(header={"typ": "at+jwt"}, **claims))

    assert answer.status_code == status


@pytest.mark.parametrize(
    "claims",
    [
        {"email": "bob@example.test", "email_verified": True},
        {"preferred_username": "bob", "name": "bob"},
        {"uid": "bob", "user_id": "bob", "username": "bob"},
        {"act": {"sub": "bob"}, "client_id": "bob"},
    ],
)
def test_v10_3_3_users_are_known_by_issuer_and_subject(claims: dict[str, Any]) -> None:
    """Names and addresses, which change hands, do not say who somebody is."""
    directory = FakeDirectory()

    answer = a_plain_service(directory).login(a_token(**claims))

    assert (answer.get_json()["uid"], list(directory.users)) == ("alice", [Uid("alice")])


def test_v10_3_3_another_issuer_s_subject_is_somebody_else() -> None:
    """The same sub from two issuers is two users, each found again at the next login."""
    other = "https://other.example.test"
    tables = [
        a_sessions_table(uid_prefix="a-"),
        a_sessions_table(issuer=other, secret=OTHER_SECRET, uid_prefix="b-"),
    ]
    service = a_service_with(FakeDirectory(), sessions=tables)
    tokens = [a_token(), a_token(iss=other, key=OTHER_SECRET)] * 2

    answers = [service.login(text).get_json() for text in tokens]

    assert [answer["uid"] for answer in answers] == ["a-alice", "b-alice"] * 2
    assert [answer["userCreated"] for answer in answers] == [True, True, False, False]
