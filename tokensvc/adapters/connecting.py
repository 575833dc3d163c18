"""Connecting: a name looked up and a socket opened, both within the time there is."""

import errno
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

AddressInfo = tuple[Any, ...]
Lookup = Callable[..., Sequence[AddressInfo]]

HANDSHAKE_AT_LEAST_S: Final = 0.05


class Resolver:
    """Looks names up for no longer than is asked for, though the system's resolver knows no end.

    A look-up that hangs is left behind in its thread; whoever asks for the same
    name meanwhile waits for that one, so that there is one thread for each name.
    """

    def __init__(self, lookup: Lookup = socket.getaddrinfo) -> None:
        self._lookup = lookup
        self._pending: dict[tuple[int, str, int], _Pending] = {}
        self._lock = threading.Lock()

    def addresses(self, host: str, port: int, timeout_s: float) -> Sequence[AddressInfo]:
        """Return where *host* is; raises OSError, and TimeoutError after *timeout_s*."""
        # The process is part of the key: a fork does not copy the thread that would answer.
        key = (os.getpid(), host, port)
        with self._lock:
            pending = self._pending.get(key)
            if pending is None:
                pending = self._begin(key)
        if not pending.done.wait(timeout_s):
            raise TimeoutError
        if pending.found is None:
            raise socket.gaierror(pending.errno, "the name has no address")
        return pending.found

    def _begin(self, key: tuple[int, str, int]) -> "_Pending":
        pending = _Pending()
        thread = threading.Thread(target=self._look_up, args=(key, pending), daemon=True)
        # Before the start, because the thread takes it out again.
        self._pending[key] = pending
        try:
            thread.start()
        except RuntimeError:
            del self._pending[key]
            raise OSError(errno.EAGAIN, "no thread for the look-up") from None
        return pending

    def _look_up(self, key: tuple[int, str, int], pending: "_Pending") -> None:
        _, host, port = key
        try:
            pending.found = self._lookup(host, port, type=socket.SOCK_STREAM)
        except (OSError, ValueError) as error:
            pending.errno = getattr(error, "errno", None) or socket.EAI_NONAME
        finally:
            with self._lock:
                del self._pending[key]
            pending.done.set()


class _Pending:
    def __init__(self) -> None:
        self.done = threading.Event()
        self.found: Sequence[AddressInfo] | None = None
        self.errno: int = socket.EAI_FAIL


RESOLVER: Final = Resolver()
"""The system's, for the whole process: one look-up at a time for each name."""


def open_socket(
    host: str,
    port: int,
    *,
    timeout_s: float,
    options: Sequence[tuple[Any, ...]] = (),
    resolver: Resolver = RESOLVER,
) -> socket.socket:
    """Return a socket connected to *host* within *timeout_s*, look-up included.

    Each of several addresses gets its share of the time, so that one that swallows
    everything does not hide the next. What is left of the time is the socket's
    time-out, for a handshake to come. Raises OSError.
    """
    ends_at = time.monotonic() + timeout_s
    found = resolver.addresses(host.strip("[]"), port, timeout_s)
    failure: OSError = socket.gaierror(socket.EAI_NODATA, "the name has no address")
    for tried, (family, kind, protocol, _, address) in enumerate(found):
        left_s = ends_at - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        connection = socket.socket(family, kind, protocol)
        try:
            for option in options:
                connection.setsockopt(*option)
            connection.settimeout(left_s / (len(found) - tried))
            connection.connect(address)
            connection.settimeout(max(ends_at - time.monotonic(), HANDSHAKE_AT_LEAST_S))
        except OSError as error:
            connection.close()
            failure = error
        else:
            return connection
    raise failure
