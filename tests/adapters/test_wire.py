"""The wire: everything gets through, nothing takes longer than it may, with TLS and without."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.journeys.certificates import a_certificate
from tokensvc.adapters.deadline import Exchange
from tokensvc.adapters.wire import CHUNK_BYTES, Wire

SLACK_S = 0.5
"""What a busy machine may add to a deadline."""
LARGE = bytes(range(256)) * 4096 * 4
"""More than both ends of a connection keep for each other."""

Ends = tuple[Wire, socket.socket]


def _plain(_: Path) -> Ends:
    ours, theirs = socket.socketpair()
    return Wire(ours), theirs


def _secured(folder: Path) -> Ends:
    certificate = a_certificate(folder)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate.cert, certificate.key)
    client = ssl.create_default_context(cafile=certificate.cert)
    ours, theirs = socket.socketpair()
    with ThreadPoolExecutor() as pool:
        shaken = pool.submit(server.wrap_socket, theirs, server_side=True)
        wire = Wire(client.wrap_socket(ours, server_hostname="localhost"))
        return wire, shaken.result()


@pytest.fixture(params=[_plain, _secured], ids=["plain", "tls"])
def ends(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ends]:
    """Return our end of a connection, and the other one."""
    wire, theirs = request.param(tmp_path)
    with theirs:
        yield wire, theirs
    wire.close()


def within(seconds: float) -> Exchange:
    return Exchange(time.monotonic() + seconds)


def demand_timeout(act: Callable[[], object], seconds: float) -> None:
    """Demand that *act* gives up after *seconds*."""
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        act()
    assert seconds <= time.monotonic() - started < seconds + SLACK_S


def test_much_goes_out_and_comes_in(ends: Ends) -> None:
    """What does not fit at once goes in pieces, and comes in as it was."""
    wire, theirs = ends

    def echo() -> None:
        held = b""
        while len(held) < len(LARGE):
            held += theirs.recv(CHUNK_BYTES)
        theirs.sendall(held)

    with ThreadPoolExecutor() as pool:
        echoed = pool.submit(echo)
        wire.send(LARGE, within(10.0), 10.0)
        answer = bytearray()
        while len(answer) < len(LARGE):
            answer += wire.receive(within(10.0), 10.0)
        echoed.result()

    assert answer == LARGE


def test_end_is_told(ends: Ends) -> None:
    """At the end there is nothing more, and that is seen without a wait."""
    wire, theirs = ends
    theirs.close()

    assert not wire.is_quiet()
    assert wire.receive(within(5.0), 5.0) == b""


def test_quiet_until_something_comes_in(ends: Ends) -> None:
    """Whether something is there to be read is known without reading it."""
    wire, theirs = ends
    # TLS 1.3 sends its tickets behind the handshake, and they are read with the first answer.
    theirs.sendall(b"x")
    wire.receive(within(5.0), 5.0)

    was_quiet = wire.is_quiet()
    theirs.sendall(b"y")

    assert was_quiet
    assert not wire.is_quiet()


@pytest.mark.parametrize(("total_s", "most_s"), [(0.2, 9.0), (9.0, 0.2)], ids=["all", "each"])
def test_silence_ends_in_time(ends: Ends, total_s: float, most_s: float) -> None:
    """Who says nothing is waited for until the deadline, and no longer than for one read."""
    wire, _ = ends

    demand_timeout(lambda: wire.receive(within(total_s), most_s), 0.2)


@pytest.mark.parametrize(("total_s", "most_s"), [(0.2, 9.0), (9.0, 0.2)], ids=["all", "each"])
def test_who_takes_nothing_ends_in_time(ends: Ends, total_s: float, most_s: float) -> None:
    """A request that is not taken is given up likewise."""
    wire, _ = ends

    demand_timeout(lambda: wire.send(LARGE, within(total_s), most_s), 0.2)


def test_record_that_drips_ends_in_time(tmp_path: Path) -> None:
    """The bytes of one TLS record are no answer yet: they prolong nothing."""
    wire, theirs = _secured(tmp_path)
    begun, ended = threading.Event(), threading.Event()

    def drip() -> None:
        raw = socket.socket(fileno=theirs.detach())
        # The head of a record of 16 KB, of which one byte after the other follows.
        raw.sendall(b"\x17\x03\x03\x40\x00")
        while not ended.wait(0.02):
            raw.sendall(b"x")
            begun.set()
        raw.close()

    with ThreadPoolExecutor() as pool:
        dripped = pool.submit(drip)
        begun.wait(5.0)
        try:
            exchange = within(0.5)
            with pytest.raises(TimeoutError):
                wire.receive(exchange, 9.0)
            late_s = time.monotonic() - exchange.ends_at
        finally:
            ended.set()
        dripped.result()
    wire.close()

    assert 0 <= late_s < SLACK_S
