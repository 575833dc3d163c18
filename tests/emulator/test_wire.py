"""The wire: framing, kept connections, TLS, and what is no HTTP at all."""

import json
import socket
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from tests.emulator.emulated import API_KEY, Caller, a_caller, a_request, say
from tests.journeys.certificates import a_certificate
from tokensvc.emulator import EmulatorServer

ALICE = b'{"uid": "alice", "name": "Alice"}'
CHUNKED = "Transfer-Encoding: chunked"


def in_chunks(body: bytes, *, end: bytes = b"0\r\n\r\n") -> bytes:
    """Return *body* in chunks of one byte."""
    return b"".join(b"1\r\n%c\r\n" % byte for byte in body) + end


def status_of(answer: bytes) -> int:
    """Return the status of a whole answer."""
    return int(answer.split(b" ", 2)[1])


@pytest.mark.parametrize(
    "end", [b"0\r\n\r\n", b"0\r\nTrailer: x\r\n\r\n", b"0;extension=1\r\n\r\n", b"000\r\n\r\n"]
)
def test_chunks(vendor: Caller, end: bytes) -> None:
    """A body in chunks is read like any other."""
    answer = say(vendor.emulator.port, a_request(in_chunks(ALICE, end=end), CHUNKED))

    assert status_of(answer) == 200
    assert vendor.emulator.requests[0].body == json.loads(ALICE)


def test_chunks_keep_the_connection(vendor: Caller) -> None:
    """After a body in chunks the next request is read from its beginning."""
    vendor.data("POST", "/users", data=iter([ALICE[:5], ALICE[5:]]))

    assert [user["uid"] for user in vendor.data("GET", "/users")] == ["alice"]


@pytest.mark.parametrize(
    "headers",
    [
        ["Content-Length: x"],
        ["Content-Length: -1"],
        ["Content-Length: +33"],
        ["Content-Length: \xb2"],
        ["Content-Length: " + "9" * 5000],
        ["Content-Length: 33", "Content-Length: 34"],
        ["Transfer-Encoding: gzip"],
        [CHUNKED],
    ],
)
def test_body_without_an_end(vendor: Caller, headers: list[str]) -> None:
    """If nobody can say where the body ends it is a 400, and nothing happens."""
    head = a_request(b"", *headers).decode().encode("latin-1")

    answer = say(vendor.emulator.port, head + ALICE)

    assert status_of(answer) == 400
    assert vendor.app.users == {}


def test_body_with_two_ends(vendor: Caller) -> None:
    """A length beside chunks is refused, though each by itself were good."""
    body = in_chunks(ALICE)

    answer = say(vendor.emulator.port, a_request(body, f"Content-Length: {len(body)}", CHUNKED))

    assert status_of(answer) == 400
    assert vendor.app.users == {}


def test_no_length_is_no_body(vendor: Caller) -> None:
    """Without a length there is no body, whatever follows."""
    say(vendor.emulator.port, a_request(ALICE))

    assert vendor.emulator.requests[0].body is None


@pytest.mark.parametrize(
    "headers", [["Content-Length: 34"], ["Content-Length: 999999999999"], [CHUNKED]]
)
def test_half_a_request(vendor: Caller, headers: list[str]) -> None:
    """A request that breaks off is not acted upon."""
    body = ALICE if "Length" in headers[0] else b"ff\r\n" + ALICE

    answer = say(vendor.emulator.port, a_request(body, *headers))

    assert answer == b""
    assert vendor.app.users == {}


def test_half_a_delete(vendor: Caller, alice: str) -> None:
    """A delete whose body breaks off before its first byte deactivates nobody."""
    head = a_request(b"", "Content-Length: 20", method="DELETE", path=f"/v3/users/{alice}")

    say(vendor.emulator.port, head)

    assert vendor.app.users[alice].deactivated_at is None


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET /v3/users HTTP/9.9\r\n\r\n", 505),
        (b"GET /v3/users HTTP/x\r\n\r\n", 400),
        (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\na: " + b"x" * 70_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n", 431),
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400),
        (b"GET /nothing\r\n\r\n", 404),
    ],
)
def test_no_http(vendor: Caller, text: bytes, status: int) -> None:
    """What is no HTTP is answered by an envelope too, and any page may read it."""
    head, _, body = say(vendor.emulator.port, text).partition(b"\r\n\r\n")

    assert status_of(head) == status
    assert b"Access-Control-Allow-Origin: *" in head
    assert "error" in json.loads(body)


