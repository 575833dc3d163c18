"""Whether Redis is asked: not while it is lost, again and again beside the requests, then anew."""

import time

import pytest
from redis import exceptions as faults

from tests.exhaustion import no_threads
from tests.fakes import Notices
from tokensvc.adapters.redis_health import CALM_S, IDLE_S, RedisHealth, reason_of

SOON_S = 10.0
REFUSED = faults.ConnectionError("refused")


class Rig:
    """A health whose clock and whose Redis are the test's."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.answers = False
        self.error: Exception = REFUSED
        self.notices = Notices()
        self.health = RedisHealth(self.ask, notify=self.notices, now=lambda: self.time)

    def ask(self) -> None:
        if not self.answers:
            raise self.error

    def lose(self) -> None:
        self.health.fail(REFUSED, self.health.epoch)
        self.health.stop()

    def turn_s(self) -> float:
        """Let one turn pass and return the seconds until the next."""
        wait_s = self.health.ask_again()
        self.time += wait_s
        return wait_s

    def come_back(self) -> None:
        self.answers = True
        while not self.health.is_up:
            self.turn_s()
        self.answers = False


@pytest.fixture
def rig() -> Rig:
    """Return a health that knows of nothing bad yet."""
    return Rig()


def test_questions_come_at_growing_intervals(rig: Rig) -> None:
    """The first soon, then twice as long each time, and never more than four seconds apart."""
    rig.lose()

    assert [rig.turn_s() for _ in range(7)] == [0.25, 0.5, 1.0, 2.0, 4.0, 4.0, 4.0]


def test_return_is_told_with_what_was_missed(rig: Rig) -> None:
    """The operator reads how long it was, and how many logins were counted here alone."""
    rig.lose()
    for _ in range(3):
        rig.health.count_login()

    rig.come_back()

    assert rig.notices.names() == ["limit_storage_lost", "limit_storage_back"]
    assert rig.notices.events[1].facts == {"seconds": 0.25, "logins": 3}
    assert rig.health.ask_again() == IDLE_S


def test_misused_probe_is_no_loss(rig: Rig) -> None:
    """If another program writes to the very key that Redis is asked with, Redis is back."""
    rig.lose()
    rig.error = faults.ResponseError("WRONGTYPE Operation")
    rig.turn_s()

    rig.turn_s()

    assert rig.health.is_up


def test_late_failure_is_no_new_loss(rig: Rig) -> None:
    """Whoever began before the return, and fails after it, says nothing about now."""
    epoch = rig.health.epoch
    rig.lose()
    rig.come_back()

    rig.health.fail(REFUSED, epoch)

    assert rig.health.is_up


@pytest.mark.parametrize(("calm_s", "delay_s"), [(1.0, 0.5), (CALM_S, 0.25)])
def test_flapping_is_asked_about_ever_later(rig: Rig, calm_s: float, delay_s: float) -> None:
    """A server that comes and goes is not believed as soon as one that failed once."""
    rig.lose()
    rig.come_back()
    rig.time = 1000.25 + calm_s

    rig.lose()

    assert rig.turn_s() == delay_s


def test_key_fault_is_told_once_a_minute(rig: Rig) -> None:
    """A misused key is met at each of its user's logins; one line a minute says enough."""
    for _ in range(5):
        rig.health.fail(faults.ResponseError("WRONGTYPE Operation"), rig.health.epoch)
    rig.time += 60
    rig.health.fail(faults.ResponseError("WRONGTYPE Operation"), rig.health.epoch)

    assert rig.notices.names() == ["limit_key_unusable"] * 2
    assert rig.health.is_up


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (faults.TimeoutError("canary"), "timeout"),
        (faults.ConnectionError("canary"), "connection"),
        (faults.AuthenticationError("canary"), "password_refused"),
        (faults.ResponseError("ERR Error running script: @user_script: -OOM x"), "out_of_memory"),
        (faults.ResponseError("MISCONF canary"), "cannot_persist"),
        (faults.ResponseError("BUSYGROUP canary"), "refused"),
        (ValueError("canary"), "refused"),
    ],
)
def test_reason_is_a_word_of_ours(error: Exception, reason: str) -> None:
    """What the server wrote is never quoted."""
    assert reason_of(error) == reason


def test_redis_is_found_though_no_thread_could_be_had_when_it_was_lost() -> None:
    """A process at its limit of threads asks with the next login that it has room for."""
    health = RedisHealth(lambda: None, notify=Notices())
    with no_threads():
        health.fail(REFUSED, health.epoch)
        health.count_login()
    assert not health.is_up

    health.count_login()

    deadline = time.monotonic() + SOON_S
    while not health.is_up and time.monotonic() < deadline:
        time.sleep(0.01)
    assert health.is_up
    health.stop()
