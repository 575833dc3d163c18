"""Canaries: unique secrets are loaded, everything is tried, and none of them comes out."""

import json
import secrets
from pathlib import Path

import requests

from tests.builders import APP_ID, ISSUER, a_token
from tests.processes import command, serving
from tests.raw_server import Conversation, an_answer, raw_server
from tokensvc.emulator import EmulatorServer

SECRET, LOG_KEY = (secrets.token_urlsafe(40) for _ in range(2))
API_KEY = secrets.token_hex(20)
REDIS_PASSWORD, DATABASE_PASSWORD = (secrets.token_hex(16) for _ in range(2))
SESSIONS = json.dumps(
    [{"issuer": ISSUER, "audience": "chat", "algorithms": ["HS256"], "secret": SECRET}]
)
ENVIRONMENT = {
    "TOKENSVC_COMETCHAT__API_KEY": API_KEY,
    "TOKENSVC_SESSIONS": SESSIONS,
    "TOKENSVC_AUDIT__LOG_KEY": LOG_KEY,
    "TOKENSVC_LIMITS__STORAGE_URL": f"redis://:{REDIS_PASSWORD}@127.0.0.1:9/0",
    "TOKENSVC_STORAGE__URL": f"postgresql://u:{DATABASE_PASSWORD}@127.0.0.1:9/tokensvc",
    "TOKENSVC_HTTP__SERVER_TIMING": "true",
}
LOADED = (SECRET, LOG_KEY, API_KEY, REDIS_PASSWORD, DATABASE_PASSWORD)


def requests_of_all_kinds(url: str, token: str) -> list[requests.Response]:
    """Send what clients and attackers send: in each request the token stands somewhere."""
    endpoint = f"{url}/v1/auth-tokens"
    good = {"Authorization": f"Bearer {token}"}
    return [
        requests.post(endpoint, headers=good, timeout=10),
        requests.post(endpoint, headers=good, timeout=10),
        requests.post(endpoint, headers={"Authorization": f"Bearer {token}x"}, timeout=10),
        requests.post(endpoint, headers={"Authorization": f"Basic {token}"}, timeout=10),
        requests.post(endpoint, headers={**good, "User-Agent": f"agent {token}"}, timeout=10),
        requests.post(endpoint, headers={**good, "User-Agent": f"Bearer {SECRET}"}, timeout=10),
        requests.post(endpoint, headers={**good, "X-Request-Id": token}, timeout=10),
        requests.post(endpoint, headers=good, json={"uid": token}, timeout=10),
        requests.post(f"{endpoint}?token={token}", headers=good, timeout=10),
        requests.get(f"{url}/{token}", headers=good, timeout=10),
        requests.get(f"{url}/{API_KEY}", headers={"Referer": token}, timeout=10),
        requests.put(endpoint, headers=good, data=token, timeout=10),
    ]


def text_of(answer: requests.Response) -> str:
    return answer.text + str(answer.headers)


def test_nothing_comes_out_of_logins(tmp_path: Path) -> None:
    """Of loaded secrets, session tokens and auth tokens only one is ever said: to its owner."""
    token = a_token(key=SECRET, name="Alice")
    with (
        EmulatorServer(app_id=APP_ID, api_key=API_KEY) as emulator,
        serving(tmp_path, vendor_url=emulator.url, **ENVIRONMENT) as process,
    ):
        # The database is away, and without it nobody is created.
        requests.post(
            f"{emulator.rest_url}/users",
            headers={"apikey": API_KEY},
            json={"uid": "alice", "name": "Old"},
            timeout=10,
        ).raise_for_status()
        answers = requests_of_all_kinds(process.url, token)
        issued = [answer.json()["authToken"] for answer in answers if answer.status_code == 201]
        process.end()
        log = process.stdout.read_text() + process.stderr.read_text()

    assert len(issued) >= 4
    assert len(process.records()) >= len(answers)
    assert [secret for secret in (*LOADED, token, *issued) if secret in log] == []
    said = "".join(text_of(answer) for answer in answers)
    assert [secret for secret in (*LOADED, token) if secret in said] == []
    for answer in answers:
        assert sum(value in text_of(answer) for value in issued) == (answer.status_code == 201)


def test_nothing_comes_out_of_failures(tmp_path: Path) -> None:
    """Nor when CometChat answers with our own key, nonsense, or not at all."""
    echo = json.dumps({"error": {"code": API_KEY, "message": f"bad key {API_KEY}"}}).encode()
    answers: list[bytes | Conversation] = [
        an_answer(echo, status="401 Unauthorized"),
        an_answer(echo, status="500 Oops"),
        an_answer(API_KEY.encode(), f"Retry-After: {API_KEY}", status="429 Too Many"),
        an_answer(b"<html>" + API_KEY.encode(), "Content-Type: text/html"),
        an_answer(b"{}", f"Location: https://x.test/{API_KEY}", status="302 Found"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nyou sent " + API_KEY.encode() + b"\r\n\r\n{}",
        lambda connection: connection.close(),
    ]
    with (
        raw_server(*answers) as vendor,
        serving(tmp_path, vendor_url=vendor.url, **ENVIRONMENT) as process,
    ):
        token = a_token(key=SECRET)
        said = ""
        for _ in answers:
            said += text_of(
                requests.post(
                    f"{process.url}/v1/auth-tokens",
                    headers={"Authorization": f"Bearer {token}"},
                    timeout=10,
                )
            )
        process.end()
        log = process.stdout.read_text() + process.stderr.read_text()

    assert len(vendor.requests) >= len(answers)
    assert [secret for secret in (*LOADED, token) if secret in log + said] == []


def test_the_search_would_find_them(tmp_path: Path) -> None:
    """The canaries do reach the service: CometChat sees the key."""
    with (
        raw_server(an_answer(b"{}")) as vendor,
        serving(tmp_path, vendor_url=vendor.url, **ENVIRONMENT) as process,
    ):
        requests.post(
            f"{process.url}/v1/auth-tokens",
            headers={"Authorization": f"Bearer {a_token(key=SECRET)}"},
            timeout=10,
        )

    assert API_KEY.encode() in vendor.requests[0]
    assert SECRET not in " ".join(command("serve"))
