"""ASVS V14: tokens and people's data go where they must, and stay no longer than they must."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.builders import (
    API_KEY,
    ISSUER,
    Service,
    a_service,
    a_service_with,
    a_sessions_table,
    a_token,
    a_user,
)
from tests.fakes import FakeDirectory
from tests.raw_server import an_answer, raw_server
from tests.security.redis_servers import running_redis
from tests.security.source_tree import ROOT
from tests.watching import watching
from tokensvc.adapters.limit_storage import WindowStorage

DATA = (ROOT / "docs" / "security.md").read_text().partition("## Data")[2].partition("\n## ")[0]
ANSWER = an_answer(json.dumps({"data": {"uid": "alice", "authToken": "alice_1"}}).encode())


def test_v14_2_1_a_token_in_the_url_is_no_token() -> None:
    """A session token in the query counts for nothing, and does not get into the log."""
    service = a_service_with(FakeDirectory())
    token = a_token()

    for name in ("token", "access_token", "authorization"):
        answer = service.client.post("/v1/auth-tokens", query_string={name: token})
        assert answer.status_code == 401
    assert token.rpartition(".")[2] not in service.log.getvalue()


def test_v14_2_1_no_secret_in_our_urls() -> None:
    """In what CometChat gets the key stands in a header, and no token in the URL."""
    token = a_token()
    with raw_server(ANSWER) as vendor:
        a_service({"cometchat": {"base_url": f"{vendor.url}/v3"}}).login(token)

    (request,) = vendor.requests
    line, _, rest = request.decode().partition("\r\n")
    assert line == "POST /v3/users/alice/auth_tokens HTTP/1.1"
    assert API_KEY in rest
    assert token not in request.decode()


def test_v14_2_2_answers_are_for_no_cache() -> None:
    """Tokens and refusals may be kept by nobody on the way."""
    service = a_service_with(FakeDirectory())

    for answer in (service.login(), service.login("x.y.z"), service.client.get("/nothing")):
        assert answer.headers["Cache-Control"] == "no-store"
        assert "ETag" not in answer.headers
        assert "Expires" not in answer.headers


def test_v14_2_2_tokens_are_kept_by_nobody_in_here() -> None:
    """The same session token twice is two questions to CometChat and two auth tokens."""
    directory = FakeDirectory()
    service, token = a_service_with(directory), a_token()

    tokens = {service.login(token).get_json()["authToken"] for _ in range(3)}

    assert len(tokens) == 3
    assert directory.calls == ["create_auth_token", "create_user"] + ["create_auth_token"] * 2


PERSON: dict[str, Any] = {
    "name": "Anneliese-Probe",
    "picture": "https://pictures.example.test/probe.png",
    "chat_role": "role-probe",
    "groups": ["tag-probe"],
    "department": "metadata-probe",
}
IN_THE_LOG: dict[str, tuple[str, list[Any]]] = {
    "name, avatar, role, tags, metadata": ("never", list(PERSON.values())),
    "session tokens": ("never", []),
    "auth tokens": ("fingerprint", []),
    "keys and secrets of the settings": ("masked", [API_KEY]),
    "uid, issuer, `jti`, client address, `User-Agent`": (
        "as they are",
        ["probe-uid", ISSUER, "jti-probe", "127.0.0.1", "agent-probe"],
    ),
}


def a_mapping_service() -> Service:
    table = a_sessions_table(
        role_claim="chat_role", tags_claim="groups", metadata_claims=["department"]
    )
    return a_service_with(FakeDirectory(), sessions=[table])


@pytest.mark.parametrize("kind", IN_THE_LOG)
def test_v14_2_4_data_is_logged_as_it_is_written_down(kind: str) -> None:
    """What the table says of each kind of data in the log is what a login leaves there."""
    treatment, values = IN_THE_LOG[kind]
    service = a_mapping_service()
    token = a_token(sub="probe-uid", jti="jti-probe", **PERSON)
    answer = service.login(token, headers={"User-Agent": f"agent-probe {API_KEY}"})

    log = service.log.getvalue()
    secret = {"session tokens": [token], "auth tokens": [answer.get_json()["authToken"]]}
    told = [str(value) in log for value in [*values, *secret.get(kind, [])]]
    assert re.search(rf"^\| {re.escape(kind)} \|.*\| {treatment}[^|]*\|$", DATA, re.MULTILINE)
    assert set(told) == {treatment == "as they are"}
    assert re.fullmatch(r"[0-9a-f]{16}", service.records()[0]["token_fingerprint"])


def failing_answers() -> list[Any]:
    """Return answers to callers who are known, and get no token."""
    directory = FakeDirectory()
    directory.deactivate(a_user("probe-uid"))
    limited = a_service_with(FakeDirectory(), limits={"per_user": "1 per day"})
    limited.login(a_token(sub="probe-uid", name="probe-name"))
    return [
        a_service_with(directory).login(a_token(sub="probe-uid", name="probe-name")),
        a_service_with(directory).login(a_token(sub="Probe-Uid", name="probe-name")),
        limited.login(a_token(sub="probe-uid", name="probe-name")),
        a_service().login(a_token(sub="probe-uid", name="probe-name")),
    ]


def test_v14_2_6_refusals_tell_nothing_about_a_person() -> None:
    """Whoever reads a refusal learns neither user nor issuer from it."""
    answers = failing_answers()

    assert [answer.status_code for answer in answers] == [403, 422, 429, 503]
    for answer in answers:
        said = (answer.text + str(answer.headers)).lower()
        assert [word for word in ("probe", "app.example.test") if word in said] == []


def test_v14_2_6_a_login_tells_what_the_client_needs() -> None:
    """A good answer has uid, token and where to use it, and nothing of the profile."""
    answer = a_mapping_service().login(a_token(**PERSON))

    assert answer.status_code == 201
    assert [value for value in PERSON.values() if str(value) in answer.text] == []


def test_v14_2_7_counts_in_redis_have_an_end(tmp_path: Path) -> None:
    """Whatever is kept in Redis vanishes by itself when the longest window is over."""
    with running_redis(tmp_path) as (where, redis):
        limits = {"per_user": "3 per minute; 9 per day", "storage_url": f"redis://{where}/0"}
        a_service_with(FakeDirectory(), limits=limits).login()
        lives = [redis.ttl(key) for key in redis.scan_iter()]

    assert len(lives) == 2
    assert all(0 < life <= 86_400 for life in lives)


def test_v14_2_7_counts_in_memory_have_an_end() -> None:
    """Idle users are forgotten as others come: at each login two, when their window is over."""
    clock = [0.0]
    storage = WindowStorage(now=lambda: clock[0])
    for user in range(100):
        storage.acquire_entry(f"user-{user}", 10, 60)
    clock[0] = 61.0
    for _ in range(50):
        storage.acquire_entry("visitor", 1000, 60)

    assert storage.reset() == 1


def test_v14_2_7_nothing_is_written_to_disk() -> None:
    """Logins, good and refused, leave no file behind."""
    with watching() as doings:
        service = a_service_with(FakeDirectory())
        service.login()
        doings.forget()
        statuses = [service.login(text).status_code for text in (a_token(), "x.y.z")]

    assert (statuses, doings.written) == ([201, 401], [])
