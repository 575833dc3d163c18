"""Limits: each user has an allowance, and nobody else can spend it."""

import json
import re
from collections.abc import Callable
from typing import Any, cast

import pytest
from flask import Flask

from tests.builders import (
    NOWHERE,
    OTHER_SECRET,
    Service,
    a_service,
    a_service_with,
    a_sessions_table,
    a_token,
)
from tests.fakes import FakeDirectory
from tokensvc.adapters.breaker import Breaker
from tokensvc.adapters.cometchat import CometChatClient
from tokensvc.adapters.limit_storage import storage_url
from tokensvc.domain.windows import WindowState
from tokensvc.services import Services
from tokensvc.web.guard import Met, Quota, RouteLimiter


def a_limited_service(per_user: str = "3 per minute", **overrides: object) -> Service:
    return a_service_with(FakeDirectory(), limits={"per_user": per_user}, **overrides)


def a_limiter() -> RouteLimiter:
    return RouteLimiter(
        lambda: "anybody",
        key_prefix="test",
        strategy="moving-window",
        storage_uri=storage_url("memory:"),
    )


def breaker_of(service: Service) -> Breaker:
    """Return what decides whether CometChat is asked."""
    services: Services = service.app.extensions["tokensvc"]
    return cast("CometChatClient", services.tokens.issuer.directory).upstream.policy.breaker


def an_app(limiter: RouteLimiter, view: Callable[[], str]) -> Flask:
    """Return an app with one route, whose errors are raised."""
    app = Flask("limited")
    limiter.init_app(app)
    app.add_url_rule("/", view_func=view)
    app.testing = True
    return app


def test_over_the_limit_is_told_when_to_come_back() -> None:
    """The request after the last allowed one gets 429 with a time."""
    service = a_limited_service()
    statuses = [service.login().status_code for _ in range(3)]

    answer = service.login()

    problem = answer.get_json()
    assert statuses == [201] * 3
    assert (answer.status_code, problem["code"], problem["action"]) == (
        429,
        "rate_limited",
        "retry",
    )
    assert answer.headers["Retry-After"] == str(problem["retryAfter"])
    assert 1 <= problem["retryAfter"] <= 60


def test_allowance_is_told_in_each_answer() -> None:
    """RateLimit-Policy says what is allowed, RateLimit what is left."""
    service = a_limited_service()

    answer = service.login()

    assert answer.headers["RateLimit-Policy"] == '"user";q=3;w=60'
    assert re.fullmatch(r'"user";r=2;t=(60|59)', answer.headers["RateLimit"])
    assert "Retry-After" not in answer.headers


def test_allowance_is_told_over_the_limit() -> None:
    """A refusal says that nothing is left."""
    service = a_limited_service("1 per minute")
    service.login()

    answer = service.login()

    assert re.fullmatch(r'"user";r=0;t=\d+', answer.headers["RateLimit"])


def test_the_tighter_of_two_limits_is_told() -> None:
    """Of several windows, RateLimit tells the one with the least left."""
    service = a_limited_service("10 per minute; 2 per day")

    answer = service.login()

    assert answer.headers["RateLimit-Policy"] == '"user";q=10;w=60, "user-2";q=2;w=86400'
    assert re.fullmatch(r'"user-2";r=1;t=86400', answer.headers["RateLimit"])


def test_limits_are_told_shortest_first() -> None:
    """However they are written down, the windows are told in one order."""
    service = a_limited_service("2 per day; 10 per minute")

    policy = service.login().headers["RateLimit-Policy"]

    assert policy == '"user";q=10;w=60, "user-2";q=2;w=86400'


def test_retry_after_waits_for_all_that_is_full() -> None:
    """Of two full windows the longer one says when to come back."""
    service = a_limited_service("1 per minute; 1 per hour")
    service.login()

    assert 3590 <= service.login().get_json()["retryAfter"] <= 3600


def test_retry_after_waits_for_nothing_that_has_room() -> None:
    """A full minute is over after a minute, however long the other windows are."""
    service = a_limited_service("1 per minute; 200 per day")
    service.login()

    assert service.login().get_json()["retryAfter"] <= 60


@pytest.mark.parametrize(("oldest", "reset_s"), [(930.0, 1), (1000.5, 60), (970.2, 31)])
def test_a_reset_is_within_its_window(oldest: float, reset_s: int) -> None:
    """Whole seconds, and never none; a storage whose clock is ahead lets nobody wait for longer."""
    met = Met((Quota(1, 60),), [WindowState(oldest=oldest, hits=1, is_full=True)])

    assert met.retry_after_s(1000.0) == reset_s
    assert met.left(["user"], 1000.0) == f'"user";r=0;t={reset_s}'


