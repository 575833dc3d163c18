"""Bodies of deliveries: nobody waits for one that cannot be good, and strangers hold few places."""

import io
import json
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.builders import NOW, settings
from tests.processes import Process, serving
from tests.web.signing import OTHER_KEY, SOURCES, a_secret, a_whsec, ed25519, standard, write_jwks
from tests.web.webhook_service import WebhookService, service_of_all
from tokensvc.domain.deliveries import Heading
from tokensvc.domain.receiving import Receiver
from tokensvc.services import assemble

BODY = {"type": "user.created", "timestamp": NOW, "data": {"id": "alice", "name": "Alice"}}


@pytest.fixture
def service(tmp_path: Path) -> WebhookService:
    return service_of_all(tmp_path)


class Unwanted(io.RawIOBase):
    """A body that nobody should ask for."""

    def readable(self) -> bool:
        return True

    def readinto(self, _: bytearray, /) -> int:  # type: ignore[override]  # (any buffer)
        raise AssertionError("the body was waited for")


def knocking(service: WebhookService, source: str, headers: Mapping[str, str]) -> Any:
    """Deliver *headers*, and behind them a body that nobody should ask for."""
    unwanted = {"wsgi.input": Unwanted(), "CONTENT_LENGTH": "100"}
    raw = {f"HTTP_{name.upper().replace('-', '_')}": text for name, text in headers.items()}
    path = f"/v1/webhooks/{source}"
    return service.client.post(path, environ_overrides={**raw, **unwanted})


@pytest.mark.parametrize("name", sorted(set(SOURCES) - {"kinde"}))
def test_no_body_is_waited_for_without_headers_of_the_sender(
    name: str, service: WebhookService
) -> None:
    """Where the headers are not the sender's, the answer is the usual one, and is there at once."""
    late = service.deliver("clerk", BODY, secret=a_whsec("other"))

    answers = [knocking(service, name, {}), knocking(service, name, of_another_sender(name))]

    assert [told(answer) for answer in answers] == [told(late)] * 2


def told(answer: Any) -> tuple[int, dict[str, Any], list[str]]:
    """Return what an answer says to a stranger, but for its id."""
    body = {name: value for name, value in answer.get_json().items() if name != "requestId"}
    return answer.status_code, body, list(answer.headers.keys())


def of_another_sender(name: str) -> dict[str, str]:
    """Return headers as the sender has them, of another time, secret or key than the source's."""
    source = SOURCES[name]
    changes = {"secret": "x:" + a_secret("other"), "key": OTHER_KEY, "at": NOW - 1000}
    if source.sign in {standard, ed25519}:
        del changes["secret"]
    _, headers = source.deliver(b"{}", **changes)
    is_untimed = "hmac" in source.sign.__qualname__ and source.sender != "workos"
    return dict.fromkeys(headers, "g" * 64) if is_untimed else headers


def receiver(name: str, folder: Path) -> Receiver:
    """Return what takes in the deliveries of the source *name*."""
    table = SOURCES[name].table(write_jwks(folder))
    chosen = settings(webhooks=[table])
    services = assemble(chosen, now=lambda: NOW, log_stream=io.StringIO())
    return services.webhooks.endpoints[name].receiver


PROVEN_BY_HEADERS = [
    *("auth0", "auth0-basic", "supabase-db", "okta"),
    *("fusionauth", "fusionauth-jwks", "keycloak-jwt"),
]


@pytest.mark.parametrize("name", PROVEN_BY_HEADERS)
def test_headers_that_prove_the_sender(name: str, tmp_path: Path) -> None:
    """A shared token or a JWT is proof enough that a body is worth waiting for."""
    _, headers = SOURCES[name].deliver(b"{}")

    assert receiver(name, tmp_path).admit(Heading(headers, NOW))


@pytest.mark.parametrize("name", sorted(set(SOURCES) - set(PROVEN_BY_HEADERS)))
def test_headers_that_prove_nothing_yet(name: str, tmp_path: Path) -> None:
    """And a signature over the body is none before the body is there."""
    _, headers = SOURCES[name].deliver(b"{}")

    assert not receiver(name, tmp_path).admit(Heading(headers, NOW))


def a_body_that_never_comes(
    process: Process, headers: Mapping[str, str], *, source: str = "standard", by: str = "127.0.0.1"
) -> socket.socket:
    """Begin a delivery from the address *by*, and leave it at that."""
    host, port = process.url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=5, source_address=(by, 0))
    lines = "".join(f"{name}: {text}\r\n" for name, text in headers.items())
    head = f"POST /v1/webhooks/{source} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n"
    connection.sendall(f"{head}{lines}\r\n{{".encode())
    return connection


def now_signed(number: int, *, secret: str = SOURCES["standard"].secret) -> dict[str, Any]:
    body = json.dumps({"type": "user.created", "data": {"id": f"user-{number}"}}).encode()
    changes = {"message_id": f"m{number}", "at": time.time(), "secret": secret}
    data, headers = SOURCES["standard"].deliver(body, **changes)
    return {"data": data, "headers": headers}


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    """Run the service with two sources, of which neither has heard anything yet."""
    tables = [SOURCES[name].table("") for name in ("standard", "logto")]
    webhooks = {"TOKENSVC_WEBHOOKS": json.dumps(tables)}
    with serving(tmp_path, vendor_url="http://127.0.0.1:9", **webhooks) as process:
        yield process


def deliver(process: Process, *numbers: int) -> list[int]:
    url = f"{process.url}/v1/webhooks/standard"
    return [requests.post(url, timeout=10, **now_signed(number)).status_code for number in numbers]


def test_bodies_without_headers_keep_nobody_out(process: Process) -> None:
    """However many connections a stranger leaves open, of the very address that the sender has."""
    with ExitStack() as stack:
        for source in ("standard", "logto") * 100:
            stack.enter_context(a_body_that_never_comes(process, {}, source=source))

        assert deliver(process, 1, 2, 3) == [202] * 3


def test_forged_headers_keep_no_known_sender_out(process: Process) -> None:
    """Whatever strangers of a hundred networks hold, a sender who was here before is let in."""
    first = deliver(process, 0)
    forged = now_signed(0, secret=a_whsec("other"))["headers"]
    with ExitStack() as stack:
        for number in range(100):
            stranger = f"127.0.1.{number + 1}"
            stack.enter_context(a_body_that_never_comes(process, forged, by=stranger))
        # The server has taken them in when it has answered the first who find no place.
        later = deliver(process, 1, 2, 3)
        ready = requests.get(f"{process.url}/livez", timeout=5).status_code

    assert (first, later, ready) == ([202], [202] * 3, 200)


def test_forged_headers_of_one_network_keep_nobody_out(process: Process) -> None:
    """A stranger of one network leaves places to strangers, of whom one is a sender."""
    forged = now_signed(0, secret=a_whsec("other"))["headers"]
    with ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(a_body_that_never_comes(process, forged, by="127.0.1.1"))

        assert deliver(process, 1, 2, 3) == [202] * 3
