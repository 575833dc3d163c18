"""The HTTP client: whole bounded answers or a fixed word, and nothing it was not told to do."""

import multiprocessing
import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.raw_server import Conversation, an_answer, raw_server
from tokensvc.adapters.http_client import (
    MAX_ANSWER_BYTES,
    Bounds,
    HTTPAnswer,
    HTTPClient,
    HTTPFailureError,
    retry_after_s,
)

KEY = {"apikey": "canary-key"}
OK = an_answer(b"{}")
QUICK = Bounds(connect_s=0.5, read_s=0.3, total_s=0.6)


def a_client(url: str, *, bounds: Bounds | None = None, pool_size: int = 4) -> HTTPClient:
    return HTTPClient(url + "/v3", pool_size=pool_size, bounds=bounds)


def send(client: HTTPClient) -> HTTPAnswer:
    return client.send("POST", "/users", b"{}", KEY)


def failure_of(answer: bytes | Conversation) -> str:
    """Return the fixed word for *answer*."""
    with raw_server(answer) as server, pytest.raises(HTTPFailureError) as raised:
        a_client(server.url, bounds=QUICK).send("POST", "/users", b"{}", KEY)
    return raised.value.reason


def test_request_is_sent_as_asked() -> None:
    """Method, path, body and headers arrive; no compression is asked for."""
    with raw_server(OK) as server:
        answer = a_client(server.url).send("POST", "/users/a/auth_tokens", b'{"a":1}', KEY)

    head = server.requests[0].lower()
    assert (answer.status, answer.body, answer.is_json) == (200, b"{}", True)
    assert head.startswith(b"post /v3/users/a/auth_tokens http/1.1\r\n")
    for line in (b"apikey: canary-key", b"accept-encoding: identity", b"accept: application/json"):
        assert line in head
    assert head.endswith(b'\r\n\r\n{"a":1}')


def test_connections_are_kept() -> None:
    """Twenty calls in a row need one connection."""
    with raw_server(OK) as server:
        client = a_client(server.url)
        for _ in range(20):
            client.send("POST", "/users", b"{}", KEY)

    assert (server.connections, len(server.requests)) == (1, 20)


def test_chunked_answers_keep_their_connection_too() -> None:
    """An answer of unknown length is read to its end."""
    chunked = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    )
    with raw_server(chunked) as server:
        client = a_client(server.url)
        bodies = {client.send("POST", "/users", b"{}", KEY).body for _ in range(3)}

    assert (server.connections, bodies) == (1, {b"{}"})


def test_connection_that_the_server_closed_is_not_used_again() -> None:
    """A keep-alive connection that went stale in between costs no login."""
    closed = threading.Event()

    def answer_and_close(connection: socket.socket) -> None:
        connection.sendall(OK)
        connection.shutdown(socket.SHUT_RDWR)
        closed.set()

    with raw_server(answer_and_close, OK) as server:
        client = a_client(server.url)
        first = client.send("POST", "/users", b"{}", KEY).status
        closed.wait(5)
        second = client.send("POST", "/users", b"{}", KEY).status

    assert (server.connections, first, second) == (2, 200, 200)


MANY = 12


class Firewall:
    """A server that answers on new connections, and on none that are older than `forgets`."""

    def __init__(self, *, in_body: bool) -> None:
        self.generation = 0
        self._in_body = in_body
        self._born: dict[socket.socket, int] = {}
        self._meeting = threading.Barrier(MANY)

    def forgets(self) -> None:
        self.generation += 1

    def __call__(self, connection: socket.socket) -> None:
        if self._born.setdefault(connection, self.generation) == self.generation:
            if self.generation == 0:
                self._meeting.wait(5)  # so that each has a connection of its own
            connection.sendall(OK)
        elif self._in_body:
            connection.sendall(OK.partition(b"{")[0])


@pytest.mark.parametrize("in_body", [False, True])
def test_connections_that_nobody_remembers_cost_one_call(*, in_body: bool) -> None:
    """However many are kept: where one is silent, those that are as old are not asked."""
    firewall = Firewall(in_body=in_body)
    with raw_server(firewall) as server:
        client = a_client(server.url, bounds=QUICK, pool_size=MANY)
        with ThreadPoolExecutor(MANY) as pool:
            list(pool.map(lambda _: send(client), range(MANY)))
        firewall.forgets()

        with pytest.raises(HTTPFailureError, match="timeout"):
            send(client)

        assert [send(client).status for _ in range(3)] == [200] * 3
    assert server.connections == MANY + 1


