"""A Redis that fails in each of its ways: logins go on, limits hold, and it is found again."""

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
import redis

from tests.builders import Service, a_service_with, a_token
from tests.fakes import FakeDirectory, Notices
from tests.faults.proxy import Mode, a_proxy
from tests.faults.rows import Row
from tests.redis_server import RedisServer, a_redis
from tokensvc.adapters.redis_limits import shared_options

ADDED_S: Final = 0.3
"""What a fault may add to the login that meets it first."""
RECOVERY_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Fault:
    """A row, and how its fault is made and mended."""

    row: Row
    begin: Callable[[RedisServer], None]
    end: Callable[[RedisServer], None]
    reasons: tuple[str, ...]
    """What the operator's event may give as the reason."""
    meanwhile: Callable[[RedisServer], None] = RedisServer.nothing
    """What happens while the first login is under way."""
    end_event: str | None = "limit_storage_back"

    def __str__(self) -> str:
        return self.row.fault


def lost(fault: str) -> Row:
    """Return a row of the kind that concerns all users."""
    return Row("Redis", fault, 201, "ok", "limit_storage_lost")


KEY_MISUSED: Final = Row("Redis", "a key of another type", 201, "ok", "limit_key_unusable")
FAULTS: Final = (
    # On a busy machine the deadline may come before the refusal.
    Fault(lost("refused"), RedisServer.kill, RedisServer.start, ("connection", "timeout")),
    Fault(lost("hung"), RedisServer.pause, RedisServer.resume, ("timeout",)),
    Fault(
        *(lost("killed in a script"), RedisServer.loop_in_a_script, RedisServer.start),
        reasons=("connection", "timeout"),
        meanwhile=RedisServer.kill,
    ),
    Fault(lost("out of memory"), RedisServer.fill, RedisServer.empty, ("out_of_memory",)),
    Fault(lost("read-only"), RedisServer.demote, RedisServer.promote, ("read_only",)),
    Fault(
        *(lost("password changed"), RedisServer.change_password),
        end=RedisServer.change_password_back,
        reasons=("password_refused",),
    ),
    Fault(
        *(KEY_MISUSED, RedisServer.misuse_keys, RedisServer.forget_keys, ("wrong_type",)),
        end_event=None,
    ),
)
SLOW: Final[Mapping[Mode, Row]] = {
    "late": lost("each answer late, none too late"),
    "drip": lost("answers byte by byte"),
}
ROWS: Final = (*(fault.row for fault in FAULTS), *SLOW.values())


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """Run a Redis for one test."""
    with a_redis(tmp_path) as running:
        yield running


@pytest.fixture(params=FAULTS, ids=str)
def fault(request: pytest.FixtureRequest) -> Fault:
    """Return each row in turn."""
    row: Fault = request.param
    return row


def a_service_on(server: RedisServer, url: str = "") -> Service:
    limits = {"per_user": "3 per minute; 100 per day", "storage_url": url or server.url}
    return a_service_with(FakeDirectory(), limits=limits)


def timed_login(service: Service, subject: str = "alice") -> tuple[int, float]:
    """Return the status of a login, and the seconds it took."""
    token = a_token(sub=subject)
    started = time.perf_counter()
    status: int = service.login(token).status_code
    return status, time.perf_counter() - started


def begin(fault: Fault, server: RedisServer, service: Service) -> tuple[int, float]:
    """Let *fault* begin, and return how the login fared that met it first."""
    fault.begin(server)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(timed_login, service)
        fault.meanwhile(server)
        return first.result()


def first_login_s(fault: Fault, folder: Path) -> float:
    """Let *fault* befall a Redis of its own; return how long the first login waited for that.

    Whatever else is to be so, is asserted.
    """
    folder.mkdir()
    with a_redis(folder) as server:
        service = a_service_on(server)
        _, usual_s = timed_login(service)

        status, first_s = begin(fault, server, service)
        # The fastest of some: a busy machine may hold up any one of them.
        next_s, next_status = min(
            timed_login(service, f"user-{number}")[::-1] for number in range(5)
        )

        assert (status, next_status) == (fault.row.status, fault.row.status)
        assert next_s - usual_s < ADDED_S / 3
        line = service.log.wait_for(fault.row.operator, RECOVERY_S)
        assert line["reason"] in fault.reasons
        assert line["alarm"] is True
    return first_s - usual_s


