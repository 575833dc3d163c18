"""The deadline: a moment after which no byte of an answer is waited for any more.

A read time-out begins anew with each byte that drips in, in the head of an answer
as well as in its body. Here every single read of a response asks how much time is
left, below everything that parses: status line, interim answers, headers, chunk
sizes, body and trailers. Names, connections and handshakes ask too.
"""

import io
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from http.client import HTTPResponse
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from tokensvc.adapters.connecting import RESOLVER, Resolver, open_socket


@dataclass(slots=True)
class Exchange:
    """One request and its answer: when it must be over, and whether the request has left us."""

    ends_at: float
    """On the monotonic clock."""
    resolver: Resolver = RESOLVER
    is_sent: bool = False
    """After that nobody knows, without an answer, what has come of it."""

    def left_s(self) -> float:
        """Return the seconds that are left."""
        return self.ends_at - time.monotonic()


_exchange: ContextVar[Exchange] = ContextVar("exchange")


@contextmanager
def exchange_within(seconds: float, resolver: Resolver = RESOLVER) -> Iterator[Exchange]:
    """Give the exchange in the block *seconds* in all; a read past them raises TimeoutError."""
    exchange = Exchange(time.monotonic() + seconds, resolver)
    token = _exchange.set(exchange)
    try:
        yield exchange
    finally:
        _exchange.reset(token)


class DeadlineAdapter(HTTPAdapter):
    """requests' own adapter, on connections that know the deadline."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 (requests')
        """Make the pool manager with our connection pools."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}


class _DeadlineReader(io.RawIOBase):
    """Reads a socket for as long as there is time."""

    def __init__(self, raw: io.RawIOBase, connection: socket.socket) -> None:
        self._raw = raw
        self._connection = connection
        self._read_s = connection.gettimeout()
        self._exchange = _exchange.get(None)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:  # noqa: ANN401 (any buffer)
        if self._exchange is not None:
            left_s = self._exchange.left_s()
            if left_s <= 0:
                raise TimeoutError
            self._connection.settimeout(min(left_s, self._read_s or left_s))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_DeadlineReader(self.fp.detach(), sock))


class _Connection(HTTPConnection):
    response_class = _Response

    def _new_conn(self) -> socket.socket:
        """Connect within the connection's time-out and what is left of the exchange.

        Raises what urllib3 raises in its place, from which requests makes its own.
        """
        timeout_s = float(self.timeout or 0)
        exchange = _exchange.get(None) or Exchange(time.monotonic() + timeout_s)
        try:
            return open_socket(
                self._dns_host,
                self.port or self.default_port,
                timeout_s=min(timeout_s, exchange.left_s()),
                options=self.socket_options or (),
                resolver=exchange.resolver,
            )
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from None
        except TimeoutError:
            raise ConnectTimeoutError(self, "connect") from None
        except OSError:
            raise NewConnectionError(self, "connect") from None

    def send(self, data: Any) -> None:  # noqa: ANN401 (http.client's)
        """Send *data*, connecting first where that is still to be done."""
        if self.sock is None:
            self.connect()
        exchange = _exchange.get(None)
        if exchange is not None:
            exchange.is_sent = True
        super().send(data)


class _TLSConnection(_Connection, HTTPSConnection):
    response_class = _Response


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _TLSConnection
