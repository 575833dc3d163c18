"""ASVS V8: a caller reaches what is their own, and nothing else."""

import json
from dataclasses import asdict
from typing import Any

import pytest

from tests.builders import (
    ISSUER,
    OTHER_SECRET,
    SECRET,
    Service,
    a_service,
    a_service_with,
    a_sessions_table,
    a_token,
    a_user,
    bearer,
    settings,
)
from tests.fakes import FakeDirectory
from tests.raw_server import an_answer, raw_server
from tests.web.signing import a_whsec
from tokensvc.domain.model import Uid
from tokensvc.settings_loading import ConfigurationError

OTHER_ISSUER = "https://other.example.test"
READING = {"GET", "HEAD", "OPTIONS"}


def a_plain_service() -> Service:
    return a_service_with(FakeDirectory())


def changing_routes(service: Service) -> list[tuple[str, str]]:
    """Return path and method of every route that does more than tell something."""
    return [
        (rule.rule, method)
        for rule in service.app.url_map.iter_rules()
        for method in (rule.methods or set()) - READING
    ]


def test_v8_2_1_what_changes_something_needs_a_caller() -> None:
    """Every route that is not for reading alone refuses whoever proves nothing."""
    directory = FakeDirectory()
    table = {
        "source": "app",
        "sender": "standard",
        "issuer": ISSUER,
        "secrets": [a_whsec("standard")],
    }
    service = a_service_with(directory, webhooks=[table])
    routes = [
        (path.replace("<source>", "app"), method) for path, method in changing_routes(service)
    ]

    statuses = {service.client.open(path, method=method).status_code for path, method in routes}

    assert {path for path, _ in routes} == {"/v1/auth-tokens", "/v1/webhooks/app"}
    assert (statuses, directory.calls) == ({401}, [])


def test_v8_2_1_what_is_open_tells_everybody_the_same() -> None:
    """What is readable without a session says nothing more to whoever has one."""
    client = a_plain_service().client

    for path in ("/livez", "/readyz", "/version", "/openapi.json", "/docs"):
        assert client.get(path).data == client.get(path, headers=bearer(a_token())).data


def test_v8_2_2_whose_token_is_for_the_session_alone_to_say() -> None:
    """A uid in query, header or cookie changes nothing: alice gets alice's token."""
    service = a_plain_service()
    service.client.set_cookie("uid", "bob")

    answer = service.login(query_string={"uid": "bob"}, headers={"X-User-Id": "bob", "uid": "bob"})

    assert (answer.status_code, answer.get_json()["uid"]) == (201, "alice")
    assert answer.get_json()["authToken"].startswith("alice_")


def test_v8_2_2_a_token_of_somebody_else_is_not_handed_out() -> None:
    """Even if CometChat answered with another user's token, the caller would not get it."""
    bobs = json.dumps({"data": {"uid": "bob", "authToken": "bob_1"}}).encode()
    with raw_server(an_answer(bobs)) as vendor:
        answer = a_service({"cometchat": {"base_url": f"{vendor.url}/v3"}}).login()

    assert answer.status_code == 503
    assert "bob" not in answer.text


def test_v8_2_3_fields_that_are_not_configured_are_not_written() -> None:
    """Claims reach the profile where they are mapped: no role, tags or metadata by default."""
    directory = FakeDirectory()

    a_service_with(directory).login(
        a_token(name="Al", role="admin", chat_role="admin", tags=["staff"], metadata={"a": 1})
    )

    assert asdict(directory.users[Uid("alice")].profile) == {
        "name": "Al",
        "avatar": None,
        "role": None,
        "tags": (),
        "metadata": {},
    }