@pytest.mark.parametrize("text", [b"", b"\r\n", b"GET", b"GET /v3/users HTTP/1.1\r\nHost: x"])
def test_going_away(vendor: Caller, text: bytes) -> None:
    """Who hangs up early disturbs nobody."""
    say(vendor.emulator.port, text)

    assert vendor.call("GET", "/users").status_code == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("//v3//users", 404),
        ("/v3//users", 404),
        ("/v3/users/", 200),
        ("/v3/%75sers", 404),
        ("/v3/../v3/users", 404),
        ("/v3/users?perPage=1?", 200),
        ("http://x/v3/users", 404),
        ("*", 404),
        ("/v3/us\xffers", 404),
    ],
)
def test_paths_as_they_are(vendor: Caller, path: str, status: int) -> None:
    """Nothing in a path is tidied, decoded or resolved, but for the last slash."""
    text = a_request(method="GET", path=path).decode().encode("latin-1")

    assert status_of(say(vendor.emulator.port, text)) == status


@pytest.mark.parametrize("header", ["Origin", "Access-Control-Request-Headers"])
def test_no_header_is_smuggled(vendor: Caller, header: str) -> None:
    """A folded header cannot start a line of the answer."""
    text = a_request(b"", f"{header}: a\r\n Injected: yes", method="OPTIONS")

    lines = say(vendor.emulator.port, text).split(b"\r\n")

    assert not [line for line in lines if line.strip().startswith(b"Injected")]


def test_kept_connection(vendor: Caller) -> None:
    """One connection carries many requests, refusals among them."""
    with socket.create_connection(("127.0.0.1", vendor.emulator.port), timeout=10) as connection:
        text = a_request(method="GET", path="/v3/nothing").replace(b"Connection: close\r\n", b"")
        connection.sendall(text * 5)
        connection.shutdown(socket.SHUT_WR)
        answers = b"".join(iter(lambda: connection.recv(65536), b""))

    assert answers.count(b"HTTP/1.1 404") == 5
    assert len(vendor.emulator.requests) == 5


@pytest.mark.parametrize("text", [a_request(), b"POST /v3/users HTTP/1.0\r\n\r\n"])
def test_connection_that_is_not_kept(vendor: Caller, text: bytes) -> None:
    """Who asks to close, or speaks HTTP/1.0, gets one answer."""
    answers = say(vendor.emulator.port, text * 2)

    assert answers.count(b"HTTP/1.1 ") == 1


def test_stop_hangs_up(vendor: Caller) -> None:
    """A stopped emulator answers nobody, not even on a connection from before."""
    vendor.call("GET", "/users")

    vendor.emulator.stop()

    with pytest.raises(requests.ConnectionError):
        vendor.call("GET", "/users")


def test_start_again(vendor: Caller, alice: str) -> None:
    """Stopped and started, it is on its port again with all it knew."""
    vendor.emulator.stop()
    vendor.emulator.start()

    assert vendor.data("GET", f"/users/{alice}")["uid"] == alice


def test_taken_port(vendor: Caller) -> None:
    """A port that is taken is an OSError, and the first emulator goes on."""
    with pytest.raises(OSError, match="in use"):
        EmulatorServer(api_key=API_KEY, port=vendor.emulator.port).start()
    assert vendor.call("GET", "/users").status_code == 200


@pytest.fixture
def secure(tmp_path: Path) -> EmulatorServer:
    """Have an emulator with a certificate for localhost, not started yet."""
    certificate = a_certificate(tmp_path)
    return EmulatorServer(api_key=API_KEY, tls_cert=certificate.cert, tls_key=certificate.key)