def test_each_user_has_their_own() -> None:
    """One user over the limit does not stop another."""
    service = a_limited_service("1 per minute")
    service.login(a_token(sub="alice"))

    assert service.login(a_token(sub="bob")).status_code == 201


def test_a_second_session_token_is_no_second_allowance() -> None:
    """The allowance is the user's, not the token's."""
    service = a_limited_service("1 per minute")
    service.login(a_token(jti="one"))

    assert service.login(a_token(jti="two")).status_code == 429


def test_an_outage_spends_nobodys_allowance() -> None:
    """Who asks again while CometChat would not be asked is let in as soon as it is back."""
    now_s = 1000.0
    service = a_service(
        {"cometchat": {"base_url": NOWHERE}, "limits": {"per_user": "2 per day"}},
        monotonic=lambda: now_s,
    )
    breaker_of(service).hold_for(60)

    asked = [service.login() for _ in range(5)]

    lines = [line for line in service.records() if line["event"] == "request"]
    assert [line["reason"] for line in lines] == ["breaker_open"] * 5
    assert all("RateLimit" not in answer.headers for answer in asked)
    now_s += 61
    assert service.login().headers["RateLimit"].startswith('"user";r=1;')


def test_issuers_do_not_share_allowances() -> None:
    """Equal subjects of two issuers are two users."""
    other = a_sessions_table(issuer="https://other", secret=OTHER_SECRET, uid_prefix="o-")
    sessions = json.dumps([a_sessions_table(uid_prefix="a-"), other])
    service = a_limited_service("1 per minute", sessions=json.loads(sessions))
    service.login()

    assert service.login(a_token(key=OTHER_SECRET, iss="https://other")).status_code == 201


@pytest.mark.parametrize("change", [{"key": OTHER_SECRET}, {"aud": "other"}, {"exp": 1}])
def test_a_refused_token_spends_nobodys_allowance(change: dict[str, object]) -> None:
    """A forged token in alice's name does not lock alice out."""
    service = a_limited_service("1 per minute")
    for _ in range(5):
        service.login(a_token(**change))  # type: ignore[arg-type]  # (one change of several types)

    assert service.login().status_code == 201


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/version"])
def test_probes_are_never_limited(path: str) -> None:
    """Probes come as often as they like, also from one address."""
    service = a_limited_service("1 per day")

    assert {service.client.get(path).status_code for _ in range(50)} == {200}
    assert "RateLimit" not in service.client.get(path).headers


def test_refusal_is_recorded() -> None:
    """The record names the limit and the user."""
    service = a_limited_service("1 per minute")
    service.login()

    service.login()

    line = service.records()[1]
    assert (line["outcome"], line["reason"], line["uid"]) == (
        "rate_limited",
        "over 1 per 1 minute",
        "alice",
    )


def test_refusal_names_the_limit_that_is_full() -> None:
    """Of several the one that has no room."""
    service = a_limited_service("9 per minute; 1 per day")
    service.login()

    service.login()

    assert service.records()[1]["reason"] == "over 1 per 1 day"


def test_default_is_ten_a_minute() -> None:
    """Without a setting the eleventh login of a minute is refused."""
    service = a_service_with(FakeDirectory(), limits={})

    assert [service.login().status_code for _ in range(11)] == [201] * 10 + [429]


@pytest.mark.parametrize(
    "option",
    [
        {"exempt_when": lambda: True},
        {"methods": ["GET"]},
        {"deduct_when": lambda _: True},
        {"per_method": True},
        {"cost": 2},
        {"on_breach": lambda _: None},
        {"meta_limits": ["1 per hour"]},
        {"scope": "everywhere"},
    ],
    ids=lambda option: next(iter(option)),
)
def test_no_option_is_left_out_in_silence(option: dict[str, Any]) -> None:
    """What the limiter does not do, no limit may ask for."""
    limiter = a_limiter()
    app = an_app(limiter, limiter.limit("1 per minute", **option)(lambda: "in"))

    with pytest.raises(ValueError, match="nothing but its windows"):
        app.test_client().get("/")


def test_limits_of_one_route_have_one_key() -> None:
    """Whose allowance it is, is asked once: a limit by another key would be counted by this one."""
    limiter = a_limiter()
    by_another = limiter.limit("9 per minute", key_func=lambda: "somebody")(lambda: "in")
    app = an_app(limiter, limiter.limit("1 per minute")(by_another))

    with pytest.raises(ValueError, match="one key for all"):
        app.test_client().get("/")
