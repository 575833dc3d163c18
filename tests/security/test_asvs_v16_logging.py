"""ASVS V16.1, V16.2 and V16.4: what happened can be read afterwards, and not be forged."""

import io
import json
import re
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.builders import (
    API_KEY,
    ISSUER,
    NOW,
    OTHER_SECRET,
    SECRET,
    a_service_with,
    a_token,
    bearer,
)
from tests.fakes import FakeDirectory
from tests.processes import Process, serving
from tests.raw_server import an_answer, raw_server
from tests.security.source_tree import ROOT
from tokensvc.adapters.audit_log import AuditLog
from tokensvc.domain.audit import OperationalEvent, RequestRecord, VendorCall

LOGS = (ROOT / "docs" / "security.md").read_text().partition("## Logs")[2].partition("\n## ")[0]
ANSWER = an_answer(json.dumps({"data": {"uid": "alice", "authToken": "alice_1"}}).encode())


def full_record() -> dict[str, Any]:
    """Return the log line of a request of which everything is known."""
    stream = io.StringIO()
    record = RequestRecord(request_id="r", started_at=NOW, method="POST")
    for name in ("route", "client_address", "user_agent", "issuer", "unverified_issuer", "uid"):
        setattr(record, name, "x")
    for name in ("subject", "alg", "kid", "jti", "token_fingerprint", "reason"):
        setattr(record, name, "x")
    record.user_created, record.dropped_claims = True, ("avatar",)
    record.vendor_calls.append(VendorCall("create_auth_token", "timeout", 2.0, answer_lost=True))
    AuditLog(stream)(record)
    line: dict[str, Any] = json.loads(stream.getvalue())
    return line


def test_v16_1_1_every_member_of_a_line_is_in_the_inventory() -> None:
    """The members that are written down are exactly those that a line can have."""
    (members,) = re.findall(r"at most these members:(.*?)\.", LOGS, re.DOTALL)

    assert set(re.findall(r"`(\w+)`", members)) == full_record().keys()
    assert re.search(r"^\| stdout \|", LOGS, re.MULTILINE)
    assert re.search(r"^\| stderr \|", LOGS, re.MULTILINE)


def test_v16_2_1_a_line_says_when_where_who_and_what() -> None:
    """One login is one line: time, route and address, user and issuer, outcome and duration."""
    service = a_service_with(FakeDirectory())

    service.login(a_token(jti="j-1"), headers={"X-Request-Id": "r-1", "User-Agent": "app/1"})

    (line,) = service.records()
    assert (line["request_id"], line["jti"], line["user_agent"]) == ("r-1", "j-1", "app/1")
    assert (line["method"], line["route"]) == ("POST", "/v1/auth-tokens")
    assert (line["client_address"], line["issuer"], line["uid"]) == ("127.0.0.1", ISSUER, "alice")
    assert (line["status"], line["outcome"]) == (201, "ok")
    assert abs((datetime.fromisoformat(line["time"]) - datetime.now(UTC)).total_seconds()) < 60


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/St_Johns"])
def test_v16_2_2_times_are_utc_wherever_it_runs(tmp_path: Path, zone: str) -> None:
    """Requests' lines carry UTC and say so, in whatever zone the host is."""
    before = datetime.now(UTC)
    with (
        raw_server(ANSWER) as vendor,
        serving(tmp_path, vendor_url=vendor.url, TZ=zone) as process,
    ):
        process.end()
    times = [line["time"] for line in process.records()]

    assert times != []
    assert all(time.endswith("Z") for time in times)
    assert all(before <= datetime.fromisoformat(time) <= datetime.now(UTC) for time in times)


def open_files_of(process: Process) -> set[str]:
    """Return the files on disk that the process and its workers have open."""
    found = set()
    tasks = Path(f"/proc/{process.popen.pid}/task/{process.popen.pid}/children")
    for pid in (process.popen.pid, *map(int, tasks.read_text().split())):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):
                found.add(str(descriptor.readlink()))
    return {
        name for name in found if name.startswith("/") and not name.startswith(("/dev/", "/memfd:"))
    }


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux's /proc")
def test_v16_2_3_logs_go_to_stdout_and_stderr_alone(tmp_path: Path) -> None:
    """Beside its database the server writes to its two streams, and to no other file or service."""
    with (
        raw_server(ANSWER) as vendor,
        serving(tmp_path, vendor_url=vendor.url) as process,
    ):
        requests.post(f"{process.url}/v1/auth-tokens", headers=bearer(a_token()), timeout=10)
        files = open_files_of(process)
        process.end()

    logs = {name for name in files if not Path(name).name.startswith("tokensvc.db")}
    assert logs == {str(process.stdout), str(process.stderr)}
    assert len([line for line in process.records() if line.get("uid") == "alice"]) == 1


def test_v16_2_4_lines_are_json_and_can_be_joined() -> None:
    """Every line is one JSON object, and bears the id that the client and the proxy know."""
    service = a_service_with(FakeDirectory())
    answers = [
        service.login(),
        service.login("x.y.z"),
        service.client.get("/nothing", headers={"X-Request-Id": "01HV-proxy"}),
    ]

    lines = [json.loads(line) for line in service.log.getvalue().splitlines()]
    assert [line["request_id"] for line in lines] == [
        answer.headers["X-Request-Id"] for answer in answers
    ]
    assert lines[2]["request_id"] == "01HV-proxy"
    assert lines[1]["request_id"] == answers[1].get_json()["requestId"]


def test_v16_2_5_secrets_are_not_logged() -> None:
    """Neither session token nor auth token nor key is in the log, wherever a client puts them."""
    service = a_service_with(FakeDirectory())
    text = a_token()
    issued = service.login(text, headers={"User-Agent": f"x {text}"}).get_json()["authToken"]
    service.login(text, headers={"User-Agent": f"{SECRET} {API_KEY} {issued}"})
    service.login(text + "x", headers={"X-Request-Id": API_KEY})
    service.client.get(f"/{text}", headers={"User-Agent": f"Bearer {OTHER_SECRET}"})

    log = service.log.getvalue()
    leaked = [word for word in (text, issued, SECRET, API_KEY, OTHER_SECRET) if word in log]
    assert leaked == []
    assert len(service.records()) == 4


HOSTILE_TEXT = 'x\n{"event": "request", "uid": "admin"}\r\n\x1b[2J\u2028\x00"}'


def test_v16_4_1_no_line_can_be_forged() -> None:
    """Line breaks and quotes in what a caller writes stay inside of the one line."""
    service = a_service_with(FakeDirectory())
    answer = service.client.post(
        "/v1/auth-tokens",
        headers=bearer(a_token(iss=HOSTILE_TEXT)),
        environ_overrides={
            "HTTP_USER_AGENT": HOSTILE_TEXT.encode().decode("latin-1"),
            "REMOTE_ADDR": HOSTILE_TEXT,
            "HTTP_X_REQUEST_ID": HOSTILE_TEXT.encode().decode("latin-1"),
        },
    )

    (text,) = service.log.getvalue().splitlines()
    line = json.loads(text)
    assert text.isprintable()
    assert (answer.status_code, line["outcome"], "uid" in line) == (401, "session_invalid", False)
    assert line["unverified_issuer"] == HOSTILE_TEXT


def test_v16_4_1_no_event_can_be_forged() -> None:
    """The same holds for operational events."""
    stream = io.StringIO()

    AuditLog(stream).note(OperationalEvent("neighbour_failed", {"kind": HOSTILE_TEXT}))

    (text,) = stream.getvalue().splitlines()
    assert json.loads(text)["kind"] == HOSTILE_TEXT
