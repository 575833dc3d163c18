"""Where the Redis of the limits is, and who we are there."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from limits.storage import RedisStorage

from tests.fakes import Notices
from tests.redis_server import RedisServer
from tokensvc.adapters.redis_limits import (
    CurrentCredentials,
    OneTripStorage,
    shared_options,
    without_credentials,
)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        ("redis://:p%40ss@127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        ("rediss://user:pass@redis.test:6380/2?x=1", "rediss://redis.test:6380/2?x=1"),
        ("redis+unix://:pass@/run/redis.sock?db=1", "redis+unix:///run/redis.sock?db=1"),
    ],
)
def test_place_is_told_from_credentials(url: str, place: str) -> None:
    """Each kind of URL has a place without them, which the library takes."""
    assert without_credentials(url) == place
    assert shared_options(lambda: url, notify=Notices(), login_window_s=60)["redis"]


@pytest.mark.parametrize(
    ("url", "credentials"),
    [
        ("redis://:p%40ss@h", ("p@ss",)),
        ("redis://user:p%23ss@h", ("user", "p#ss")),
        ("redis://us%2Fer:pass@h", ("us/er", "pass")),
        ("redis://user@h", ("user", "")),
    ],
)
def test_credentials_are_those_of_the_url(url: str, credentials: tuple[str, ...]) -> None:
    """User and password are decoded, and asked for anew each time."""
    current = ["redis://:before@h"]
    provider = CurrentCredentials(lambda: current[0])
    before = provider.get_credentials()
    current[0] = url

    assert before == ("before",)
    assert provider.get_credentials() == credentials


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """Run a real Redis for one test."""
    redis = RedisServer(tmp_path)
    yield redis
    redis.kill()


def test_hit_and_window_take_one_trip(server: RedisServer) -> None:
    """What is left is told with the hit, and Redis is asked no second time."""
    storage = OneTripStorage(server.url)
    storage.acquire_entry("LIMITS/ann", 10, 60)
    storage.get_moving_window("LIMITS/ann", 10, 60)

    before = server.admin.info("stats")["total_reads_processed"]
    for _ in range(5):
        storage.acquire_entry("LIMITS/ann", 10, 60)
        storage.get_moving_window("LIMITS/ann", 10, 60)

    # The question itself is one of them.
    assert server.admin.info("stats")["total_reads_processed"] - before == 5 + 1


def test_windows_are_those_of_the_library(server: RedisServer) -> None:
    """Whatever is hit in whatever order: the same verdicts, and the same windows."""
    ours, theirs = OneTripStorage(server.url), RedisStorage(server.url)
    chance = random.Random(7)

    for _ in range(300):
        key, amount = chance.choice(["ann", "bob", "eve"]), chance.randint(1, 3)
        verdicts = [
            storage.acquire_entry(f"LIMITS/{name}/{key}", 40, 60, amount)
            for name, storage in (("ours", ours), ("theirs", theirs))
        ]
        told = ours.get_moving_window(f"LIMITS/ours/{key}", 40, 60)

        assert verdicts[0] == verdicts[1]
        assert told == theirs.get_moving_window(f"LIMITS/ours/{key}", 40, 60)
        assert told[1] == theirs.get_moving_window(f"LIMITS/theirs/{key}", 40, 60)[1]


def test_window_of_another_is_asked_for(server: RedisServer) -> None:
    """A hit tells of its own key alone, and only once."""
    storage = OneTripStorage(server.url)
    for _ in range(3):
        storage.acquire_entry("LIMITS/bob", 10, 60)
    storage.acquire_entry("LIMITS/ann", 10, 60)

    assert storage.get_moving_window("LIMITS/bob", 10, 60)[1] == 3
    OneTripStorage(server.url).acquire_entry("LIMITS/ann", 10, 60)
    assert storage.get_moving_window("LIMITS/ann", 10, 60)[1] == 2


def test_scripts_that_are_gone_are_told_anew(server: RedisServer) -> None:
    """A Redis that was started anew has no scripts; nothing is counted twice for that."""
    storage = OneTripStorage(server.url)
    storage.acquire_entry("LIMITS/ann", 10, 60)
    server.admin.script_flush()

    assert storage.acquire_entry("LIMITS/ann", 10, 60)
    assert storage.get_moving_window("LIMITS/ann", 10, 60)[1] == 2