def test_logins_go_on(fault: Fault, tmp_path: Path) -> None:
    """The first login waits once, the next ones never; the operator reads what is wrong.

    A busy machine may hold up that one login too: then the same is seen once or twice more.
    """
    waits = (first_login_s(fault, tmp_path / f"{number}") for number in range(3))

    assert any(waited_s < ADDED_S for waited_s in waits)


def test_limits_hold_meanwhile(fault: Fault, server: RedisServer) -> None:
    """Each process keeps the limit by itself: the fourth login of a minute is refused."""
    service = a_service_on(server)
    timed_login(service)

    first, _ = begin(fault, server, service)
    statuses = [first, *(timed_login(service)[0] for _ in range(3))]

    assert statuses == [201, 201, 201, 429]


def test_it_is_found_again(fault: Fault, server: RedisServer) -> None:
    """When the fault ends, logins are counted in Redis again within ten seconds, by itself."""
    service = a_service_on(server)
    timed_login(service)
    begin(fault, server, service)
    timed_login(service)

    fault.end(server)
    if fault.end_event:
        line = service.log.wait_for(fault.end_event, RECOVERY_S)
        assert (line["logins"], line["alarm"]) == (2, False)

    timed_login(service, "bob")
    assert len(server.keys("LIMITS:*bob*")) == 2


@pytest.mark.parametrize("mode", list(SLOW))
def test_slow_redis_is_a_lost_one(mode: Mode, server: RedisServer) -> None:
    """All answers of a login together have one deadline; past it nobody waits any more."""
    with a_proxy(server.port) as proxy:
        proxy.pause_s = 0.13
        service = a_service_on(server, server.url.replace(str(server.port), str(proxy.port)))
        _, usual_s = timed_login(service)
        # A connection begins with some questions, and a hit is one more.
        proxy.set_mode(mode)

        status, first_s = timed_login(service)
        next_s = min(timed_login(service, f"user-{number}")[1] for number in range(5))
        line = service.log.wait_for("limit_storage_lost", RECOVERY_S)
        proxy.set_mode("pass")
        service.log.wait_for("limit_storage_back", RECOVERY_S)

    assert (status, line["reason"]) == (201, "timeout")
    assert first_s - usual_s < ADDED_S
    assert next_s - usual_s < ADDED_S / 3


@pytest.mark.parametrize("begin", [RedisServer.fill, RedisServer.demote])
def test_it_is_not_back_before_it_counts(
    begin: Callable[[RedisServer], None], server: RedisServer
) -> None:
    """A Redis that answers, but takes no hits, is not taken for one that is back."""
    clock, notices = [1000.0], Notices()
    options = shared_options(
        lambda: server.url, notify=notices, login_window_s=60, now=lambda: clock[0]
    )
    health = options["health"]
    begin(server)
    health.fail(redis.ConnectionError(), health.epoch)
    health.stop()
    clock[0] += 1

    health.ask_again()

    assert not health.is_up
    assert notices.names() == ["limit_storage_lost"]


def test_a_loss_is_told_once(server: RedisServer) -> None:
    """Sixteen logins that meet the loss together are one line, and then one more at the return."""
    service = a_service_on(server)
    timed_login(service)
    server.pause()

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda number: timed_login(service, f"user-{number}"), range(16)))
    server.resume()
    line = service.log.wait_for("limit_storage_back", RECOVERY_S)

    assert service.log.getvalue().count("limit_storage_lost") == 1
    assert line["logins"] == 16


def test_another_users_key_is_well(server: RedisServer) -> None:
    """A key that is misused concerns its user alone."""
    service = a_service_on(server)
    timed_login(service)
    server.misuse_keys()
    timed_login(service)

    timed_login(service, "bob")

    assert len(server.keys("LIMITS:*bob*")) == 2
    assert "limit_storage_lost" not in service.log.getvalue()


def test_no_thread_without_a_loss(server: RedisServer) -> None:
    """While Redis is well nobody asks it in the background."""
    service = a_service_on(server)
    timed_login(service)

    assert server.keys("*probe*") == []
