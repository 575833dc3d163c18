"""Client addresses: proxies of ours are believed, and nobody else."""

from ipaddress import ip_network

import pytest

from tokensvc.web import client_address as client_address_module
from tokensvc.web.client_address import client_address

PROXIES = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "found"),
    [
        ("203.0.113.9", "", "203.0.113.9"),
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "6.6.6.6, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "6.6.6.6, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "fe80::1%" + "A" * 20000, "10.0.0.1"),
        ("10.0.0.1", "fe80::1%eth0", "10.0.0.1"),
        ("fe80::1%eth0", "", None),
        ("0000:0000:0000:0000:0000:ffff:203.113.113.113", "", "203.113.113.113"),
        ("0000:0000:0000:0000:0000:ffff:203.113.113.1130", "", None),
        ("10.0.0.1", "junk", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1, junk", "10.0.0.1"),
        ("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("fd00::1", "2001:db8::5", "2001:db8::5"),
        (None, "198.51.100.1", None),
        ("not an address", "", None),
    ],
)
def test_address(peer: str | None, forwarded_for: str, found: str | None) -> None:
    """The first address from the right that is not our own proxy."""
    assert client_address(peer, forwarded_for, trusted_proxies=PROXIES) == found


def test_nobody_is_believed_by_default() -> None:
    """Without proxies of ours the header is a stranger's text."""
    assert client_address("10.0.0.1", "198.51.100.1", trusted_proxies=[]) == "10.0.0.1"


def test_what_is_no_address_is_not_kept() -> None:
    """A stranger writes this header: what is kept of it is as short as an address."""
    client_address("10.0.0.1", "", trusted_proxies=PROXIES)
    before = client_address_module._read.cache_info().currsize  # noqa: SLF001 (what it keeps)

    client_address("10.0.0.1", "x" * 5000, trusted_proxies=PROXIES)

    after = client_address_module._read.cache_info().currsize  # noqa: SLF001
    assert after == before