@pytest.mark.parametrize("body", [{"role": "admin"}, {"uid": "alice"}, {"metadata": {}}, [], "bob"])
def test_v8_2_3_fields_in_the_body_are_refused(body: Any) -> None:
    """There is no field that a caller may write in the request."""
    directory = FakeDirectory()

    answer = a_service_with(directory).login(json=body)

    assert (answer.status_code, directory.calls) == (400, [])


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Role": "admin"},
        {"X-Forwarded-User": "bob"},
        {"Origin": "https://app.example.test", "Referer": "https://app.example.test/admin"},
    ],
)
def test_v8_3_1_nothing_a_client_can_write_opens_a_door(headers: dict[str, str]) -> None:
    """A deactivated user stays out, and a tokenless one too, whatever else the request says."""
    directory = FakeDirectory()
    directory.deactivate(a_user("alice"))
    service = a_service_with(directory)
    service.client.set_cookie("session", "admin")

    assert service.login(headers=headers).status_code == 403
    assert service.client.post("/v1/auth-tokens", headers=headers).status_code == 401


def test_v8_3_2_a_change_is_felt_at_once() -> None:
    """Deactivated between two logins, back before the third: each answer fits its moment."""
    directory = FakeDirectory()
    service, token = a_service_with(directory), a_token()

    first = service.login(token).status_code
    directory.deactivated.add(Uid("alice"))
    second = service.login(token).status_code
    directory.deactivated.clear()
    third = service.login(token).status_code

    assert [first, second, third] == [201, 403, 201]


def two_tenants(directory: FakeDirectory, **limits: str) -> Service:
    tables = [
        a_sessions_table(uid_prefix="a-"),
        a_sessions_table(issuer=OTHER_ISSUER, secret=OTHER_SECRET, uid_prefix="b-"),
    ]
    return a_service_with(
        directory, sessions=tables, **({"limits": {"per_user": "1 per minute"}} if limits else {})
    )


@pytest.mark.parametrize("subject", ["alice", "b-alice", "a-alice", "-alice"])
def test_v8_4_1_issuers_share_no_user(subject: str) -> None:
    """One subject is two users at two issuers, and no subject of one is a user of the other."""
    directory = FakeDirectory()
    service = two_tenants(directory)

    ours = service.login(a_token(sub=subject)).get_json()["uid"]
    theirs = service.login(a_token(key=OTHER_SECRET, iss=OTHER_ISSUER, sub=subject)).get_json()

    assert (ours, theirs["uid"]) == (f"a-{subject}", f"b-{subject}")
    assert theirs["userCreated"]


@pytest.mark.parametrize(("key", "issuer"), [(SECRET, OTHER_ISSUER), (OTHER_SECRET, ISSUER)])
def test_v8_4_1_a_key_speaks_for_its_own_issuer(key: str, issuer: str) -> None:
    """A token that one issuer signed in the name of another is refused."""
    directory = FakeDirectory()

    answer = two_tenants(directory).login(a_token(key=key, iss=issuer))

    assert (answer.status_code, directory.calls) == (401, [])


def test_v8_4_1_a_tenants_users_spend_their_own_allowance() -> None:
    """Who has used up their logins at one issuer has not used up a namesake's at the other."""
    service = two_tenants(FakeDirectory(), per_user="1 per minute")
    theirs = a_token(key=OTHER_SECRET, iss=OTHER_ISSUER)

    statuses = [service.login(text).status_code for text in (a_token(), a_token(), theirs)]

    assert statuses == [201, 429, 201]


@pytest.mark.parametrize("prefixes", [("", "b-"), ("a", "ab"), ("a-", "a-")])
def test_v8_4_1_prefixes_that_meet_do_not_start(prefixes: tuple[str, str]) -> None:
    """Two issuers whose users could be the same are a fault of the settings."""
    tables = [
        a_sessions_table(uid_prefix=prefixes[0]),
        a_sessions_table(issuer=OTHER_ISSUER, secret=OTHER_SECRET, uid_prefix=prefixes[1]),
    ]

    with pytest.raises(ConfigurationError, match="could name the same user"):
        settings(sessions=tables)
