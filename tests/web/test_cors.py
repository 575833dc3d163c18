"""CORS: the pages on the list may call, and no others."""

from dataclasses import replace

import pytest

from tests.builders import Service, a_service_with, a_token, bearer
from tests.fakes import FakeDirectory
from tokensvc.web.shedding import USUAL_PER_S, Shedding

PAGE = "https://app.example.test"
STRANGERS = [
    "https://evil.test",
    "null",
    "https://app.example.test.evil.test",
    "http://app.example.test",
]


def a_service_for_pages() -> Service:
    return a_service_with(FakeDirectory(), http={"allowed_origins": [PAGE]})


def preflight(service: Service, origin: str) -> dict[str, str]:
    answer = service.client.options(
        "/v1/auth-tokens",
        headers={
            "Origin": origin,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization",
        },
    )
    assert answer.status_code == 200
    return dict(answer.headers)


def test_preflight_of_an_allowed_page() -> None:
    """The preflight needs no session and allows what the login needs."""
    headers = preflight(a_service_for_pages(), PAGE)

    assert headers["Access-Control-Allow-Origin"] == PAGE
    assert "authorization" in headers["Access-Control-Allow-Headers"].lower()
    assert "POST" in headers["Access-Control-Allow-Methods"]
    assert "Access-Control-Allow-Credentials" not in headers


@pytest.mark.parametrize("origin", STRANGERS)
def test_preflight_of_a_stranger(origin: str) -> None:
    """A page that is not on the list is allowed nothing."""
    assert "Access-Control-Allow-Origin" not in preflight(a_service_for_pages(), origin)


def test_preflights_are_not_limited() -> None:
    """Preflights spend no allowance."""
    service = a_service_with(
        FakeDirectory(), http={"allowed_origins": [PAGE]}, limits={"per_user": "1 per day"}
    )
    for _ in range(20):
        preflight(service, PAGE)

    assert service.login().status_code == 201


def test_answer_to_an_allowed_page() -> None:
    """The page may read the answer and the headers that say when to come back."""
    answer = a_service_for_pages().login(headers={"Origin": PAGE})

    exposed = answer.headers["Access-Control-Expose-Headers"]
    assert answer.headers["Access-Control-Allow-Origin"] == PAGE
    assert {"Retry-After", "RateLimit", "X-Request-Id"} <= set(exposed.split(", "))


@pytest.mark.parametrize("origin", STRANGERS)
def test_answer_to_a_stranger(origin: str) -> None:
    """A page that is not on the list cannot read the answer."""
    answer = a_service_for_pages().login(headers={"Origin": origin})

    assert "Access-Control-Allow-Origin" not in answer.headers


def test_problems_can_be_read_too() -> None:
    """An error that a page cannot read is no clear error."""
    answer = a_service_for_pages().client.post("/v1/auth-tokens", headers={"Origin": PAGE})

    assert answer.status_code == 401
    assert answer.headers["Access-Control-Allow-Origin"] == PAGE


@pytest.mark.parametrize(
    ("allowed", "stranger"),
    [
        ("http://[::1]:3000", "http://1:3000.evil.test"),
        ("https://a.example.test", "https://aXexample.test"),
    ],
)
def test_origins_are_no_patterns(allowed: str, stranger: str) -> None:
    """Whatever an origin looks like, it allows itself and nothing that resembles it."""
    service = a_service_with(FakeDirectory(), http={"allowed_origins": [allowed]})

    assert preflight(service, allowed)["Access-Control-Allow-Origin"] == allowed
    assert "Access-Control-Allow-Origin" not in preflight(service, stranger)


def test_without_a_list_no_page_may_call() -> None:
    """The default allows nobody."""
    service = a_service_with(FakeDirectory())

    answer = service.client.post("/v1/auth-tokens", headers={**bearer(a_token()), "Origin": PAGE})

    assert "Access-Control-Allow-Origin" not in answer.headers


def test_pages_can_read_that_there_is_no_room() -> None:
    """What is refused at the door, before Flask, says the same to a page as what Flask answers."""
    service = a_service_for_pages()
    usual = service.login(headers={"Origin": PAGE}).headers
    shedding = service.app.wsgi_app
    assert isinstance(shedding, Shedding)
    shedding._crowd = replace(shedding._crowd, has_room=lambda _: False)  # noqa: SLF001

    answers = [service.login(headers={"Origin": PAGE}) for _ in range(USUAL_PER_S + 1)]

    assert answers[-1].status_code == 503
    for name in ("Access-Control-Allow-Origin", "Access-Control-Expose-Headers", "Vary"):
        assert answers[-1].headers[name] == usual[name]
