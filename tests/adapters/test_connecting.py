"""Connecting: however the resolver or an address behaves, it is over in time."""

import multiprocessing
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.exhaustion import no_threads
from tokensvc.adapters.connecting import AddressInfo, Resolver, open_socket

SOON_S = 10.0
SLACK_S = 0.5
"""What a busy machine may add to a time-out."""


@contextmanager
def a_listener() -> Iterator[tuple[str, int]]:
    """Listen on loopback: its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()


@contextmanager
def a_black_hole() -> Iterator[tuple[str, int]]:
    """Listen without ever accepting, the queue full: whoever connects hears nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)  # noqa: FBT003 (the library's signature)
            filler.connect_ex(address)
            fillers.append(filler)
        yield address
        for filler in fillers:
            filler.close()


def info(address: tuple[str, int]) -> AddressInfo:
    return (socket.AF_INET, socket.SOCK_STREAM, 0, "", address)


def a_resolver(*addresses: tuple[str, int]) -> Resolver:
    """Return a resolver that knows these addresses under every name."""
    return Resolver(lambda *_, **__: [info(address) for address in addresses])


def test_name_is_looked_up_and_connected_to() -> None:
    """A name becomes a connection."""
    with (
        a_listener() as address,
        open_socket("api.test", 1, timeout_s=SOON_S, resolver=a_resolver(address)) as connection,
    ):
        assert connection.getpeername() == address


def test_literal_addresses_need_no_name() -> None:
    """IPv4, and IPv6 in its brackets."""
    with a_listener() as (host, port), open_socket(host, port, timeout_s=SOON_S) as connection:
        assert connection.getpeername() == (host, port)


def test_what_is_left_is_for_the_handshake() -> None:
    """The socket's time-out is the rest of the time, not the whole of it again."""
    with (
        a_listener() as address,
        open_socket("x", 1, timeout_s=SOON_S, resolver=a_resolver(address)) as connection,
    ):
        assert 0 < (connection.gettimeout() or 0) < SOON_S


def test_black_hole_ends_in_time() -> None:
    """An address that swallows everything costs the time-out and no more."""
    started = time.monotonic()
    with a_black_hole() as address, pytest.raises(TimeoutError):
        open_socket("x", 1, timeout_s=0.3, resolver=a_resolver(address))

    assert time.monotonic() - started < 0.3 + SLACK_S


def test_black_hole_does_not_hide_the_next_address() -> None:
    """Of two addresses each has its share of the time."""
    with (
        a_black_hole() as hole,
        a_listener() as address,
        open_socket("x", 1, timeout_s=1.0, resolver=a_resolver(hole, address)) as connection,
    ):
        assert connection.getpeername() == address


def test_refused_connection() -> None:
    """Where nobody listens it is known at once."""
    with a_listener() as address:
        pass

    with pytest.raises(ConnectionRefusedError):
        open_socket("x", 1, timeout_s=SOON_S, resolver=a_resolver(address))


def test_name_without_an_address() -> None:
    """A name that leads nowhere is told from a host that refuses."""
    with pytest.raises(socket.gaierror):
        open_socket("x", 1, timeout_s=SOON_S, resolver=a_resolver())


@pytest.mark.parametrize(
    "error", [socket.gaierror(socket.EAI_NONAME, "x"), OSError("x"), UnicodeError("x")]
)
def test_failed_look_up_is_a_failure_of_the_name(error: Exception) -> None:
    """Whatever the resolver raises, its text is not passed on."""

    def fail(*_: Any, **__: Any) -> list[AddressInfo]:
        raise error

    with pytest.raises(socket.gaierror, match="the name has no address"):
        open_socket("x", 1, timeout_s=SOON_S, resolver=Resolver(fail))


def test_look_up_that_hangs_ends_in_time_and_is_made_once() -> None:
    """Ten who ask for one name wait for one look-up, and none longer than they may."""
    release, asked = threading.Event(), []

    def hang(host: str, *_: Any, **__: Any) -> list[AddressInfo]:
        asked.append(host)
        release.wait(SOON_S)
        return []

    resolver = Resolver(hang)
    started = time.monotonic()
    for _ in range(10):
        with pytest.raises(TimeoutError):
            resolver.addresses("api.test", 443, 0.01)
    took_s = time.monotonic() - started
    release.set()

    assert (asked, took_s < SLACK_S) == (["api.test"], True)


def test_look_up_that_comes_back_serves_again() -> None:
    """After a hang the next look-up is a new one."""
    release = threading.Event()
    answers = iter([True, False])

    def hang_once(*_: Any, **__: Any) -> list[AddressInfo]:
        if next(answers):
            release.wait(SOON_S)
        return [info(("127.0.0.1", 1))]

    resolver = Resolver(hang_once)
    with pytest.raises(TimeoutError):
        resolver.addresses("x", 1, 0.01)
    release.set()

    assert resolver.addresses("x", 1, SOON_S) == [info(("127.0.0.1", 1))]


def test_child_does_not_wait_for_its_parents_look_up() -> None:
    """A fork does not copy the thread that would answer: the child looks up for itself."""
    release, asked = threading.Event(), threading.Event()
    parent = os.getpid()

    def hang_in_parent(*_: Any, **__: Any) -> list[AddressInfo]:
        if os.getpid() == parent:
            asked.set()
            release.wait(SOON_S)
        return [info(("127.0.0.1", 1))]

    resolver = Resolver(hang_in_parent)
    with pytest.raises(TimeoutError):
        resolver.addresses("x", 1, 0.01)
    asked.wait(SOON_S)
    child = multiprocessing.get_context("fork").Process(
        target=resolver.addresses, args=("x", 1, SOON_S / 4)
    )
    child.start()
    child.join(SOON_S)
    release.set()

    assert child.exitcode == 0


def test_look_up_without_a_thread_fails_and_the_next_one_is_made() -> None:
    """A process at its limit of threads cannot look up; once it has room it can."""
    resolver = a_resolver(("127.0.0.1", 1))
    with no_threads(), pytest.raises(OSError, match="no thread for the look-up"):
        resolver.addresses("x", 1, SOON_S)

    assert resolver.addresses("x", 1, SOON_S) == [info(("127.0.0.1", 1))]
