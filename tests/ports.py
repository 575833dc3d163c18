"""Ports of loopback on which a test lets something listen that it has not started yet."""

import fcntl
import os
import random
import socket
import tempfile
from itertools import cycle
from pathlib import Path

# Where Linux (32768) and the BSDs (49152) take the ports of outgoing connections and of
# port 0 from lies above: nobody who does not ask for one of these by number gets it.
FIRST, LAST = 20_000, 32_000

_candidates = cycle(random.sample(range(FIRST, LAST), LAST - FIRST))
_claims: list[int] = []


def a_free_port() -> int:
    """Return a port that is this process' own until it ends, and on which nobody listens.

    A port that was merely free when asked is anybody's the moment after: another test
    process may be given it, or a connection that somebody opens.
    """
    for port in _candidates:
        if _is_claimed(port) and _is_free(port):
            return port
    raise AssertionError("the ports never end")


def _is_claimed(port: int) -> bool:
    folder = Path(tempfile.gettempdir(), "tokensvc-tests-ports")
    folder.mkdir(exist_ok=True)
    claim = os.open(folder / str(port), os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(claim)
        return False
    _claims.append(claim)
    return True


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
