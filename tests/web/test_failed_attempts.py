"""Failed attempts: an address that keeps failing is told to wait, and good tokens pass."""

import time

import pytest
from limits import parse_many
from limits.strategies import MovingWindowRateLimiter

from tests.builders import OTHER_SECRET, Service, a_service_with, a_token
from tests.fakes import FakeDirectory
from tokensvc.adapters.limit_storage import WindowStorage
from tokensvc.domain.errors import RateLimitedError, SessionError
from tokensvc.web.failed_attempts import FailedAttempts, network_of

PROXY = {"trusted_proxies": ["127.0.0.0/8"]}


def a_strict_service(limit: str = "3 per minute") -> Service:
    limits = {"per_user": "100000 per minute", "failed_per_address": limit}
    return a_service_with(FakeDirectory(), limits=limits, http=PROXY)


def forged(service: Service, address: str = "198.51.100.1") -> int:
    """Send a forged token from *address* and return the status."""
    answer = service.login(a_token(key=OTHER_SECRET), headers={"X-Forwarded-For": address})
    return int(answer.status_code)


def test_address_that_keeps_failing_is_told_to_wait() -> None:
    """After the allowed failures an address gets 429 and a time instead of 401."""
    service = a_strict_service()
    statuses = [forged(service) for _ in range(4)]

    answer = service.login("x", headers={"X-Forwarded-For": "198.51.100.1"})

    assert statuses == [401, 401, 401, 429]
    assert (answer.get_json()["code"], answer.get_json()["action"]) == ("rate_limited", "retry")
    assert 1 <= int(answer.headers["Retry-After"]) <= 60


@pytest.mark.parametrize("ahead_s", [-3600, 3600])
def test_clock_that_was_set_keeps_nobody_out(ahead_s: float) -> None:
    """Nobody is told to wait longer than the window is, or not at all."""
    attempts = FailedAttempts(
        MovingWindowRateLimiter(WindowStorage()),
        parse_many("1 per minute"),
        now=lambda: time.time() + ahead_s,
    )
    attempts.charge(SessionError("x"), "198.51.100.1")
    with pytest.raises(RateLimitedError) as raised:
        attempts.charge(SessionError("x"), "198.51.100.1")

    assert raised.value.retry_after_s == (60 if ahead_s < 0 else 1)


def test_good_token_passes_all_the_same() -> None:
    """Whoever shares an address with an attacker is not locked out."""
    service = a_strict_service()
    for _ in range(10):
        forged(service)

    answer = service.login(headers={"X-Forwarded-For": "198.51.100.1"})

    assert answer.status_code == 201


def test_other_addresses_have_their_own() -> None:
    """One address over the limit does not stop another."""
    service = a_strict_service("1 per minute")
    forged(service)

    assert forged(service, "198.51.100.1") == 429
    assert forged(service, "198.51.100.2") == 401


def test_one_ipv6_network_is_one_address() -> None:
    """Moving about in one's own /64 is no way around it; the next /64 is somebody else."""
    service = a_strict_service("1 per minute")
    forged(service, "2001:db8:0:1::1")

    assert forged(service, "2001:db8:0:1:ffff::2") == 429
    assert forged(service, "2001:db8:0:2::1") == 401


def test_good_tokens_cost_nothing() -> None:
    """Only failures are counted."""
    service = a_strict_service("1 per minute")
    for _ in range(5):
        service.login(headers={"X-Forwarded-For": "198.51.100.1"})

    assert forged(service) == 401


def test_expired_tokens_cost_nothing() -> None:
    """A whole office returns on Monday with expired sessions."""
    service = a_strict_service("1 per minute")
    for _ in range(5):
        service.login(a_token(exp=1), headers={"X-Forwarded-For": "198.51.100.1"})

    assert forged(service) == 401


def test_subject_that_is_no_uid_costs_nothing() -> None:
    """Nor does a good token whose subject CometChat cannot take."""
    service = a_strict_service("1 per minute")
    for _ in range(5):
        service.login(a_token(sub="Alice"), headers={"X-Forwarded-For": "198.51.100.1"})

    assert forged(service) == 401


def test_refusal_is_recorded() -> None:
    """The record says which limit it was."""
    service = a_strict_service("1 per minute")
    forged(service)
    forged(service)

    line = service.records()[1]
    assert (line["outcome"], line["reason"]) == (
        "rate_limited",
        "failed attempts over 1 per 1 minute",
    )


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("198.51.100.1", "198.51.100.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8:0:0:ffff::", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_networks(address: str, network: str) -> None:
    """IPv4 counts by address, IPv6 by the /64."""
    assert network_of(address) == network
