"""Settings towards CometChat take effect: time-outs, second tries, breaker, places, plan, keys."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pytest

from tests.builders import (
    API_KEY,
    GENEROUS,
    NO_DATABASE,
    Service,
    a_service,
    a_token,
    an_environment,
    settings,
)
from tests.fakes import WatchedLog
from tests.raw_server import Conversation, RawServer, an_answer, raw_server
from tests.upstreams import Clock
from tokensvc.adapters.cometchat import CometChatClient
from tokensvc.adapters.upstream import Policy
from tokensvc.app import app_around
from tokensvc.domain.errors import DirectoryUnavailableError
from tokensvc.services import assemble
from tokensvc.settings_loading import ConfigurationError, load_settings

OTHER_KEY = "9c2e4b7d1f6a8035c9e1b3d5f7092a4c6e8b0d2f"
TOKEN = an_answer(json.dumps({"data": {"uid": "alice", "authToken": "alice_1"}}).encode())
BROKEN = an_answer(b"{}", status="500 Oops")
OPEN = {"breaker_open_s": 50.0, "breaker_max_open_s": 50.0}
LONG_S = 20.0


@dataclass
class Subject:
    """The service, and the CometChat it calls."""

    service: Service
    vendor: RawServer
    directory: object

    def login(self, uid: str = "alice") -> tuple[int, str | None]:
        """Log in; return the status, and the reason in the record."""
        status = self.service.login(a_token(sub=uid)).status_code
        return status, self.requests_in_log()[-1].get("reason")

    def requests_in_log(self) -> list[dict[str, Any]]:
        return [line for line in self.service.records() if line["event"] == "request"]


@contextmanager
def subject(
    *answers: bytes | Conversation,
    cometchat: dict[str, Any] | None = None,
    upstream: dict[str, Any] | None = None,
    database: str = NO_DATABASE,
    per_user: str | None = None,
) -> Iterator[Subject]:
    """Run a service with these settings on a CometChat with these answers."""
    with raw_server(*answers) as vendor:
        overrides = {
            "cometchat": {"base_url": f"{vendor.url}/v3", **(cometchat or {})},
            "upstream": upstream or {},
            "storage": {"url": database},
        }
        limits = {"per_user": per_user} if per_user else GENEROUS
        log, chosen = WatchedLog(), settings(limits=limits, **overrides)
        services = assemble(chosen, log_stream=log)
        service = Service(app_around(services, chosen), log)
        yield Subject(service, vendor, services.tokens.issuer.directory)


def policy_of(directory: object) -> Policy:
    assert isinstance(directory, CometChatClient)
    return directory.upstream.policy


def hang(connection: socket.socket) -> None:
    connection.recv(1)


@pytest.mark.parametrize(("ratio", "tries"), [(0.0, 1), (0.1, 2)])
def test_retry_ratio(ratio: float, tries: int) -> None:
    """With 0 nothing is tried again."""
    with subject(BROKEN, upstream={"retry_ratio": ratio}) as tested:
        assert tested.login()[0] == 503
        assert len(tested.vendor.requests) == tries


@pytest.mark.parametrize(
    ("changes", "opens_after"),
    [
        ({"breaker_min_calls": 3}, 3),
        ({"breaker_min_calls": 6}, 6),
        ({"breaker_min_calls": 2, "breaker_failure_ratio": 1.0}, 2),
    ],
)
def test_breaker_min_calls(changes: dict[str, Any], opens_after: int) -> None:
    """So many failed calls, and the next login is refused at once."""
    with subject(BROKEN, upstream={"retry_ratio": 0.0, **OPEN, **changes}) as tested:
        reasons = [tested.login(f"user-{number}")[1] for number in range(opens_after + 1)]

    assert reasons == ["answer_not_understood_500"] * opens_after + ["breaker_open"]


@pytest.mark.parametrize(("ratio", "reason"), [(0.5, "breaker_open"), (1.0, None)])
def test_breaker_failure_ratio(ratio: float, reason: str | None) -> None:
    """Half of the calls failing is too much for one, and bearable for another."""
    rule = {"breaker_min_calls": 4, "breaker_failure_ratio": ratio}
    with subject(
        TOKEN, BROKEN, TOKEN, BROKEN, TOKEN, upstream={"retry_ratio": 0.0, **OPEN, **rule}
    ) as tested:
        for uid in ("alice", "bob", "alice", "carol"):
            tested.login(uid)

        assert tested.login()[1] == reason


def test_breaker_window() -> None:
    """Failures that lie further back than the window are forgotten."""
    reasons = {}
    for window_s in (1.0, 600.0):
        clock = [0.0]
        rule = {"breaker_min_calls": 2, "breaker_window_s": window_s, "retry_ratio": 0.0, **OPEN}
        with raw_server(BROKEN) as vendor:
            overrides = {"cometchat": {"base_url": f"{vendor.url}/v3"}, "upstream": rule}
            service = a_service(overrides, monotonic=lambda clock=clock: clock[0])
            for uid in ("alice", "bob", "carol"):
                service.login(a_token(sub=uid))
                clock[0] += 5.0
        reasons[window_s] = service.records()[-1]["reason"]

    assert reasons == {1.0: "answer_not_understood_500", 600.0: "breaker_open"}


@pytest.mark.parametrize(("timeouts", "reason"), [(1, "breaker_open"), (3, "timeout")])
def test_breaker_timeouts(timeouts: int, reason: str) -> None:
    """So many time-outs in a row, and nobody waits any more."""
    rule = {"retry_ratio": 0.0, "breaker_timeouts": timeouts, **OPEN}
    with subject(hang, cometchat={"try_timeout_s": 0.5}, upstream=rule) as tested:
        tested.login()

        assert tested.login()[1] == reason


@pytest.mark.parametrize(
    ("rule", "bound_s"),
    [
        ({"breaker_open_s": 30.0, "breaker_max_open_s": 60.0}, 30),
        ({"breaker_open_s": 30.0, "breaker_max_open_s": 10.0}, 10),
    ],
)
def test_breaker_open_times(rule: dict[str, Any], bound_s: int) -> None:
    """Open for between half and all of breaker_open_s, and never longer than the bound."""
    with subject(BROKEN, upstream={"retry_ratio": 0.0, "breaker_min_calls": 1, **rule}) as tested:
        tested.login()
        answer = tested.service.login()

    assert bound_s / 2 - 1 <= answer.get_json()["retryAfter"] <= bound_s


@pytest.mark.parametrize(
    ("changes", "bound_s"),
    [
        ({"read_timeout_s": 0.2}, 0.2),
        ({"try_timeout_s": 0.2}, 0.2),
        ({"total_timeout_s": 0.2}, 0.2),
    ],
)
def test_time_outs(changes: dict[str, float], bound_s: float) -> None:
    """Each of the time-outs ends a login that hangs."""
    started = time.monotonic()
    with subject(hang, cometchat=changes, upstream={"retry_ratio": 0.0}) as tested:
        assert tested.login() == (503, "timeout")

    assert bound_s <= time.monotonic() - started < bound_s + 0.5


def test_total_time_out_is_of_the_login(sqlite_url: str) -> None:
    """A login of several calls does not get the time once for each of them."""
    missing = an_answer(b'{"error": {"code": "ERR_UID_NOT_FOUND"}}', status="404 Not Found")

    def answer_slowly(connection: socket.socket) -> None:
        threading.Event().wait(0.6)
        connection.sendall(missing)

    started = time.monotonic()
    chosen = {"total_timeout_s": 1.0}
    with subject(answer_slowly, hang, cometchat=chosen, database=sqlite_url) as tested:
        assert tested.login() == (503, "timeout")

    assert 1.0 <= time.monotonic() - started < 1.5


def test_connect_time_out() -> None:
    """An address that swallows everything is given up after that time."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as hole:
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)  # noqa: FBT003 (the library's signature)
            filler.connect_ex(hole.getsockname())
        port = hole.getsockname()[1]
        cometchat = {"base_url": f"http://127.0.0.1:{port}/v3", "connect_timeout_s": 0.2}
        service = a_service({"cometchat": cometchat, "upstream": {"retry_ratio": 0.0}})
        started = time.monotonic()
        service.login()
        for filler in fillers:
            filler.close()

    assert service.records()[0]["reason"] == "connect_timeout"
    assert 0.2 <= time.monotonic() - started < 0.7


