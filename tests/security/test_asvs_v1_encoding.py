"""ASVS V1: what a stranger chose stays data, wherever it is passed on to."""

import json
import re
from pathlib import Path

import pytest

from tests.builders import NOW, Service, a_service, a_service_with, a_token
from tests.fakes import FakeDirectory
from tests.raw_server import an_answer, raw_server
from tests.security.forging import THIEF, Signer, jwk, thief_for, token
from tests.security.redis_servers import running_redis
from tests.watching import watching
from tokensvc.domain.model import Uid

HOSTILE_SUBJECTS = [
    *("alice/../bob", "..", ".", "../../apps", "alice%2f..%2fbob", "alice?force=1", "alice#x"),
    *("//evil.test", "alice\\bob", "alice;x", "alice bob", "al\r\nHost: evil.test", "ålice"),
]
ANSWER = json.dumps({"data": {"uid": "alice", "authToken": "alice_1"}}).encode()


def paths_asked(subject: str, strategy: str) -> tuple[int, list[bytes]]:
    """Log in as *subject*; return the status, and the request lines that CometChat got."""
    with raw_server(an_answer(b'{"data": {}}')) as vendor:
        service = a_service(
            {
                "cometchat": {"base_url": f"{vendor.url}/v3"},
                "upstream": {"retry_ratio": 0},
                "uids": {"strategy": strategy},
            }
        )
        status = service.login(a_token(sub=subject)).status_code
    return status, [request.partition(b"\r\n")[0] for request in vendor.requests]


@pytest.mark.parametrize("subject", HOSTILE_SUBJECTS)
def test_v1_2_2_no_url_from_an_illegal_subject(subject: str) -> None:
    """A subject that would mean something else in a URL is refused, and no URL is built of it."""
    assert paths_asked(subject, "exact") == (422, [])


@pytest.mark.parametrize("subject", HOSTILE_SUBJECTS)
def test_v1_2_2_subject_is_encoded_in_the_url(subject: str) -> None:
    """Where any subject will do it is encoded: one path segment, of letters that mean nothing."""
    _, (line,) = paths_asked(subject, "encoded")

    assert re.fullmatch(rb"POST /v3/users/[a-z0-9_-]{1,100}/auth_tokens HTTP/1\.1", line)


@pytest.mark.parametrize(
    "avatar",
    ["javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "//x.test/a", "https://"],
)
def test_v1_2_2_only_web_urls_are_passed_on(avatar: str) -> None:
    """An avatar with another scheme than http and https is left out, and named in the log."""
    directory = FakeDirectory()
    service = a_service_with(directory)

    service.login(a_token(picture=avatar))

    assert directory.users[Uid("alice")].profile.avatar is None
    assert service.records()[0]["dropped_claims"] == ["avatar"]


def test_v1_2_4_keys_in_redis_are_built_of_harmless_letters(tmp_path: Path) -> None:
    """A subject with Redis commands in it becomes a key like any other; nothing else is touched."""
    with running_redis(tmp_path) as (where, redis):
        redis.set("canary", "alive")
        service = a_service_with(
            FakeDirectory(),
            limits={"per_user": "3 per minute", "storage_url": f"redis://{where}/0"},
            uids={"strategy": "encoded"},
        )
        service.login(a_token(sub="x\r\nFLUSHALL\r\n*/canary:{a}"))
        keys = {str(key, "ascii") for key in redis.scan_iter()}

    ours = keys - {"canary"}
    assert len(keys) == len(ours) + 1 == 2
    harmless = "[A-Za-z0-9_:/.|-]+"
    # The braces are ours: they say what its slot is chosen by in cluster mode.
    assert all(re.fullmatch(rf"{harmless}\{{{harmless}\}}{harmless}", key) for key in ours)


def tokens_with_addresses(url: str) -> list[str]:
    """Return tokens that name *url* wherever a token can name an address."""
    thief = thief_for("RS256")
    forged = Signer("https://app.example.test", "RS256", THIEF["RS"])
    return [
        token(header={"jku": f"{url}/jwks.json"}),
        token(header={"x5u": f"{url}/cert.pem"}),
        token(forged, header={"jku": f"{url}/jwks.json", "jwk": jwk(thief)}),
        token(payload={"iss": url}),
        token(payload={"picture": f"{url}/a.png", "iss_metadata": url}),
        token(payload={"sub": url, "jwks_uri": url, "webhook": url}),
    ]


def test_v1_3_6_no_address_from_a_request() -> None:
    """Addresses in headers and claims are called by nobody: CometChat's is the only connection."""
    with raw_server(an_answer(ANSWER)) as vendor, raw_server(b"") as stranger:
        chosen = {"cometchat": {"base_url": f"{vendor.url}/v3"}}
        hints = {"X-Forwarded-Host": f"127.0.0.1:{stranger.port}", "Referer": stranger.url}
        with watching() as doings:
            service = a_service(chosen, now=lambda: NOW)
            doings.forget()
            for text in tokens_with_addresses(stranger.url):
                service.login(text, headers=hints)
            good = service.login(token(), headers={**hints, "Host": f"127.0.0.1:{stranger.port}"})

    assert good.status_code == 201
    assert set(doings.connections) == {("127.0.0.1", vendor.port)}
    assert stranger.connections == 0


def a_plain_service() -> Service:
    return a_service_with(FakeDirectory())


@pytest.mark.parametrize(
    "payload",
    [
        b'{"iss":"https://app.example.test","aud":"chat","exp":9e9,"sub":"alice","sub":"bob"}',
        b'{"iss":"https://app.example.test","aud":"chat","exp":9e9,"sub":"alice","\\u0073ub":"bob"}',
        '{"iss":"https://app.example.test","aud":"chat","exp":9e9,"sub":"alice"}'.encode("utf-16"),
        b'\xef\xbb\xbf{"iss":"https://app.example.test","aud":"chat","exp":9e9,"sub":"alice"}',
        b'{"iss":"https://app.example.test","aud":"chat","exp":Infinity,"sub":"alice"}',
        b'{"iss":"https://app.example.test","aud":"chat","exp":9e9,"sub":"alice\\ud800"}',
    ],
)
def test_v1_5_3_tokens_have_one_reading(payload: bytes) -> None:
    """A signed payload that parsers are known to read differently is refused."""
    service = a_plain_service()

    answer = service.login(token(payload=payload))

    assert (answer.status_code, service.records()[0]["reason"]) == (401, "payload_malformed")


@pytest.mark.parametrize("body", [b'{"uid":"a","uid":"b"}', '{"a": 1}'.encode("utf-16"), b"{}{}"])
def test_v1_5_3_bodies_have_one_reading(body: bytes) -> None:
    """So is a request body."""
    answer = a_plain_service().login(data=body, content_type="application/json")

    assert (answer.status_code, answer.get_json()["code"]) == (400, "request_invalid")


def test_v1_5_3_vendor_answers_have_one_reading() -> None:
    """And an answer of CometChat's: a uid that stands there twice belongs to nobody."""
    twice = b'{"data": {"uid": "bob", "uid": "alice", "authToken": "alice_1"}}'
    with raw_server(an_answer(twice)) as vendor:
        answer = a_service({"cometchat": {"base_url": f"{vendor.url}/v3"}}).login()

    assert answer.status_code == 503
