"""Recorded deliveries: each genuine one is taken in as what it says, and no other one is."""

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.adapters.senders.recorded import (
    ONE_OF_EACH,
    RECORDED,
    WITH_EVENTS,
    Recorded,
    milliseconds,
)
from tests.builders import NOW
from tests.web.signing import OTHER_KEY, SOURCES, Source, a_secret, a_whsec, ed25519, in_body
from tests.web.webhook_service import WebhookService, service_of_all
from tokensvc.adapters.senders.registry import SENDERS
from tokensvc.domain.accounts import UserEvent
from tokensvc.domain.uids import encoded


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> WebhookService:
    """Return a service with every source."""
    return service_of_all(tmp_path_factory.mktemp("keys"), uids={"strategy": "encoded"})


@pytest.fixture
def service(shared: WebhookService) -> WebhookService:
    """Return it with an empty inbox."""
    shared.inbox.forget()
    return shared


def told(event: UserEvent) -> dict[str, Any]:
    """Return *event* as the recordings write them."""
    return {
        "kind": str(event.kind),
        "uid": event.uid,
        "version": event.version,
        "source": event.source,
        "id": event.event_id,
        "profile": None
        if event.profile is None
        else {
            "name": event.profile.name,
            "avatar": event.profile.avatar,
            "role": event.profile.role,
            "tags": list(event.profile.tags),
        },
    }


def expected(case: Recorded) -> list[dict[str, Any]]:
    """Return the events that *case* must become."""
    content = hashlib.sha256(json.dumps(case.body).encode()).hexdigest()
    absent: dict[str, Any] = {"name": None, "avatar": None, "role": None, "tags": []}
    return [
        {
            "kind": event["kind"],
            "uid": encoded(event["subject"]),
            "version": milliseconds(event["at"]),
            "source": case.source,
            "id": event["id"].replace("content", content).replace("message", "msg_2b4c"),
            "profile": {**absent, **event["profile"]} if "profile" in event else None,
        }
        for event in case.events
    ]


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: case.name)
def test_delivery_is_what_it_says(case: Recorded, service: WebhookService) -> None:
    """A genuine delivery is acknowledged, and its events are in the inbox as they were told."""
    answer = service.deliver(case.source, case.body)

    assert answer.status_code == (200 if case.sender == "supabase-auth" else 202)
    assert answer.get_json() == {"stored": len(case.events), "ignored": case.ignored}
    assert [told(event) for event in service.events()] == expected(case)


@pytest.mark.parametrize("case", WITH_EVENTS, ids=lambda case: case.name)
def test_repetition_is_stored_once(case: Recorded, service: WebhookService) -> None:
    """The same delivery again, with a new id where the sender does so, changes nothing."""
    changes = {"message_id": "msg_of_the_retry"} if case.sender == "supabase-auth" else {}
    first = service.deliver(case.source, case.body)

    again = service.deliver(case.source, case.body, **changes)

    assert again.status_code == first.status_code
    assert again.get_json()["stored"] == 0
    assert [told(event) for event in service.events()] == expected(case)


SIGNS_NO_BODY = {"auth0", "auth0-basic", "supabase-db", "okta"}
SIGNS_NO_TIME = {*SIGNS_NO_BODY, "logto", "keycloak", "keycloak-sha1"}
Sent = tuple[bytes, dict[str, str]]


def without_headers(source: Source, raw: bytes) -> Sent:
    body, _ = source.deliver(raw)
    return (b"." + body if source.sign is in_body else body), {}


def by_somebody_else(source: Source, raw: bytes) -> Sent:
    if source.sign is ed25519:
        body, headers = source.deliver(raw)
        return body, {**headers, "webhook-signature": "v1a," + "A" * 86 + "=="}
    other = a_whsec("other") if "whsec_" in source.secret else f"u:{a_secret('other')}"
    return source.deliver(raw, secret=other, key=OTHER_KEY)


def with_another_body(source: Source, raw: bytes) -> Sent:
    body, headers = source.deliver(raw)
    # One bit is turned: a letter put in might be the one that was there.
    return body[:-3] + bytes([body[-3] ^ 1]) + body[-2:], headers


def an_hour_old(source: Source, raw: bytes) -> Sent:
    return source.deliver(raw, at=NOW - 3600, claims={"exp": int(NOW) - 60})


def of_the_next_hour(source: Source, raw: bytes) -> Sent:
    return source.deliver(raw, at=NOW + 3600, claims={"nbf": int(NOW) + 60})


def in_another_case(source: Source, raw: bytes) -> Sent:
    return spoiled(source, raw, str.swapcase)


def cut_short(source: Source, raw: bytes) -> Sent:
    return spoiled(source, raw, lambda text: text[:-1])


def spoiled(source: Source, raw: bytes, spoil: Callable[[str], str]) -> Sent:
    body, headers = source.deliver(raw)
    if source.sign is in_body:
        return spoil(body.decode()).encode(), headers
    return body, {header: spoil(value) for header, value in headers.items()}


FORGERIES: Mapping[Callable[[Source, bytes], Sent], set[str]] = {
    without_headers: set(),
    by_somebody_else: set(),
    with_another_body: SIGNS_NO_BODY,
    an_hour_old: SIGNS_NO_TIME,
    of_the_next_hour: SIGNS_NO_TIME,
    in_another_case: set(),
    cut_short: set(),
}
"""Each with the sources whose senders sign nothing of the kind."""
FORGED = [
    pytest.param(case, forge, id=f"{case.source} {forge.__name__}")
    for forge, meaningless in FORGERIES.items()
    for case in ONE_OF_EACH
    if case.source not in meaningless
]


@pytest.mark.parametrize(("case", "forge"), FORGED)
def test_and_without_it_is_refused(
    case: Recorded, forge: Callable[[Source, bytes], Sent], service: WebhookService
) -> None:
    """Without the right secret, body or time nothing is stored, and nobody is told why."""
    body, headers = forge(SOURCES[case.source], json.dumps(case.body).encode())

    answer = service.post(case.source, body, headers)

    assert (answer.status_code, answer.get_json()["code"]) == (401, "delivery_refused")
    assert service.events() == []
    assert service.last_line()["reason"] not in answer.text


def test_every_sender_is_recorded() -> None:
    """A sender without a recording would be a sender without a test."""
    assert {case.sender for case in WITH_EVENTS} == set(SENDERS)
    assert {case.source for case in WITH_EVENTS} == set(SOURCES)
