"""The corpus at the door for webhooks: hundreds of deliveries that must change nothing."""

import pytest

from tests.security import (
    hostile_body_hashes,
    hostile_hex_hmac,
    hostile_shared_tokens,
    hostile_standard_webhooks,
)
from tests.security.hostile_deliveries import Hostile, body_of
from tests.web.signing import SOURCES
from tests.web.webhook_service import WebhookService, service_of_all

FAMILIES = {
    "standard webhooks": hostile_standard_webhooks.HOSTILE,
    "hex hmac": hostile_hex_hmac.HOSTILE,
    "jwt body hash": hostile_body_hashes.HOSTILE,
    "shared token": hostile_shared_tokens.HOSTILE,
}
ALL = [case for cases in FAMILIES.values() for case in cases]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> WebhookService:
    """Return the service that the whole corpus is thrown at."""
    return service_of_all(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def service(shared: WebhookService) -> WebhookService:
    """Return it with an empty inbox."""
    shared.inbox.forget()
    return shared


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_hostile(case: Hostile, service: WebhookService) -> None:
    """A hostile delivery is refused for its own reason, or acknowledged for nothing."""
    answer = service.post(case.source, case.body, case.headers)

    if case.status == 401:
        assert answer.get_json()["code"] == "delivery_refused"
        assert service.last_line()["reason"] == case.reason
    assert answer.status_code // (100 if case.status == 2 else 1) == case.status
    assert service.events() == []


def test_the_corpus_is_large() -> None:
    """Each family has its eighty cases, no two of one name."""
    assert {name: len(cases) >= 80 for name, cases in FAMILIES.items()} == dict.fromkeys(
        FAMILIES, True
    )
    assert len({case.name for case in ALL}) == len(ALL)
    refused = [case for case in ALL if case.status == 401]
    assert min(sum(case in refused for case in cases) for cases in FAMILIES.values()) >= 80


@pytest.mark.parametrize("source", list(SOURCES))
def test_good_twin(source: str, service: WebhookService) -> None:
    """And without hostility it is stored: the same body, signed as it should be."""
    answer = service.post(source, *SOURCES[source].deliver(body_of(source)))

    assert answer.get_json() == {"stored": 1, "ignored": 0}
    assert [event.uid for event in service.events()] == ["alice"]