def test_connections_that_have_answered_since_are_kept() -> None:
    """One call that nobody answers does not cost what others have just proven."""
    release = threading.Event()

    def slow(connection: socket.socket) -> None:
        release.wait(5)
        connection.close()

    with raw_server(OK, slow, OK) as server:
        client = a_client(server.url, bounds=QUICK)
        send(client)
        with ThreadPoolExecutor(1) as pool:
            failing = pool.submit(send, client)
            while len(server.requests) < 2:
                time.sleep(0.01)
            send(client)
            with pytest.raises(HTTPFailureError, match="timeout"):
                failing.result()
        send(client)
        release.set()
    assert server.connections == 2


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"])
def test_redirects_are_not_followed(status: str) -> None:
    """The key does not travel to where an answer points."""
    with raw_server(OK) as other:
        redirect = an_answer(b"", f"Location: {other.url}/x", status=status)
        with raw_server(redirect) as server:
            answer = a_client(server.url).send("POST", "/users", b"{}", KEY)

    assert answer.status == int(status[:3])
    assert other.connections == 0


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy would read the key."""
    with raw_server(OK) as proxy, raw_server(OK) as server:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        a_client(server.url).send("POST", "/users", b"{}", KEY)

    assert (proxy.connections, server.connections) == (0, 1)


def test_netrc_is_not_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nobody's netrc adds credentials."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login u password canary-netrc\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with raw_server(OK) as server:
        a_client(server.url).send("POST", "/users", b"{}", KEY)

    assert b"authorization" not in server.requests[0].lower()


def test_cookies_are_not_kept() -> None:
    """A cookie that came with one user's answer does not travel with another's call."""
    with raw_server(an_answer(b"{}", "Set-Cookie: user=alice; Path=/")) as server:
        client = a_client(server.url)
        for _ in range(2):
            client.send("POST", "/users", b"{}", KEY)

    assert b"cookie" not in server.requests[1].lower()


def test_large_answers_are_cut_off() -> None:
    """An answer over the limit is a failure, and its rest is not read."""
    sent = 0

    def flood(connection: socket.socket) -> None:
        nonlocal sent
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n")
        for _ in range(1600):
            connection.sendall(b"x" * 65536)
            sent += 65536

    assert failure_of(flood) == "answer_too_large"
    assert sent < 100 * 1024 * 1024


def test_answers_up_to_the_limit_are_read() -> None:
    """The limit itself still fits."""
    with raw_server(an_answer(b"x" * MAX_ANSWER_BYTES)) as server:
        answer = a_client(server.url).send("POST", "/users", b"{}", KEY)

    assert len(answer.body) == MAX_ANSWER_BYTES


def _drip(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(1000):
        connection.sendall(b"x")
        time.sleep(0.05)


def _dripping(head: bytes, drop: bytes) -> Conversation:
    """Send *head*, and then *drop* over and over: each read succeeds, and nothing ends."""

    def drip(connection: socket.socket) -> None:
        connection.sendall(head)
        for _ in range(1000):
            connection.sendall(drop)
            time.sleep(0.05)

    return drip


STATUS_LINE = b"HTTP/1.1 200 OK\r\n"
CHUNKED = STATUS_LINE + b"Transfer-Encoding: chunked\r\n\r\n"


def _hang(connection: socket.socket) -> None:
    connection.recv(1)


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.close()


def _half(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")
    connection.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (_hang, "timeout"),
        (_drip, "timeout"),
        (_reset, "connection_failed"),
        (_half, "connection_failed"),
        (_dripping(b"HTTP/1.1 200 O", b"K"), "timeout"),
        (_dripping(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"), "timeout"),
        (_dripping(STATUS_LINE, b"x"), "timeout"),
        (_dripping(CHUNKED, b"0"), "timeout"),
        (_dripping(CHUNKED + b"2;", b"x"), "timeout"),
        (_dripping(CHUNKED + b"2\r\n{}\r\n0\r\n", b"x: y\r\n"), "timeout"),
        (_dripping(b"HTTP/1.1 302 Found\r\nContent-Length: 999\r\n\r\n", b"x"), "timeout"),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n", "answer_not_final"),
        (b"not http at all\r\n\r\n", "connection_failed"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "connection_failed"),
    ],
    ids=[
        *("hang", "drip", "reset", "half", "status line", "interim answers", "header"),
        *("chunk size", "chunk extension", "trailers", "redirect", "early hints"),
        *("not http", "bad chunk"),
    ],
)
def test_failures_have_a_word(answer: bytes | Conversation, reason: str) -> None:
    """Whatever happens on the way ends in a fixed word, and in time."""
    assert failure_of(answer) == reason


@pytest.mark.parametrize("location", ["http://[", "http://x/\\xff\\xfe", "x" * 5000])
def test_target_of_a_redirect_is_not_even_read(location: str) -> None:
    """A redirect is an answer like another: its target is nobody's business."""
    with raw_server(an_answer(b"{}", f"Location: {location}", status="302 Found")) as server:
        answer = a_client(server.url).send("POST", "/users", b"{}", KEY)

    assert (answer.status, answer.body) == (302, b"{}")


