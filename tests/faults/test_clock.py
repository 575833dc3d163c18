"""Faults of the clock: an hour too early, an hour too late, and right again."""

import time
from typing import Final

import pytest

from tests.builders import Service, a_service, a_token
from tests.faults.rows import Row
from tests.raw_server import an_answer, raw_server
from tokensvc.adapters.limit_storage import SteadyClock, WindowStorage

HOUR_S: Final = 3600.0
TOKEN: Final = b'{"data": {"uid": "alice", "authToken": "alice_1"}}'
AHEAD = Row("clock", "an hour ahead", 401, "session_expired", "exp_past")
BEHIND = Row("clock", "an hour behind", 401, "session_invalid", "iat_in_future")
ROWS: Final = (AHEAD, BEHIND)


class Clock:
    """The machine's clock, and by how much it is wrong."""

    def __init__(self) -> None:
        self.error_s = 0.0

    def __call__(self) -> float:
        return time.time() + self.error_s


def answer_of(service: Service) -> tuple[int, str, str]:
    """Return the status and the code of a login with a fresh token, and the audit's reason."""
    answer = service.login(a_token())
    line = service.records()[-1]
    return answer.status_code, answer.get_json().get("code", "ok"), line.get("reason", "")


@pytest.mark.parametrize(
    ("error_s", "row"), [(HOUR_S, AHEAD), (-HOUR_S, BEHIND)], ids=["ahead", "behind"]
)
def test_wrong_clock_is_told_and_forgotten(error_s: float, row: Row) -> None:
    """Nobody gets in on a wrong clock, the log says why, and a right one is enough."""
    clock = Clock()
    with raw_server(an_answer(TOKEN)) as vendor:
        service = a_service({"cometchat": {"base_url": f"{vendor.url}/v3"}}, now=clock)
        before = answer_of(service)

        clock.error_s = error_s
        during = answer_of(service)
        clock.error_s = 0.0

        assert before == answer_of(service) == (201, "ok", "")
        assert during == (row.status, row.code, row.operator)


@pytest.mark.parametrize("error_s", [HOUR_S, -HOUR_S], ids=["ahead", "behind"])
def test_limits_do_not_follow_the_clock(error_s: float) -> None:
    """A step of the clock neither opens a full window nor keeps it full."""
    clock = Clock()
    storage = WindowStorage(now=SteadyClock(clock))
    storage.acquire_entry("alice", 1, 60)

    clock.error_s = error_s

    assert not storage.acquire_entry("alice", 1, 60)
    assert abs(storage.get_moving_window("alice", 1, 60)[0] - time.time()) < 5


def test_limits_are_counted_by_the_steady_clock() -> None:
    """That clock is the one in use, unless another is handed in."""
    assert isinstance(WindowStorage()._now, SteadyClock)  # noqa: SLF001 (no other way to see it)
