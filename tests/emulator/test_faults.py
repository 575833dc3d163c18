"""Faults on order: each misbehaves as it says, to whom it says, as often as it says."""

import gzip
import socket
from contextlib import suppress
from typing import Any

import pytest
import requests

from tests.emulator.emulated import API_KEY, APP_ID, Caller, a_caller
from tokensvc.emulator.faults import KINDS, KINDS_WITHOUT_ANSWER, FaultError, parse_fault

TOKENS = "/users/alice/auth_tokens"


def order(vendor: Caller, text: str) -> requests.Response:
    """Order a fault over HTTP."""
    return requests.post(
        f"{vendor.emulator.url}/emulator/faults",
        json={"fault": text},
        headers={"apikey": API_KEY},
        timeout=5,
    )


def raw_answer(vendor: Caller, *, read_s: float = 5) -> bytes:
    """Ask for a token over a bare socket, and return all that comes back."""
    request = (
        f"POST /v3{TOKENS} HTTP/1.1\r\nHost: 127.0.0.1\r\napikey: {API_KEY}\r\n"
        "Content-Length: 0\r\nConnection: close\r\n\r\n"
    )
    pieces = []
    with socket.create_connection(("127.0.0.1", vendor.emulator.port), timeout=read_s) as wire:
        wire.sendall(request.encode())
        try:
            while piece := wire.recv(65536):
                pieces.append(piece)
        except (ConnectionResetError, TimeoutError):
            pieces.append(b"<cut>")
    return b"".join(pieces)


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 429, 500, 502, 503, 504])
def test_status(vendor: Caller, alice: str, status: int) -> None:
    """Any status can be ordered, with an envelope."""
    order(vendor, f"status={status}")

    answer = vendor.call("POST", f"/users/{alice}/auth_tokens")

    assert answer.status_code == status
    assert answer.json()["error"]["code"]


@pytest.mark.parametrize("value", ["0", "15", "86400", "Thu, 01 Jan 2032 00:00:00 GMT", "junk", ""])
@pytest.mark.usefixtures("alice")
def test_429_with_each_retry_after(vendor: Caller, value: str) -> None:
    """Retry-After is sent as it was ordered, or not at all."""
    order(vendor, f"429={value}")

    answer = vendor.call("POST", TOKENS)

    assert (answer.status_code, answer.headers.get("Retry-After", "")) == (429, value)


@pytest.mark.usefixtures("alice")
def test_times(vendor: Caller) -> None:
    """A fault strikes as often as it says, and then no more."""
    order(vendor, "status=503;times=2")

    statuses = [vendor.call("POST", TOKENS).status_code for _ in range(4)]

    assert statuses == [503, 503, 200, 200]


@pytest.mark.usefixtures("alice")
def test_for_a_time(vendor: Caller) -> None:
    """Or for as long as it says."""
    order(vendor, "status=503;for=10")
    during = vendor.call("POST", TOKENS).status_code
    vendor.clock.now += 10

    assert (during, vendor.call("POST", TOKENS).status_code) == (503, 200)


@pytest.mark.parametrize(
    "scope", ["uid=alice", "path=*/users/alice/*", "path=*/alice/*;method=POST"]
)
@pytest.mark.usefixtures("alice")
def test_only_whom_it_is_for(vendor: Caller, scope: str) -> None:
    """A fault for one user, route or method leaves the others alone."""
    vendor.create("bob")
    order(vendor, f"status=503;{scope}")

    statuses = [
        vendor.call("POST", f"/users/{uid}/auth_tokens").status_code for uid in ("alice", "bob")
    ]

    assert statuses == [503, 200]


def test_for_the_user_that_is_created(vendor: Caller) -> None:
    """A creation is about the user in its body."""
    order(vendor, "status=503;uid=carol;times=1")

    answer = vendor.call("POST", "/users", json={"uid": "carol", "name": "Carol"})

    assert answer.status_code == 503


@pytest.mark.usefixtures("alice")
def test_cleared(vendor: Caller) -> None:
    """All faults can be taken back."""
    order(vendor, "status=503")
    requests.delete(
        f"{vendor.emulator.url}/emulator/faults", headers={"apikey": API_KEY}, timeout=5
    )

    assert vendor.call("POST", TOKENS).status_code == 200


def test_listed(vendor: Caller) -> None:
    """What is in force can be seen, with how often it struck."""
    order(vendor, "429=15;path=*/roles;times=3")
    vendor.call("GET", "/roles")

    listed = requests.get(
        f"{vendor.emulator.url}/emulator/faults", headers={"apikey": API_KEY}, timeout=5
    ).json()["data"]

    assert [(fault["kind"], fault["value"], fault["struck"]) for fault in listed] == [
        ("429", "15", 1)
    ]


@pytest.mark.parametrize(
    ("fault", "begins", "ends"),
    [
        ("reset", b"", b"<cut>"),
        ("reset-in-body", b"HTTP/1.1 200", b"<cut>"),
        ("truncated", b"HTTP/1.1 200", b""),
        ("wrong-length", b"HTTP/1.1 200", b"}"),
        ("html", b"HTTP/1.1 200", b"</h1>"),
        ("empty", b"HTTP/1.1 200", b"\r\n\r\n"),
        ("not-json", b"HTTP/1.1 200", b'{"data":'),
        ("redirect=https://x.test/", b"HTTP/1.1 302", b"\r\n\r\n"),
        ("drip=0.001", b"HTTP/1.1 200", b"}"),
        ("drip-headers=0.001", b"HTTP/1.1 200", b"}"),
    ],
)
@pytest.mark.usefixtures("alice")
def test_on_the_wire(vendor: Caller, fault: str, begins: bytes, ends: bytes) -> None:
    """What arrives is what was ordered, byte by byte."""
    order(vendor, fault)

    answer = raw_answer(vendor)

    assert answer.startswith(begins)
    assert answer.endswith(ends)


