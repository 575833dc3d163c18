"""The Redis deadline: whatever is slow about Redis, it is over in time."""

import contextvars
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.journeys.certificates import a_certificate
from tokensvc.adapters.connecting import AddressInfo, Resolver
from tokensvc.adapters.redis_deadline import (
    PATIENCE_S,
    LocalConnection,
    Patience,
    TCPConnection,
    TLSConnection,
    begin_patience,
    redis_work,
)

SLACK_S = 0.5
"""What a busy machine may add to a deadline."""
SOON_S = 10.0
"""What redis-py may take for each single read: the deadline is to be before it."""

Talk = Callable[[socket.socket, threading.Event], None]


def drip(connection: socket.socket, ended: threading.Event) -> None:
    """Begin a long answer, and go on with it for ever."""
    connection.recv(65536)
    connection.sendall(b"$90000\r\n")
    while not ended.wait(0.02):
        connection.sendall(b"x")


def drip_over_tls(folder: Path) -> Talk:
    """Return what does the same on a connection that is safe to use."""
    certificate = a_certificate(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.cert, certificate.key)

    def talk(connection: socket.socket, ended: threading.Event) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            drip(secured, ended)

    return talk


def say_nothing(connection: socket.socket, ended: threading.Event) -> None:
    """Leave even the handshake to the other side."""
    del connection
    ended.wait(SOON_S)


@contextmanager
def serving(listener: socket.socket, talk: Talk) -> Iterator[None]:
    """Let *talk* have each connection to *listener*."""
    ended = threading.Event()

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=converse, args=(connection,), daemon=True).start()

    def converse(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            talk(connection, ended)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield
    finally:
        ended.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


@pytest.fixture(autouse=True)
def whole_patience() -> None:
    """Let no test begin with what an earlier one has left."""
    begin_patience()


def a_client(connection_class: type[Any], **place: Any) -> redis.Redis:
    pool = redis.ConnectionPool(
        connection_class=connection_class,
        socket_timeout=SOON_S,
        socket_connect_timeout=SOON_S,
        retry=Retry(NoBackoff(), 0),
        **place,
    )
    return redis.Redis(connection_pool=pool)


def seconds_until_given_up(client: redis.Redis, patience: Patience | None = None) -> float:
    """Return how long Redis is waited for."""
    started = time.monotonic()
    with pytest.raises((redis.TimeoutError, TimeoutError)), redis_work(patience):
        client.ping()
    return time.monotonic() - started


def test_dripping_answer_ends_in_time() -> None:
    """Each byte comes soon, and the answer never."""
    listener = socket.create_server(("127.0.0.1", 0))
    with serving(listener, drip):
        client = a_client(TCPConnection, host="127.0.0.1", port=listener.getsockname()[1])

        assert seconds_until_given_up(client) < PATIENCE_S + SLACK_S


def test_dripping_answer_over_tls_ends_in_time(tmp_path: Path) -> None:
    """The same where the bytes are encrypted."""
    listener = socket.create_server(("127.0.0.1", 0))
    with serving(listener, drip_over_tls(tmp_path)):
        port, ca_file = listener.getsockname()[1], str(tmp_path / "cert.pem")
        client = a_client(TLSConnection, host="localhost", port=port, ssl_ca_certs=ca_file)

        assert seconds_until_given_up(client, Patience(0.5)) < 0.5 + SLACK_S


def test_dripping_answer_on_this_machine_ends_in_time(tmp_path: Path) -> None:
    """The same over a socket in the file system."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "redis.sock"))
        listener.listen()
        with serving(listener, drip):
            client = a_client(LocalConnection, path=str(tmp_path / "redis.sock"))

            assert seconds_until_given_up(client) < PATIENCE_S + SLACK_S


def test_handshake_that_hangs_ends_in_time() -> None:
    """Who connects and never speaks TLS is given up as well."""
    listener = socket.create_server(("127.0.0.1", 0))
    with serving(listener, say_nothing):
        client = a_client(TLSConnection, host="localhost", port=listener.getsockname()[1])

        assert seconds_until_given_up(client) < PATIENCE_S + SLACK_S


def test_name_that_hangs_ends_in_time() -> None:
    """The system's resolver knows no end: it is left behind."""
    release = threading.Event()

    def hang(*_: Any, **__: Any) -> list[AddressInfo]:
        release.wait(SOON_S)
        return []

    class Named(TCPConnection):
        resolver = Resolver(hang)

    took_s = seconds_until_given_up(a_client(Named, host="redis.test", port=1))
    release.set()

    assert took_s < PATIENCE_S + SLACK_S


def test_other_parser_reads_in_time_too() -> None:
    """redis-py reads with `recv_into` where its parser in C is installed."""
    listener = socket.create_server(("127.0.0.1", 0))
    with serving(listener, say_nothing):
        client = a_client(TCPConnection, host="127.0.0.1", port=listener.getsockname()[1])
        connection: Any = client.connection_pool.make_connection()
        with redis_work():
            # A server would have to answer `connect`.
            reader = connection._connect()  # noqa: SLF001
            started = time.monotonic()
            with pytest.raises(TimeoutError):
                reader.recv_into(bytearray(1))
        reader.close()

    assert time.monotonic() - started < PATIENCE_S + SLACK_S


def test_patience_is_for_the_whole_request() -> None:
    """What one answer has used up the next one does not have; the next request begins anew."""
    listener = socket.create_server(("127.0.0.1", 0))

    def requests() -> list[bool]:
        client = a_client(TCPConnection, host="127.0.0.1", port=listener.getsockname()[1])
        begin_patience()
        waits_s = [seconds_until_given_up(client) for _ in range(3)]
        begin_patience()
        return [wait_s >= PATIENCE_S / 2 for wait_s in (*waits_s, seconds_until_given_up(client))]

    with serving(listener, drip):
        waited = contextvars.Context().run(requests)

    assert waited == [True, False, False, True]


def test_work_outside_of_requests_has_a_patience_of_its_own() -> None:
    """Whoever asks in the background waits no longer than a login, and takes nothing from one."""
    listener = socket.create_server(("127.0.0.1", 0))

    def turns() -> list[float]:
        client = a_client(TCPConnection, host="127.0.0.1", port=listener.getsockname()[1])
        return [seconds_until_given_up(client) for _ in range(2)]

    with serving(listener, drip):
        waits_s = contextvars.Context().run(turns)

    assert all(PATIENCE_S / 2 <= wait_s < PATIENCE_S + SLACK_S for wait_s in waits_s)
