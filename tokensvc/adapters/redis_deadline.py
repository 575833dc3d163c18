"""The Redis deadline: what Redis may take of one request, over all of its answers together.

A time-out of redis-py begins anew with each answer, and with each byte that drips
in. Here each read asks how much of the request's patience is left; when it is
spent, Redis counts as lost. What CometChat takes in between is not counted.
"""

import errno
import math
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection
from urllib3.util.wait import wait_for_read

from tokensvc.adapters.connecting import RESOLVER, Resolver, open_socket

T = TypeVar("T")

PATIENCE_S: Final = 0.25
"""With what else a fault costs, a login is answered within 0.3 s more."""
LEAST_S: Final = 0.05
"""With less than this left nothing is begun: on a busy machine it may be we who were slow."""
TOLERANCE_S: Final = 0.02
"""How much longer than it may one read can take."""


class PatienceSpentError(TimeoutError):
    """There is not enough patience left to ask; it says nothing about Redis."""


@dataclass(slots=True)
class Patience:
    """How long Redis may still be waited for."""

    left_s: float = PATIENCE_S


_patience: ContextVar[Patience | None] = ContextVar("redis_patience", default=None)
_ends_at: ContextVar[float] = ContextVar("redis_ends_at", default=math.inf)


def begin_patience() -> None:
    """Give the request that begins in this thread its whole patience."""
    _patience.set(Patience())


@contextmanager
def redis_work(patience: Patience | None = None) -> Iterator[None]:
    """Take what the block takes from *patience*; a read past it raises TimeoutError.

    Without one it is the request's, and outside of a request a whole one. Raises
    `PatienceSpentError` if too little is left to begin.
    """
    patience = patience or _patience.get() or Patience()
    if patience.left_s < LEAST_S:
        raise PatienceSpentError
    started_at = time.monotonic()
    token = _ends_at.set(started_at + patience.left_s)
    try:
        yield
    finally:
        _ends_at.reset(token)
        patience.left_s -= time.monotonic() - started_at


def _left_s() -> float:
    return _ends_at.get() - time.monotonic()


def _wait_at_most(connection: socket.socket, seconds: float) -> None:
    """Set the time-out of *connection*, unless it is about that already.

    To set it lets go of the interpreter, for which dozens of threads may be waiting.
    """
    timeout_s = connection.gettimeout()
    if timeout_s is None or not 0 <= timeout_s - seconds <= TOLERANCE_S:
        connection.settimeout(seconds)


class _PatientSocket:
    """A socket that reads and writes for as long as there is patience.

    Whatever can be decided without the system is: each call of it hands the interpreter
    to another thread, and here were a dozen in each trip to Redis.
    """

    def __init__(self, connected: socket.socket, timeout_s: float) -> None:
        self._socket = connected
        self._timeout_s = timeout_s

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 (whatever a socket has)
        return getattr(self._socket, name)

    def settimeout(self, timeout_s: float) -> None:
        """Let no single read or write take longer than *timeout_s*."""
        self._timeout_s = timeout_s

    def recv(self, *args: int) -> bytes:
        """Return what has come in."""
        self._demand_readable()
        return self._in_time(lambda: self._socket.recv(*args))

    def recv_into(self, *args: Any) -> int:  # noqa: ANN401 (a buffer, and its bounds)
        """Put what has come in where the other parser of redis-py wants it."""
        self._demand_readable()
        return self._in_time(lambda: self._socket.recv_into(*args))

    def sendall(self, data: bytes) -> None:
        """Send *data*."""
        self._in_time(lambda: self._socket.sendall(data))

    def _demand_readable(self) -> None:
        """With a time-out of zero redis-py asks what is there already: then nobody waits."""
        if self._timeout_s == 0 and not self._is_readable():
            raise BlockingIOError(errno.EWOULDBLOCK, "nothing is there")

    def _is_readable(self) -> bool:
        pending = getattr(self._socket, "pending", None)
        return bool(pending and pending()) or wait_for_read(self._socket, timeout=0.0)

    def _in_time(self, act: Callable[[], T]) -> T:
        left_s = _left_s()
        if left_s <= 0:
            raise TimeoutError
        _wait_at_most(self._socket, min(left_s, self._timeout_s or left_s))
        return act()


class _NamedInTime(Connection):
    """Looks its name up and connects in time, on every address together."""

    resolver: Resolver = RESOLVER

    def _connect(self) -> socket.socket:
        keepalive = self.socket_keepalive_options.items()
        return open_socket(
            self.host,
            self.port,
            timeout_s=min(_left_s(), float(self.socket_connect_timeout or math.inf)),
            options=[
                (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
                (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
                *((socket.IPPROTO_TCP, name, value) for name, value in keepalive),
            ],
            resolver=self.resolver,
        )


class TCPConnection(_NamedInTime):
    """redis-py's own connection, in time."""

    def _connect(self) -> Any:  # noqa: ANN401 (what redis-py takes for a socket)
        return _PatientSocket(super()._connect(), float(self.socket_timeout or math.inf))


class TLSConnection(SSLConnection, _NamedInTime):
    """The same over TLS: the handshake has what is left of the time to connect."""

    def _connect(self) -> Any:  # noqa: ANN401 (as above)
        connected = super()._connect()  # type: ignore[no-untyped-call]
        return _PatientSocket(connected, float(self.socket_timeout or math.inf))


class LocalConnection(UnixDomainSocketConnection):
    """The same over a socket in the file system."""

    def _connect(self) -> Any:  # noqa: ANN401 (as above)
        connected = super()._connect()  # type: ignore[no-untyped-call]
        return _PatientSocket(connected, float(self.socket_timeout or math.inf))


CONNECTIONS: Final[Mapping[str, type[Connection | UnixDomainSocketConnection]]] = {
    "redis": TCPConnection,
    "rediss": TLSConnection,
    "redis+unix": LocalConnection,
}
"""How to connect, by the scheme of the URL."""
