"""Failed attempts: how often one address may be refused before it is told to wait."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network

from limits import RateLimitItem
from limits.strategies import RateLimiter

from tokensvc.domain.errors import RateLimitedError, SessionError, SessionExpiredError

IPV6_NETWORK_BITS = 64
"""What one customer has: whoever counts single addresses counts nothing."""


@dataclass(frozen=True, slots=True)
class FailedAttempts:
    """Counts refused session tokens by the address that they came from.

    Charged on failure alone, and asked on failure alone: a good token always
    passes, so that nobody can lock others out who share an address with them, or
    who seem to because a proxy in between is not configured.
    """

    limiter: RateLimiter
    limits: Sequence[RateLimitItem]
    now: Callable[[], float] = time.time

    def charge(self, error: SessionError, address: str | None) -> None:
        """Count *error* against *address*, and raise `RateLimitedError` if that is too much.

        An expired token costs nothing: it was good once, and many users of one
        network return at the same hour.
        """
        if isinstance(error, SessionExpiredError) or address is None:
            return
        key = network_of(address)
        for limit in self.limits:
            if not self.limiter.hit(limit, "failed", key):
                reset = self.limiter.get_window_stats(limit, "failed", key).reset_time
                # The storage's clock may be another, or this one may have been set.
                wait_s = min(math.ceil(reset - self.now()), limit.get_expiry())
                raise RateLimitedError(
                    f"failed attempts over {limit}",
                    retry_after_s=max(1, wait_s),
                ) from error


def network_of(address: str) -> str:
    """Return what counts as one address: an IPv4 address, or the /64 around an IPv6 one."""
    if isinstance(ip_address(address), IPv6Address):
        return str(ip_network((address, IPV6_NETWORK_BITS), strict=False))
    return address
