"""ASVS V15.3: exact fields, exact types, and no second meaning."""

import json
from typing import Any

import pytest

from tests.builders import (
    Service,
    a_service,
    a_service_with,
    a_token,
)
from tests.fakes import FakeDirectory
from tests.raw_server import an_answer, raw_server
from tests.security.forging import token

ANSWER = an_answer(json.dumps({"data": {"uid": "alice", "authToken": "alice_1"}}).encode())


def test_v15_3_1_only_the_fields_of_the_contract_are_returned() -> None:
    """Whatever else CometChat says about a user, the client gets the documented members alone."""
    talkative = {
        "uid": "alice",
        "authToken": "alice_1",
        "apiKey": "leak",
        "metadata": {"@private": {"email": "leak"}},
        "lastActiveAt": 1,
    }
    with raw_server(an_answer(json.dumps({"data": talkative, "meta": "leak"}).encode())) as vendor:
        service = a_service({"cometchat": {"base_url": f"{vendor.url}/v3"}})
        answer = service.login()
    paths = service.client.get("/openapi.json").get_json()["paths"]

    good = paths["/v1/auth-tokens"]["post"]["responses"]["201"]
    documented = good["content"]["application/json"]["schema"]["properties"]
    assert answer.get_json().keys() == documented.keys()
    assert "leak" not in answer.text


@pytest.mark.parametrize("status", ["301 M", "302 F", "303 S", "307 T", "308 P"])
def test_v15_3_2_redirects_are_not_followed(status: str) -> None:
    """A redirect of CometChat's is a failure: whoever stands at its target hears nothing."""
    with raw_server(ANSWER) as target:
        redirect = an_answer(b"{}", f"Location: {target.url}/v3/users", status=status)
        with raw_server(redirect) as vendor:
            answer = a_service({"cometchat": {"base_url": f"{vendor.url}/v3"}}).login()

    assert (answer.status_code, target.connections) == (503, 0)


def test_v15_3_3_a_token_cannot_fill_in_fields_of_its_own() -> None:
    """Claims that are called like CometChat's fields do not get into the user that is created."""
    missing = an_answer(b'{"error": {"code": "ERR_UID_NOT_FOUND"}}', status="404 No")
    claims = {"uid": "bob", "role": "admin", "status": "available", "link": "https://x.test"}
    with raw_server(missing, ANSWER) as vendor:
        service = a_service({"cometchat": {"base_url": f"{vendor.url}/v3"}})
        service.login(a_token(name="Alice", tags=["staff"], metadata={"a": 1}, **claims))

    created = json.loads(vendor.requests[1].partition(b"\r\n\r\n")[2])
    assert created == {"uid": "alice", "name": "Alice", "withAuthToken": True}


PROXIES = {"trusted_proxies": ["127.0.0.1/32", "10.0.0.0/8"]}


def from_address(service: Service, forwarded_for: str) -> int:
    answer = service.login("x.y.z", headers={"X-Forwarded-For": forwarded_for})
    return int(answer.status_code)


def test_v15_3_4_limits_and_log_know_the_same_client() -> None:
    """Behind our proxies two clients are two; what one of them writes in front changes nothing."""
    limits = {"per_user": "9 per minute", "failed_per_address": "1 per minute"}
    service = a_service_with(FakeDirectory(), http=PROXIES, limits=limits)
    seen = ["198.51.100.7, 10.1.1.1", "6.6.6.6, 198.51.100.7, 10.1.1.1", "198.51.100.8"]

    assert [from_address(service, hops) for hops in seen] == [401, 429, 401]
    assert [record["client_address"] for record in service.records()] == [
        *("198.51.100.7", "198.51.100.7", "198.51.100.8")
    ]


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": True},
        {"exp": "9999999999"},
        {"exp": [9999999999]},
        {"nbf": "0"},
        {"iat": False},
        {"sub": 1},
        {"sub": True},
        {"sub": ["alice"]},
        {"sub": {"toString": "alice"}},
        {"aud": True},
        {"aud": [["chat"]]},
        {"aud": {"chat": True}},
        {"iss": ["https://app.example.test"]},
        {"jti": 7},
        {"header": {"kid": 1}},
        {"header": {"typ": ["JWT"]}},
    ],
)
def test_v15_3_5_types_are_exact(claims: dict[str, Any]) -> None:
    """A value of another type that many languages would let pass is refused."""
    directory = FakeDirectory()

    answer = a_service_with(directory).login(_signed(claims))

    assert (answer.status_code, directory.calls) == (401, [])


def _signed(claims: dict[str, Any]) -> str:
    """Return a token with claims that PyJWT would not sign."""
    header = claims.get("header")
    payload = {name: value for name, value in claims.items() if name != "header"}
    now = {"exp": 9_999_999_999, "iat": 0}
    return token(header=header, payload={**now, **payload})


TWO = f"Bearer {a_token()},Bearer {a_token(sub='bob')}"


@pytest.mark.parametrize("authorization", [TWO, TWO.replace(",", ", "), TWO.replace(",", " ")])
def test_v15_3_7_two_tokens_are_none(authorization: str) -> None:
    """Two Authorization headers, which a server joins, are refused and not chosen from."""
    service = a_service_with(FakeDirectory())

    answer = service.client.post("/v1/auth-tokens", headers={"Authorization": authorization})

    assert (answer.status_code, service.records()[0]["reason"]) == (401, "header_malformed")


def test_v15_3_7_parameters_elsewhere_count_for_nothing() -> None:
    """A good token beside doubled parameters is a plain login; beside a body it is refused."""
    service = a_service_with(FakeDirectory())

    good = service.login(query_string="uid=bob&uid=carol&authorization=Bearer+x&role=admin")
    form = service.login(data={"uid": "bob"})

    assert (good.status_code, good.get_json()["uid"]) == (201, "alice")
    assert form.status_code == 415
