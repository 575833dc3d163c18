"""Who is at the other end, when proxies stand in between."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address
_MOST_CHARS: Final = 45
"""Of an address: eight groups, of which the last two may be spelled as IPv4."""
_KEPT: Final = 4096


def client_address(
    peer: str | None, forwarded_for: str, *, trusted_proxies: Sequence[Network]
) -> str | None:
    """Return the address of the client, as far as it can be believed.

    Walks from the peer back through X-Forwarded-For, and stops at the first
    address that is not one of our own proxies: whatever stands further left, the
    client may have written itself.
    """
    address = _parse(peer or "")
    for hop in reversed(forwarded_for.split(",")):
        if address is None or not any(address in network for network in trusted_proxies):
            break
        earlier = _parse(hop.strip())
        if earlier is None:
            break
        address = earlier
    return str(address) if address else None


def _parse(text: str) -> Address | None:
    return _read(text) if len(text) <= _MOST_CHARS else None


@lru_cache(_KEPT)
def _read(text: str) -> Address | None:
    """Return the address in a short text; that of a proxy stands in each of its requests."""
    if "%" in text:
        # A zone is a name on somebody's machine.
        return None
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address
