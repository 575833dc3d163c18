"""Where the rate limiter counts: in this process, or in Redis."""

from typing import Any, Final

from redis.backoff import NoBackoff
from redis.retry import Retry

REDIS_TIMEOUT_S: Final = 0.25
"""redis-py's own defaults let a hung Redis hold a request for ten seconds."""


def storage_options(storage_url: str) -> dict[str, Any]:
    """Return what `limits` passes on to the client library behind *storage_url*."""
    if storage_url.startswith("memory"):
        return {}
    return {
        "socket_connect_timeout": REDIS_TIMEOUT_S,
        "socket_timeout": REDIS_TIMEOUT_S,
        "retry": Retry(NoBackoff(), 0),
    }
