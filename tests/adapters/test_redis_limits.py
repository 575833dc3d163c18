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
from tokensvc.domain.windows import Window


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


MINUTE = Window("LIMITS/ann/minute", 10, 60)
DAY = Window("LIMITS/ann/day", 30, 86_400)


@pytest.fixture
def storage(server: RedisServer) -> OneTripStorage:
    """Return a storage on that Redis."""
    return OneTripStorage(server.url)


def test_windows_of_a_request_take_one_trip(server: RedisServer, storage: OneTripStorage) -> None:
    """Verdicts and what is left of all windows are told at once."""
    storage.hit_all([MINUTE, DAY])

    before = server.admin.info("stats")["total_reads_processed"]
    states = [storage.hit_all([MINUTE, DAY]) for _ in range(5)]

    # The question itself is one of them.
    assert server.admin.info("stats")["total_reads_processed"] - before == 5 + 1
    assert [(minute.hits, day.hits) for minute, day in states] == [(n, n) for n in range(2, 7)]


def test_hits_are_counted_in_all_windows_or_in_none(storage: OneTripStorage) -> None:
    """One full window is enough: the others lose nothing, and are told as they are."""
    tight = Window("LIMITS/ann/tight", 2, 60)
    states = [storage.hit_all([tight, DAY]) for _ in range(4)]

    assert [state.is_full for state, _ in states] == [False, False, True, True]
    assert [(first.hits, day.hits, day.is_full) for first, day in states] == [
        (1, 1, False),
        (2, 2, False),
        (2, 2, False),
        (2, 2, False),
    ]
    assert storage.hit_all([DAY])[0].hits == 3


def test_windows_are_those_of_the_library(server: RedisServer, storage: OneTripStorage) -> None:
    """Old and new processes count together: the same verdicts, on the same lists."""
    theirs = RedisStorage(server.url)
    chance = random.Random(7)
    window = Window("LIMITS/both", 40, 60)

    for number in range(1, 61):
        if chance.random() < 0.5:
            is_counted = theirs.acquire_entry(window.key, window.limit, window.expiry_s)
        else:
            is_counted = not storage.hit_all([window])[0].is_full
        oldest, hits = theirs.get_moving_window(window.key, window.limit, window.expiry_s)
        told = storage.hit_all([window._replace(limit=hits)])[0]  # full: counts nothing

        assert is_counted is (number <= window.limit)
        assert (told.hits, told.is_full) == (hits, True)
        assert told.oldest == pytest.approx(oldest, abs=0.001)


def test_hits_leave_their_window(
    server: RedisServer, storage: OneTripStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is older than the window neither counts nor is told, nor is it kept for ever."""
    window = Window("LIMITS/ann/slow", 5, 35)
    for since_s in range(12):
        monkeypatch.setattr("time.time", lambda at=since_s: 1_800_000_000.0 + 10 * at)
        state = storage.hit_all([window])[0]

        assert state.hits == min(since_s + 1, 4)
        assert state.oldest == 1_800_000_000.0 + 10 * max(since_s - 3, 0)
    assert server.admin.llen(storage.prefixed_key(window.key)) == 5


def test_keys_are_forgotten_with_their_windows(
    server: RedisServer, storage: OneTripStorage
) -> None:
    """A key lives as long as its window."""
    storage.hit_all([MINUTE, DAY])

    lives = [server.admin.ttl(storage.prefixed_key(window.key)) for window in (MINUTE, DAY)]
    assert (50 < lives[0] <= 60, 86_390 < lives[1] <= 86_400) == (True, True)


def test_scripts_that_are_gone_are_told_anew(server: RedisServer, storage: OneTripStorage) -> None:
    """A Redis that was started anew has no scripts; nothing is counted twice for that."""
    storage.hit_all([MINUTE])
    server.admin.script_flush()

    assert storage.hit_all([MINUTE])[0].hits == 2