def test_redirects_are_bounded_too() -> None:
    """The body of a redirect has the same limit as any other."""
    head = b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 104857600\r\n\r\n"
    assert failure_of(_dripping(head, b"x" * 1024 * 1024)) == "answer_too_large"


def test_interim_answer_does_not_shift_the_next() -> None:
    """What belongs to one call is not read as the answer to the next."""
    with raw_server(b"HTTP/1.1 103 Early Hints\r\n\r\n", OK) as server:
        client = a_client(server.url)
        with pytest.raises(HTTPFailureError):
            client.send("POST", "/users", b"{}", KEY)
        client.send("POST", "/users", b"{}", KEY)

    assert server.connections == 2


def test_libraries_do_not_log_what_was_sent(caplog: pytest.LogCaptureFixture) -> None:
    """A malformed header is no answer, and nobody quotes it."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\ncanary without a colon\r\n\r\n{}"

    assert failure_of(answer) == "connection_failed"
    assert caplog.text == ""


def test_what_is_behind_an_answer_is_nobodys(caplog: pytest.LogCaptureFixture) -> None:
    """Bytes that nobody asked for spoil no answer, and are not read as the next one."""
    with raw_server(OK + OK.replace(b"{}", b"[]"), OK) as server:
        client = a_client(server.url)
        bodies = [client.send("POST", "/users", b"{}", KEY).body for _ in range(2)]

    assert (server.connections, bodies) == (2, [b"{}", b"{}"])
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/users/a b", {}),
        ("/users/a\r\nX: y", {}),
        ("/users/\u00e9", {}),
        ("/users", {"apikey": "key\r\nX: y"}),
        ("/users", {"apikey": "key\n"}),
        ("/users", {"apikey": "key\0"}),
        ("/users", {"apikey": "\u20ac"}),
    ],
)
def test_what_would_be_two_requests_is_not_sent(path: str, headers: dict[str, str]) -> None:
    """Whatever got into a path or a header by mistake, one request stays one."""
    with raw_server(OK) as server, pytest.raises(HTTPFailureError) as raised:
        a_client(server.url).send("POST", path, b"{}", headers)

    assert (server.requests, raised.value.is_sent) == ([], False)


def test_head_without_end_is_cut_off() -> None:
    """A head takes no more memory than 64 KB, however fast it comes."""
    head = b"HTTP/1.1 200 OK\r\n" + b"X-Filler: y\r\n" * 100_000

    assert failure_of(head) == "connection_failed"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        b"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n{}",
    ],
    ids=["two lengths", "length and chunks", "bare line feeds", "negative"],
)
def test_answers_that_two_would_read_differently(answer: bytes) -> None:
    """Where an answer ends is not a matter of opinion."""
    assert failure_of(answer) == "connection_failed"


def test_nobody_listens() -> None:
    """A refused connection is a failure like another."""
    with pytest.raises(HTTPFailureError) as raised:
        a_client("http://127.0.0.1:9").send("POST", "/users", b"{}", KEY)

    assert raised.value.reason == "connection_failed"
    assert raised.value.__cause__ is None


def test_unasked_compression_is_not_unpacked() -> None:
    """A gzip bomb stays as small as it came."""
    bomb = an_answer(b"\x1f\x8b" + b"\0" * 100, "Content-Encoding: gzip")
    with raw_server(bomb) as server:
        answer = a_client(server.url).send("POST", "/users", b"{}", KEY)

    assert len(answer.body) == 102


def test_processes_do_not_share_sockets() -> None:
    """After a fork the child connects for itself."""
    with raw_server(OK) as server:
        client = a_client(server.url)
        client.send("POST", "/users", b"{}", KEY)
        child = multiprocessing.get_context("fork").Process(target=_send_and_exit, args=(client,))
        child.start()
        child.join(20)
        client.send("POST", "/users", b"{}", KEY)

    assert child.exitcode == 0
    assert (server.connections, len(server.requests)) == (2, 3)


def _send_and_exit(client: HTTPClient) -> None:
    client.send("POST", "/users", b"{}", KEY)
    os._exit(0)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"retry-after": "15"}, 15),
        ({"retry-after": "0"}, None),
        ({"retry-after": "86400"}, 3600),
        ({"retry-after": "9" * 400}, 3600),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "junk"}, None),
        ({"retry-after": "\u0661\u0665"}, None),
        ({"retry-after": "Thu, 01 Jan 1970 00:17:00 GMT"}, 20),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}, None),
        ({"x-rate-limit-reset": "1030"}, 30),
        ({"x-ratelimit-reset": "1040"}, 40),
        ({"x-ratelimit-reset": "900"}, None),
        ({"retry-after": "5", "x-ratelimit-reset": "1040"}, 5),
    ],
)
def test_retry_after(headers: dict[str, str], expected: float | None) -> None:
    """Seconds, dates and reset times are understood; nonsense is no time at all."""
    assert retry_after_s(429, headers, now=1000.0) == expected


@pytest.mark.parametrize(("status", "expected"), [(200, None), (404, None), (500, None), (503, 5)])
def test_retry_after_counts_where_it_is_about_us(status: int, expected: float | None) -> None:
    """Elsewhere than on 429 and 503 nobody has asked us for patience."""
    assert retry_after_s(status, {"retry-after": "5"}, now=1000.0) == expected


@pytest.mark.parametrize("name", ["x-rate-limit-reset", "x-ratelimit-reset"])
@pytest.mark.parametrize("status", [200, 500, 503])
def test_end_of_a_window_is_no_time_to_wait_for(status: int, name: str) -> None:
    """Any answer may tell when the vendor's minute is over: on 429 alone that concerns us."""
    assert retry_after_s(status, {name: "1040"}, now=1000.0) is None


