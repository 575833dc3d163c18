"""Batches: each event of one counts for itself, however often it comes and beside which others."""

import time
from typing import Any

import pytest

from tests.web.signing import SOURCES
from tests.web.webhook_service import WebhookService, webhook_service
from tokensvc.adapters.senders.kind import MAX_BATCH

PUBLISHED = "2027-01-15T08:00:00Z"


@pytest.fixture
def service() -> WebhookService:
    return webhook_service(SOURCES["okta"].table(""))


def an_event(uid: str, **members: Any) -> dict[str, Any]:
    event = {"eventType": "user.lifecycle.create", "published": PUBLISHED, **members}
    return {**event, "target": [{"type": "User", "id": uid, "displayName": uid}]}


def deliver(service: WebhookService, *events: Any) -> Any:
    return service.deliver("okta", {"data": {"events": events}})


def uids(service: WebhookService) -> list[str]:
    return [event.uid for event in service.events()]


def test_known_event_beside_a_new_one(service: WebhookService) -> None:
    """An event that is repeated in another batch does not cost the new one."""
    deliver(service, an_event("ann", uuid="1"))

    answer = deliver(service, an_event("ann", uuid="1"), an_event("bob", uuid="2"))

    assert (answer.status_code, answer.get_json()["stored"]) == (202, 1)
    assert uids(service) == ["ann", "bob"]


def test_known_event_that_has_changed(service: WebhookService) -> None:
    """An event of a known id that says something else is a conflict, in a batch too."""
    deliver(service, an_event("ann", uuid="1"))

    answer = deliver(service, an_event("eve", uuid="1"), an_event("bob", uuid="2"))

    assert answer.status_code == 409
    assert uids(service) == ["ann"]


def test_events_without_ids(service: WebhookService) -> None:
    """They are known by what they say, wherever they stand, and however it is spelled."""
    ann, bob = an_event("ann"), an_event("bob")
    deliver(service, ann, bob)

    deliver(service, dict(reversed(bob.items())), ann, an_event("carol"))

    assert uids(service) == ["ann", "bob", "carol"]


def test_a_reason_is_told_once(service: WebhookService) -> None:
    """However many events make no sense, each reason is one line with its count."""
    deliver(service, *[{}] * 300, *[0] * 200, an_event("ann", uuid="1"))

    told = [line for line in service.lines() if line.get("event") == "event_not_understood"]
    assert [(line["reason"], line["count"]) for line in told] == [
        ("eventType_malformed", 300),
        ("event_malformed", 200),
    ]
    assert uids(service) == ["ann"]


@pytest.mark.parametrize(("size", "reason"), [(0, None), (1, "events_too_many")])
def test_a_batch_has_a_size(size: int, reason: str | None, service: WebhookService) -> None:
    """A thousand events are taken; of one more nothing is, and that is told."""
    events = [an_event(f"user-{number}", uuid=str(number)) for number in range(MAX_BATCH + size)]

    answer = deliver(service, *events)

    reasons = [line.get("reason") for line in service.lines() if "reason" in line]
    assert answer.status_code == 202
    assert answer.get_json()["stored"] == (0 if reason else MAX_BATCH)
    assert reasons == ([reason] if reason else [])


def test_a_large_batch_costs_little(service: WebhookService) -> None:
    """As many events as 256 KB hold are told apart from too many at once."""
    body = b'{"data":{"events":[' + b",".join([b"{}"] * 87_000) + b"]}}"
    began = time.thread_time()

    service.deliver("okta", body)

    assert time.thread_time() - began < 2
    assert len(service.log.getvalue()) < 10_000
