"""Open files: how many connections a process may keep, with some left for its own work."""

import resource
from typing import Final

from tokensvc.settings import Settings

MAX_CONNECTIONS: Final = 10_000
"""Open connections per process: idle ones cost little, and must not shut out the others."""
OTHER_FILES: Final = 64
"""What a process has open besides the connections to clients, CometChat and Redis, at most."""


def most_connections(settings: Settings) -> int:
    """Return how many connections from clients a process keeps open.

    With no file left the server would try to accept the next one over and over, on a whole
    core. It raises the soft limit by itself.
    """
    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most_files == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    # Each thread may have a connection to Redis.
    own = settings.cometchat.max_in_flight + settings.server.threads + OTHER_FILES
    return max(1, min(MAX_CONNECTIONS, most_files - own))