@pytest.mark.parametrize(("max_waiting", "second"), [(0, 503), (1, 201)])
def test_waiting_for_a_place(max_waiting: int, second: int) -> None:
    """With the only place taken, who may wait gets it; without a queue there is a refusal."""
    release, asked = threading.Event(), threading.Event()

    def answer_late(connection: socket.socket) -> None:
        asked.set()
        release.wait(LONG_S)
        connection.sendall(TOKEN)

    places = {"max_in_flight": 1, "max_waiting": max_waiting, "max_wait_s": 5.0}
    with (
        subject(answer_late, cometchat={**places, "try_timeout_s": LONG_S}) as tested,
        ThreadPoolExecutor(2) as pool,
    ):
        holder = pool.submit(tested.login)
        asked.wait(LONG_S)
        waiter = pool.submit(tested.login)
        if max_waiting == 0:
            waiter.result(LONG_S)
        release.set()
        statuses = (holder.result()[0], waiter.result()[0])

    assert statuses == (201, second)


def test_how_long_to_wait_for_a_place() -> None:
    """Waiting ends with max_wait_s."""
    cometchat = {"max_in_flight": 1, "max_waiting": 1, "max_wait_s": 0.2}
    with subject(TOKEN, cometchat=cometchat) as tested:
        with policy_of(tested.directory).bulkhead.place():
            started = time.monotonic()
            outcome = tested.login()

        assert outcome == (503, "bulkhead_full")
        assert 0.2 <= time.monotonic() - started < 0.7