def get(emulator: EmulatorServer, verify: str | bool) -> int:  # noqa: FBT001 (requests' own)
    """Ask over TLS for the users, and return the status."""
    url = f"https://localhost:{emulator.port}/v3/users"
    with requests.Session() as session:
        session.trust_env = False
        return session.get(url, headers={"apikey": API_KEY}, verify=verify, timeout=10).status_code


def test_tls(secure: EmulatorServer, tmp_path: Path) -> None:
    """With a certificate it speaks TLS, and a caller who trusts it is answered."""
    with secure:
        assert secure.rest_url.startswith("https://")
        assert get(secure, str(tmp_path / "cert.pem")) == 200


def test_tls_without_trust(secure: EmulatorServer, tmp_path: Path) -> None:
    """Without that trust it is not; the emulator goes on."""
    with secure:
        with pytest.raises(requests.exceptions.SSLError):
            get(secure, verify=True)
        assert get(secure, str(tmp_path / "cert.pem")) == 200


def test_silent_clients_block_nobody(secure: EmulatorServer, tmp_path: Path) -> None:
    """Who connects and never shakes hands keeps only a thread of its own."""
    with secure:
        silent = [socket.create_connection(("127.0.0.1", secure.port)) for _ in range(20)]
        try:
            assert get(secure, str(tmp_path / "cert.pem")) == 200
        finally:
            for connection in silent:
                connection.close()


@pytest.mark.parametrize("text", [b"GET /v3/users HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff", b""])
def test_no_tls(secure: EmulatorServer, tmp_path: Path, text: bytes) -> None:
    """Who speaks something else is dropped without an answer to it."""
    with secure:
        try:
            answer = say(secure.port, text)
        except OSError:  # a reset, which may come before all is said
            answer = b""

        assert b"HTTP" not in answer
        assert get(secure, str(tmp_path / "cert.pem")) == 200


@pytest.mark.parametrize("missing", ["cert.pem", "key.pem"])
def test_missing_certificate(secure: EmulatorServer, tmp_path: Path, missing: str) -> None:
    """Without its files it does not start, and leaves no port behind."""
    (tmp_path / missing).write_text("")

    with pytest.raises(ssl.SSLError):
        secure.start()
    assert secure.port == 0


def test_fifty_creations_at_once(vendor: Caller) -> None:
    """Of fifty creations of one uid exactly one succeeds; the rest are told why not."""
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: say(vendor.emulator.port, CREATION), range(50)))

    statuses = sorted(map(status_of, answers))
    assert statuses == [200] + [400] * 49
    assert sum(b"ERR_UID_ALREADY_EXISTS" in answer for answer in answers) == 49


CREATION = a_request(ALICE, f"Content-Length: {len(ALICE)}")


def test_two_creations_in_step(vendor: Caller) -> None:
    """Two creations never stand between check and entry together, however they are pushed."""
    vendor.clock.meeting = threading.Barrier(2)

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: say(vendor.emulator.port, CREATION), range(2)))

    assert sorted(map(status_of, answers)) == [200, 400]


def test_fifty_tokens_at_once() -> None:
    """Tokens made at once are all different, and no more than allowed stay valid."""
    with a_caller(tokens_per_user=10) as vendor:
        vendor.create()
        text = a_request(path="/v3/users/alice/auth_tokens")
        with ThreadPoolExecutor(50) as pool:
            list(pool.map(lambda _: say(vendor.emulator.port, text), range(50)))

        assert len(vendor.app.tokens) == 50
        assert len(vendor.app.tokens_of("alice")) == 10


def test_readers_and_writers_at_once(vendor: Caller) -> None:
    """What is read while others write is answered whole."""
    body = json.dumps({"name": "x", "metadata": {"a": "b" * 2000}}).encode()
    length = f"Content-Length: {len(body)}"
    texts = [
        a_request(body, length, method="PUT", path="/v3/roles/default"),
        a_request(
            b'{"unset":["metadata"]}', "Content-Length: 22", method="PUT", path="/v3/roles/default"
        ),
        a_request(method="GET", path="/v3/roles"),
    ]
    with ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(lambda text: say(vendor.emulator.port, text), texts * 100))

    assert {status_of(answer) for answer in answers} == {200}