@pytest.mark.parametrize("fault", ["truncated", "reset-in-body", "wrong-length"])
@pytest.mark.usefixtures("alice")
def test_less_arrives_than_was_declared(vendor: Caller, fault: str) -> None:
    """The declared length is more than what comes."""
    order(vendor, fault)

    head, _, body = raw_answer(vendor).removesuffix(b"<cut>").partition(b"\r\n\r\n")

    declared = int(head.rpartition(b"Content-Length: ")[2].split()[0])
    assert len(body) < declared


@pytest.mark.usefixtures("alice")
def test_huge(vendor: Caller) -> None:
    """A hundred megabytes really come."""
    order(vendor, "huge")

    assert len(raw_answer(vendor, read_s=20)) > 100 * 1024 * 1024


@pytest.mark.usefixtures("alice")
def test_gzip_bomb(vendor: Caller) -> None:
    """A small answer unpacks to a hundred megabytes."""
    order(vendor, "gzip-bomb")

    head, _, body = raw_answer(vendor).partition(b"\r\n\r\n")

    assert b"Content-Encoding: gzip" in head
    assert len(body) < 1024 * 1024
    assert len(gzip.decompress(body)) == 100 * 1024 * 1024


@pytest.mark.usefixtures("alice")
def test_hang(vendor: Caller) -> None:
    """Nothing comes, until the emulator ends."""
    order(vendor, "hang")

    assert raw_answer(vendor, read_s=0.3) == b"<cut>"


@pytest.mark.usefixtures("alice")
def test_wrong_uid(vendor: Caller) -> None:
    """The answer is somebody else's."""
    order(vendor, "wrong-uid")

    assert vendor.call("POST", TOKENS).json()["data"]["uid"] == "somebody-else"


@pytest.mark.usefixtures("alice")
def test_late(vendor: Caller) -> None:
    """Latency changes the time and nothing else."""
    order(vendor, "latency=0.01")

    assert vendor.call("POST", TOKENS).json()["data"]["uid"] == "alice"


def test_done_and_500(vendor: Caller) -> None:
    """The user is there, although the answer says that it failed."""
    order(vendor, "late-500;times=1")

    answer = vendor.call("POST", "/users", json={"uid": "carol", "name": "Carol"})

    assert (answer.status_code, "carol" in vendor.app.users) == (500, True)


@pytest.mark.parametrize("kind", sorted(KINDS_WITHOUT_ANSWER - {"hang", "huge", "status"}))
def test_refused_requests_did_nothing(vendor: Caller, kind: str) -> None:
    """Where nothing was answered rightly, nothing was done, and the journal says 0."""
    order(vendor, f"{kind};times=1")
    with suppress(requests.RequestException):
        vendor.call("POST", "/users", json={"uid": "carol", "name": "C"}, allow_redirects=False)

    assert "carol" not in vendor.app.users
    assert [entry.status for entry in vendor.emulator.requests] == [0]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nothing",
        "status",
        "status=7",
        "latency=x",
        "latency=-1",
        "429;times=0",
        "429;x=1",
        "429;times=x",
        "429;for=x",
        "hang=4000",
        "429=" + "x" * 501,
        "redirect=a\nb",
    ],
)
def test_orders_that_are_not_understood(vendor: Caller, text: str) -> None:
    """A mistake is told, and nothing misbehaves."""
    answer = order(vendor, text)

    assert answer.status_code == 400
    assert answer.json()["error"]["details"]["fault"]
    assert vendor.emulator.faults.listed() == []


@pytest.mark.parametrize("body", [None, [], {}, {"fault": 7}, "x"])
def test_bodies_that_are_no_order(vendor: Caller, body: Any) -> None:
    """So are bodies that hold none."""
    answer = requests.post(
        f"{vendor.emulator.url}/emulator/faults", json=body, headers={"apikey": API_KEY}, timeout=5
    )

    assert answer.status_code == 400


@pytest.mark.parametrize("headers", [{}, {"apikey": "wrong"}])
def test_control_needs_a_key(vendor: Caller, headers: dict[str, str]) -> None:
    """A page in a browser of this machine cannot order anything."""
    answer = requests.post(
        f"{vendor.emulator.url}/emulator/faults",
        json={"fault": "status=503"},
        headers=headers,
        timeout=5,
    )

    assert (answer.status_code, vendor.emulator.faults.listed()) == (401, [])


def test_control_is_no_part_of_the_vendor(vendor: Caller) -> None:
    """Under a host name of the vendor the path is unknown."""
    answer = requests.get(
        f"{vendor.emulator.url}/emulator/faults",
        headers={"apikey": API_KEY, "Host": f"{APP_ID}.api-us.cometchat.io"},
        timeout=5,
    )

    assert answer.json()["error"]["code"] == "ERR_API_NOT_FOUND"


def test_too_many_orders() -> None:
    """Orders are bounded too."""
    with a_caller() as vendor:
        for _ in range(100):
            vendor.emulator.faults.order(parse_fault("empty", 0))

        with pytest.raises(FaultError):
            vendor.emulator.faults.order(parse_fault("empty", 0))


def test_every_kind_is_explained() -> None:
    """Each kind says in a line what it does."""
    assert all(text for text in KINDS.values())
