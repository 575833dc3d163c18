"""The deadline: a moment after which no byte of an answer is waited for any more.

A read time-out begins anew with each byte that drips in, in the head of an answer
as well as in its body. Here every single read of a response asks how much time is
left, below everything that parses: status line, interim answers, headers, chunk
sizes, body and trailers.
"""

import io
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from http.client import HTTPResponse
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

_deadline: ContextVar[float] = ContextVar("deadline")
"""When the exchange of this thread must be over, on the monotonic clock."""


@contextmanager
def deadline_in(seconds: float) -> Iterator[None]:
    """Give the exchange in the block *seconds* in all; a read past them raises TimeoutError."""
    token = _deadline.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _deadline.reset(token)


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
        self._deadline = _deadline.get(float("inf"))

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:  # noqa: ANN401 (any buffer)
        left_s = self._deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        if left_s != float("inf"):
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


class _TLSConnection(HTTPSConnection):
    response_class = _Response


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _TLSConnection
