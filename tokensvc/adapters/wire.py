"""The wire: bytes out and bytes in, and no wait for them longer than the exchange may take.

The socket never blocks, so that each wait is a poll of our own. One with a time-out
polls before it sends, and TLS tries to read before it waits; each time the interpreter
is let go, and dozens of threads may be waiting for it.
"""

import select
import socket
import ssl
from typing import Final

import requests
from urllib3.util.wait import wait_for_write

from tokensvc.adapters.connecting import open_socket
from tokensvc.adapters.deadline import Exchange

CHUNK_BYTES: Final = 64 * 1024
"""More than a TLS record holds: nothing that was read stays behind, where no poll sees it."""
_AT_ONCE: Final = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]


class NameNotResolvedError(requests.ConnectionError):
    """The server's name has no address that we could find out."""


class Wire:
    """A connected socket whose handshake is done. Whatever goes wrong on it is an OSError."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(0.0)
        self._socket = connection
        self._incoming = select.poll()
        self._incoming.register(connection, select.POLLIN)

    def is_quiet(self) -> bool:
        """Return whether nothing is there to be read: no byte, and no end."""
        return not self._incoming.poll(0)

    def send(self, data: bytes, exchange: Exchange, most_s: float) -> None:
        """Send *data*; TimeoutError at the deadline, or when for *most_s* nothing goes out."""
        view = memoryview(data)
        while view:
            try:
                view = view[self._socket.send(view) :]
            except (BlockingIOError, ssl.SSLWantWriteError):
                self._await_room(exchange.left_s(most_s))
            except ssl.SSLWantReadError:
                self._await_bytes(exchange.left_s(most_s))

    def receive(self, exchange: Exchange, most_s: float) -> bytes:
        """Return what comes in next, nothing at the end; TimeoutError as in `send`."""
        while True:
            self._await_bytes(exchange.left_s(most_s))
            try:
                return self._socket.recv(CHUNK_BYTES)
            except (BlockingIOError, ssl.SSLWantReadError):
                # A part of a record, or one that concerns TLS alone.
                continue
            except ssl.SSLWantWriteError:
                self._await_room(exchange.left_s(most_s))

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _await_bytes(self, seconds: float) -> None:
        if not self._incoming.poll(seconds * 1000):
            raise TimeoutError

    def _await_room(self, seconds: float) -> None:
        if not wait_for_write(self._socket, timeout=seconds):
            raise TimeoutError


def open_wire(
    host: str, port: int, tls: ssl.SSLContext | None, exchange: Exchange, connect_s: float
) -> Wire:
    """Return a wire to *host*, secured if there is *tls*: within *connect_s*, and the deadline.

    Raises what requests' own adapter raises.
    """
    try:
        connection = open_socket(
            host,
            port,
            timeout_s=exchange.left_s(connect_s),
            options=_AT_ONCE,
            resolver=exchange.resolver,
        )
        return Wire(_secured(connection, host, tls))
    except socket.gaierror:
        raise NameNotResolvedError from None
    except TimeoutError:
        raise requests.ConnectTimeout from None
    except ssl.SSLError:
        raise requests.exceptions.SSLError from None


def _secured(connection: socket.socket, host: str, tls: ssl.SSLContext | None) -> socket.socket:
    if tls is None:
        return connection
    try:
        return tls.wrap_socket(connection, server_hostname=host.rstrip("."))
    except BaseException:
        connection.close()
        raise