def test_a_login_without_a_place_spends_no_allowance() -> None:
    """Whoever comes back when they are told to is not over their limit for having been refused."""
    places = {"max_in_flight": 1, "max_waiting": 0}
    with subject(TOKEN, cometchat=places, per_user="2 per minute") as tested:
        with policy_of(tested.directory).bulkhead.place():
            refused = [tested.login() for _ in range(4)]
        after = [tested.login()[0] for _ in range(3)]

    assert refused == [(503, "bulkhead_full")] * 4
    assert after == [201, 201, 429]


def test_plan_limit() -> None:
    """No more calls in a minute than the plan takes; then 503 until the minute turns."""
    half_past = time.time() // 60 * 60 + 30
    with raw_server(TOKEN) as vendor:
        cometchat = {"base_url": f"{vendor.url}/v3", "plan_limit_per_minute": 2}
        service = a_service({"cometchat": cometchat}, now=lambda: half_past)
        # Issued by the service's clock: by the wall's it may be of the next minute.
        token = a_token(iat=int(half_past), exp=int(half_past) + 600)
        answers = [service.login(token) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [201, 201, 503]
    assert service.records()[-1]["reason"] == "request_budget_spent"
    assert answers[2].get_json()["retryAfter"] == 30


def test_a_login_beyond_the_plan_spends_no_allowance() -> None:
    """Who is told to come back when the minute turns is not over their limit then."""
    clock = Clock(time.time() // 60 * 60 + 30)
    with raw_server(TOKEN) as vendor:
        cometchat = {"base_url": f"{vendor.url}/v3", "plan_limit_per_minute": 2}
        chosen = {"cometchat": cometchat, "limits": {"per_user": "4 per hour"}}
        service = a_service(chosen, now=clock)
        token = a_token(iat=int(clock()), exp=int(clock()) + 600)
        statuses = [service.login(token).status_code for _ in range(6)]
        clock.advance(30)
        statuses += [service.login(token).status_code for _ in range(2)]

    assert statuses == [201, 201, *[503] * 4, 201, 201]


def test_plan_limit_is_the_free_plans_unless_it_is_set() -> None:
    """Whoever sets nothing stays below every plan's limit."""
    environ = an_environment(TOKENSVC_COMETCHAT__PLAN_LIMIT_PER_MINUTE=None)

    assert load_settings(environ).cometchat.plan_limit_per_minute == 500


@pytest.mark.parametrize(("reserve", "for_others"), [(0.0, 10), (0.5, 5), (1.0, 0)])
def test_login_reserve(reserve: float, for_others: int) -> None:
    """What is no login leaves this part of the plan alone."""
    chosen = settings(cometchat={"plan_limit_per_minute": 10, "login_reserve": reserve})
    services = assemble(chosen, now=lambda: 90.0, log_stream=WatchedLog())
    budget = policy_of(services.tokens.issuer.directory).request_budget
    spent = 0
    with suppress(DirectoryUnavailableError):
        while True:
            budget.spend("sync")
            spent += 1

    assert spent == for_others


def test_previous_key_is_tried() -> None:
    """With the current key refused the previous one logs the user in, and is kept to."""
    refused = an_answer(
        b'{"error": {"code": "AUTH_ERR_APIKEY_NOT_FOUND"}}', status="401 Unauthorized"
    )
    with subject(refused, TOKEN, cometchat={"api_key_previous": OTHER_KEY}) as tested:
        statuses = [tested.login()[0], tested.login()[0]]

    used = [OTHER_KEY.encode() in request for request in tested.vendor.requests]
    assert (statuses, used) == ([201, 201], [False, True, True])


@pytest.mark.parametrize("key", ["<your previous key>", "short", "a b c d e f g", "aaaaaaaaaaaa"])
def test_weak_previous_key(key: str) -> None:
    """The previous key is held to what the current one is."""
    with pytest.raises(ConfigurationError) as raised:
        load_settings(an_environment(TOKENSVC_COMETCHAT__API_KEY_PREVIOUS=key))

    assert "api_key_previous" in raised.value.faults[0]
    assert key not in str(raised.value)


def test_previous_key_from_a_file(tmp_path: Any) -> None:
    """It can be a file too, and is among what is masked."""
    file = tmp_path / "key"
    file.write_text(OTHER_KEY + "\n")

    settings = load_settings(an_environment(TOKENSVC_COMETCHAT__API_KEY_PREVIOUS_FILE=str(file)))

    assert settings.cometchat.api_keys() == [API_KEY, OTHER_KEY]
    assert OTHER_KEY in set(settings.secret_values())


def test_queue_leaves_the_probes_a_thread() -> None:
    """Who waits holds a thread as well as who is in flight."""
    with pytest.raises(ConfigurationError) as raised:
        load_settings(an_environment(TOKENSVC_COMETCHAT__MAX_WAITING="96"))

    assert "max_waiting" in raised.value.faults[0]
    load_settings(an_environment(TOKENSVC_COMETCHAT__MAX_WAITING="95"))
