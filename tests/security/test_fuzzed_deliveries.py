"""Fuzzed deliveries: fifty thousand bodies and headers that nobody thought of.

The numbers are seeded, so that a failure comes again. Requests go straight into the
WSGI application: the test client would take most of the time. `make fuzz` sends all of
them, `make test` a fifth.
"""

import io
import json
import os
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import pytest

from tests.adapters.senders.recorded import WITH_EVENTS
from tests.web.signing import SOURCES
from tests.web.webhook_service import WebhookService, service_of_all

SHARE: Final = float(os.environ.get("FUZZ_SHARE", "0.2"))
SPOILED: Final = int(34_000 * SHARE)
RESHAPED: Final = int(16_000 * SHARE)
SIGNS_NO_BODY: Final = {"auth0", "auth0-basic", "supabase-db", "okta"}
ODD: Final[list[Any]] = [
    *(None, True, False, 0, -1, 1.5, 1e300, 10**30, "", " ", "\0", "x" * 300, "é" * 40, "../x"),
    *([], {}, [[]], {"id": {}}, "user.created", "9" * 400, "2027-99-99", "0000-01-01T00:00:00Z"),
    *("9999-12-31T23:59:59-23:59", "2027-01-01T00:00:00+99:99", -(10**18), 253402300800000),
]
BITS: Final = [
    *(b"", b"\0", b"\xff", b"{", b"}", b'"', b"\\u0000", b"\\ud800", b"1e999", b"NaN", b","),
    *(b"[" * 40, b'"id":"eve",', b" ", b"\r\n", b"\xef\xbb\xbf", b"=", b".", b"%00", b"v1,"),
]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> WebhookService:
    """Return a service with every source, whose log is not kept."""
    return service_of_all(tmp_path_factory.mktemp("keys"), uids={"strategy": "encoded"})


@dataclass
class Door:
    """The service as a WSGI server calls it."""

    service: WebhookService
    statuses: dict[int, int] = field(default_factory=dict)

    def post(self, source: str, body: bytes, headers: Mapping[str, str]) -> int:
        """Deliver and return the status; the inbox and the log hold this delivery alone."""
        self.service.inbox.forget()
        self.service.log.seek(0)
        self.service.log.truncate()
        started: list[int] = []

        def start(status: str, _headers: object, _info: object = None) -> Callable[[bytes], None]:
            started.append(int(status[:3]))
            return lambda _: None

        environ: dict[str, Any] = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": f"/v1/webhooks/{source}",
            "SCRIPT_NAME": "",
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            **{f"HTTP_{name.upper().replace('-', '_')}": text for name, text in headers.items()},
        }
        answer = self.service.client.application(environ, start)
        b"".join(answer)
        self.statuses[started[0]] = self.statuses.get(started[0], 0) + 1
        return started[0]


def spoiled(numbers: random.Random, raw: bytes) -> bytes:
    """Return *raw* with one to four pieces of it cut, doubled, turned or replaced."""
    for _ in range(numbers.randint(1, 4)):
        start = numbers.randint(0, len(raw))
        end = min(len(raw), start + numbers.choice((0, 1, 1, 2, 8, 40)))
        piece = numbers.choice(
            (*BITS, raw[start:end] * 2, raw[start:end][::-1], numbers.randbytes(2))
        )
        raw = raw[:start] + piece + raw[end:]
    return raw


def reshaped(numbers: random.Random, value: Any) -> Any:
    """Return a JSON value with some of what is in it replaced by what nobody expects."""
    if numbers.random() < 0.06:
        return numbers.choice(ODD)
    if isinstance(value, dict):
        kept = {name: reshaped(numbers, inner) for name, inner in value.items()}
        return {name: inner for name, inner in kept.items() if numbers.random() > 0.03}
    if isinstance(value, list):
        return [reshaped(numbers, inner) for inner in value]
    return value


def bare(headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers without what their schemes leave open: blanks, and the case of a word."""
    return {name: text.replace(" ", "").lower() for name, text in headers.items()}


def test_spoiled_deliveries(service: WebhookService) -> None:
    """Whatever becomes of a delivery on its way: no crash, and nothing unsigned is stored."""
    numbers = random.Random(2027)
    door = Door(service)
    genuine = [
        (case.source, *SOURCES[case.source].deliver(json.dumps(case.body).encode()))
        for case in WITH_EVENTS
    ]
    for _ in range(SPOILED):
        source, body, headers = numbers.choice(genuine)
        sent_body, sent_headers = body, dict(headers)
        if numbers.random() < 0.6:
            sent_body = spoiled(numbers, body)
        for name in numbers.sample(list(headers), numbers.randint(0, len(headers))):
            text = spoiled(numbers, headers[name].encode())
            sent_headers[name] = text.decode("latin-1").replace("\n", " ").replace("\r", " ")
        if numbers.random() < 0.05:
            source = numbers.choice(list(SOURCES))

        status = door.post(source, sent_body, sent_headers)

        assert status in {200, 202, 401}, (source, sent_body, sent_headers)
        if service.events():
            assert source == "kinde" or bare(sent_headers) == bare(headers), (source, sent_headers)
            assert sent_body == body or source in SIGNS_NO_BODY, (source, sent_body)
    assert door.statuses[202] > SPOILED / 100
    assert door.statuses[401] > SPOILED / 2


def test_reshaped_deliveries(service: WebhookService) -> None:
    """Whatever a sender may sign: no crash, and what is stored can be stored and applied."""
    numbers = random.Random(4)
    door = Door(service)
    stored = 0
    for _ in range(RESHAPED):
        case = numbers.choice(WITH_EVENTS)
        changed = reshaped(numbers, case.body)
        if not isinstance(changed, dict):
            continue
        raw = json.dumps(changed).encode()

        status = door.post(case.source, *SOURCES[case.source].deliver(raw))

        assert status in {200, 202} or (case.source == "kinde" and status == 401), (raw, status)
        for event in service.events():
            stored += 1
            assert 1 <= len(event.event_id) <= 200
            assert 0 <= event.version < 2**53
            assert 1 <= len(event.uid) <= 100
    assert stored > RESHAPED / 2
