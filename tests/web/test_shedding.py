"""Shedding: more logins than there is room for."""

import json
from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest
from werkzeug.datastructures import Headers
from werkzeug.test import Client, EnvironBuilder, TestResponse

from tests.builders import a_service
from tests.fakes import Notices
from tests.upstreams import Clock
from tests.watching import watching
from tokensvc.adapters.concurrency_limit import WATCHED_FROM
from tokensvc.domain.audit import RequestRecord
from tokensvc.web.shedding import ROUTE, USUAL_PER_S, Crowd, Shedding

MANY = USUAL_PER_S + 30
PAGE = "https://app.example.test"
FOR_PAGE = (("Access-Control-Allow-Origin", PAGE),)


class Subject:
    """Shedding in front of an application that counts what comes through."""

    def __init__(self) -> None:
        self.room, self.is_hopeless = 64, False
        self.came: list[str] = []
        self.noted: list[str] = []
        self.counted: list[tuple[RequestRecord, int]] = []
        self.notices, self.clock = Notices(), Clock()
        self.inside = 0
        """How many more logins come while one is under way."""
        self.wsgi = Shedding(
            self._application,
            Crowd(
                lambda inside: inside < self.room,
                lambda: self.is_hopeless,
                lambda: self.noted.append("refusal"),
            ),
            add=lambda record, times: self.counted.append((record, times)),
            of_origins={PAGE: FOR_PAGE},
            notify=self.notices,
            clock=self.clock,
        )

    def ask(self, path: str = ROUTE, method: str = "POST", **headers: str) -> TestResponse:
        return Client(self.wsgi).open(EnvironBuilder(path, method=method, headers=Headers(headers)))

    def statuses(self, count: int) -> list[int]:
        return [self.ask().status_code for _ in range(count)]

    def _application(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        self.came.append(environ["PATH_INFO"])
        if self.inside:
            self.inside -= 1
            self.ask()
        start_response("201 CREATED", [])
        return [b"{}"]


@pytest.fixture
def subject() -> Subject:
    """Return an application with room for everybody, until a test says otherwise."""
    return Subject()


def test_there_is_room(subject: Subject) -> None:
    """Nobody is refused, and nothing is told."""
    assert subject.statuses(MANY) == [201] * MANY
    assert (subject.counted, subject.notices.names(), subject.noted) == ([], [], [])


def test_no_place_is_free(subject: Subject) -> None:
    """A few a second go the usual way and have their lines in the log; the rest come later."""
    subject.is_hopeless = True

    assert subject.statuses(MANY) == [201] * USUAL_PER_S + [503] * 30
    assert len(subject.noted) == MANY
    subject.clock.advance(1)
    assert subject.ask("/livez", "GET").status_code == 201
    assert subject.notices.events[0].facts == {"count": 30}
    assert [(event.name, event.is_alarm) for event in subject.notices.events] == [
        ("logins_shed", True)
    ]
    assert subject.statuses(MANY) == [201] * USUAL_PER_S + [503] * 30


@pytest.mark.parametrize(("under_way", "last"), [(63, 201), (64, 503)])
def test_many_are_inside(subject: Subject, under_way: int, last: int) -> None:
    """Whoever is under way takes room until they are answered."""
    subject.is_hopeless = True
    subject.statuses(USUAL_PER_S)
    subject.is_hopeless = False
    statuses: list[int] = []
    subject.inside = under_way
    ask = subject.ask

    def ask_and_note() -> TestResponse:
        answer = ask()
        statuses.append(answer.status_code)
        return answer

    subject.ask = ask_and_note  # type: ignore[assignment,method-assign]
    subject.ask()

    assert statuses[0] == last
    assert set(statuses[1:]) == {201}
    assert subject.ask().status_code == 201


def test_answer_is_a_problem(subject: Subject) -> None:
    """It looks like every other refusal, with the caller's own request id."""
    subject.is_hopeless = True
    subject.statuses(USUAL_PER_S)

    answer = subject.ask(**{"X-Request-Id": "mine-1"})

    assert json.loads(answer.data) == {
        "type": "urn:tokensvc:problem:directory_unavailable",
        "title": "The service is busy at the moment",
        "status": 503,
        "code": "directory_unavailable",
        "action": "retry",
        "requestId": "mine-1",
        "retryAfter": 1,
    }
    assert answer.mimetype == "application/problem+json"
    assert {name: answer.headers[name] for name in ("Retry-After", "X-Request-Id")} == {
        "Retry-After": "1",
        "X-Request-Id": "mine-1",
    }
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_metrics_count_it(subject: Subject) -> None:
    """There is no line, but the counters know, and do not take it for an outage of CometChat."""
    subject.is_hopeless = True
    subject.statuses(MANY)
    subject.clock.advance(1)
    subject.ask("/livez", "GET")

    ((record, times),) = subject.counted
    assert (record.route, record.status, record.outcome, times) == (
        ROUTE,
        503,
        "logins_shed",
        30,
    )


def test_they_come_back_apart(subject: Subject) -> None:
    """Those who are refused together are told different seconds, with ids of theirs too."""
    subject.is_hopeless = True
    subject.statuses(USUAL_PER_S)

    for headers in ({}, {"X-Request-Id": "mine"}):
        answers = [subject.ask(**headers) for _ in range(8)]
        told = [int(answer.headers["Retry-After"]) for answer in answers]

        assert [json.loads(answer.data)["retryAfter"] for answer in answers] == told
        assert sorted(told) == [1, 1, 2, 2, 3, 3, 4, 4]


def test_each_has_an_id(subject: Subject) -> None:
    """A client that tells of its refusal can be told from the next one."""
    subject.is_hopeless = True
    subject.statuses(USUAL_PER_S)
    answers = [subject.ask() for _ in range(3)]

    ids = [answer.headers["X-Request-Id"] for answer in answers]
    assert len(set(ids)) == 3
    assert [json.loads(answer.data)["requestId"] for answer in answers] == ids


@pytest.mark.parametrize(
    ("path", "method", "headers"),
    [
        ("/livez", "GET", {}),
        ("/v1/webhooks/app", "POST", {}),
        (ROUTE, "OPTIONS", {"Origin": PAGE}),
    ],
    ids=["probe", "delivery", "preflight"],
)
def test_others_are_let_through(
    subject: Subject, path: str, method: str, headers: dict[str, str]
) -> None:
    """Probes, deliveries and preflights are none of it."""
    subject.is_hopeless = True
    subject.statuses(MANY)

    assert subject.ask(path, method, **headers).status_code == 201


@pytest.mark.parametrize(("origin", "may_read"), [(PAGE, True), ("https://evil.test", False)])
def test_pages_are_refused_as_others_are(subject: Subject, origin: str, *, may_read: bool) -> None:
    """Whoever names an origin does not get around it; an allowed page can read what it is told."""
    subject.is_hopeless = True
    subject.statuses(USUAL_PER_S)

    answer = subject.ask(Origin=origin)

    assert answer.status_code == 503
    assert [(name, value) in answer.headers.items() for name, value in FOR_PAGE] == [may_read]


@pytest.mark.parametrize("path", [f"/{ROUTE}", f"///{ROUTE}"])
def test_slashes_lead_around_nothing(subject: Subject, path: str) -> None:
    """The routes do not mind more than one at the beginning."""
    subject.is_hopeless = True
    subject.statuses(USUAL_PER_S)

    status: list[str] = []
    environ = {**EnvironBuilder(ROUTE, method="POST").get_environ(), "PATH_INFO": path}
    list(subject.wsgi(environ, lambda line, *_: status.append(line)))  # type: ignore[arg-type]

    assert status == ["503 SERVICE UNAVAILABLE"]


def test_it_stands_in_front_of_the_service() -> None:
    """The service is shipped with it."""
    assert isinstance(a_service().app.wsgi_app, Shedding)


def test_a_crowd_is_looked_at() -> None:
    """The service's own limit is told of each login, and has a thread once there is a crowd."""
    services = a_service().app.extensions["tokensvc"]
    limit = services.shed.keywords["crowd"].has_room.__self__

    with watching() as doings:
        limit.has_room(WATCHED_FROM)

    assert [thread.name for thread in doings.threads] == ["concurrency-limit"]
    assert limit.observe in services.recording.observers