def sending_failure(url: str, **parts: Any) -> HTTPFailureError:
    with pytest.raises(HTTPFailureError) as raised:
        a_client(url, bounds=QUICK).send("POST", "/users", b"{}", KEY, **parts)
    return raised.value


def test_sent_requests_are_told_from_unsent_ones() -> None:
    """Whether something may have been done is known from whether the request left us."""
    with raw_server(_hang) as server:
        lost = sending_failure(server.url)
    refused = sending_failure("http://127.0.0.1:9")
    nameless = sending_failure("http://nowhere.invalid")

    assert (lost.reason, lost.is_sent) == ("timeout", True)
    assert (refused.reason, refused.is_sent) == ("connection_failed", False)
    assert (nameless.reason, nameless.is_sent) == ("name_not_resolved", False)


def test_answers_that_are_refused_were_asked_for() -> None:
    """An answer that is too large was the answer to something."""
    with raw_server(b"HTTP/1.1 103 Early Hints\r\n\r\n") as server:
        assert sending_failure(server.url).is_sent


def test_less_time_than_usual() -> None:
    """A caller with little time left gets its failure within it."""
    started = time.monotonic()
    with raw_server(_hang) as server:
        failure = sending_failure(server.url, within_s=0.1)

    assert failure.reason == "timeout"
    assert time.monotonic() - started < QUICK.read_s


def test_no_time_at_all() -> None:
    """With nothing left nothing is sent."""
    with raw_server(OK) as server:
        failure = sending_failure(server.url, within_s=0.0)

    assert (failure.reason, failure.is_sent, server.requests) == ("connect_timeout", False, [])


def test_rate_headers_come_with_the_answer() -> None:
    """What the other side says of its limits is there to be read."""
    answer = an_answer(b"{}", "X-Rate-Limit: 500", "X-RateLimit-Remaining: 7")
    with raw_server(answer) as server:
        rate = a_client(server.url).send("POST", "/users", b"{}", KEY).rate

    assert (rate.limit, rate.remaining) == (500, 7)
