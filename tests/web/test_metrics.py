"""Metrics: what happened is counted, in few words of ours, and only where they are asked for."""

import json
import re
from typing import Any

import pytest

from tests.builders import OTHER_SECRET, Service, a_service, a_token
from tests.raw_server import an_answer, raw_server
from tokensvc.adapters.metrics import Metrics
from tokensvc.domain.audit import OperationalEvent, RequestRecord, VendorCall

ANSWER = json.dumps({"data": {"uid": "alice", "authToken": "alice_1"}}).encode()


def a_metered_service(vendor_url: str = "http://127.0.0.1:9", **limits: str) -> Service:
    overrides: dict[str, Any] = {
        "http": {"metrics": True},
        "cometchat": {"base_url": f"{vendor_url}/v3"},
    }
    return a_service({**overrides, **({"limits": limits} if limits else {})})


def counted(service: Service) -> dict[str, float]:
    """Return what a scrape tells, by name and labels."""
    text = service.client.get("/metrics").get_data(as_text=True)
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


def test_requests_are_counted() -> None:
    """By route, status and outcome, with their durations."""
    with raw_server(an_answer(ANSWER)) as vendor:
        service = a_metered_service(vendor.url)
        service.login()
        service.login()
        service.login(a_token(key=OTHER_SECRET))
        service.client.get("/no/such/path")

    found = counted(service)
    login = 'route="/v1/auth-tokens"'
    refused = 'outcome="session_invalid",route="/v1/auth-tokens",status="401"'
    assert found[f'tokensvc_requests_total{{outcome="ok",{login},status="201"}}'] == 2
    assert found[f"tokensvc_requests_total{{{refused}}}"] == 1
    assert found['tokensvc_requests_total{outcome="not_found",route="none",status="404"}'] == 1
    assert found[f"tokensvc_request_duration_seconds_count{{{login}}}"] == 3


def test_calls_are_counted() -> None:
    """By operation and outcome, with their durations."""
    with raw_server(an_answer(ANSWER), an_answer(b"", status="503 Busy")) as vendor:
        service = a_metered_service(vendor.url)
        service.login()
        service.login()

    found = counted(service)
    operation = 'operation="create_auth_token"'
    assert found[f'tokensvc_vendor_calls_total{{{operation},outcome="ok"}}'] == 1
    failed = [
        name for name in found if name.startswith("tokensvc_vendor_calls_total") and "5xx" in name
    ]
    assert len(failed) == 1
    assert found[f"tokensvc_vendor_call_duration_seconds_count{{{operation}}}"] >= 2


def test_events_are_counted() -> None:
    """Whatever is told to the log's reader is counted by its name."""
    limits = {"storage_url": "redis://127.0.0.1:9/0", "per_user": "9 per minute"}
    service = a_metered_service(**limits)

    service.login()

    name = 'tokensvc_operational_events_total{event="limit_storage_lost"}'
    assert counted(service)[name] == 1
    assert "limit_storage_lost" in service.log.getvalue()


@pytest.mark.parametrize(
    ("outcome", "label"),
    [
        ("ok", "ok"),
        ("ERR_UID_NOT_FOUND", "ERR_UID_NOT_FOUND"),
        ("answer_not_understood_418", "answer_not_understood_4xx"),
        ("unexpected_answer_not_understood_599", "unexpected_answer_not_understood_5xx"),
        ("answer_not_understood_777", "other"),
        ("a text, of somebody else", "other"),
    ],
)
def test_outcomes_are_few(outcome: str, label: str) -> None:
    """However many statuses a vendor has, they do not become as many series."""
    metrics = Metrics()
    record = RequestRecord("r", 0.0, "POST", route="/v1/auth-tokens", status=503)
    record.vendor_calls.append(VendorCall("create_user", outcome, 0.1))

    metrics(record)

    found = re.findall(r'vendor_calls_total\{.*outcome="([^"]*)"', metrics.render().decode())
    assert found == [label]


def test_two_services_do_not_share_their_counts() -> None:
    """Counting is a part of a service, not of the process."""
    first, second = Metrics(), Metrics()

    first.note(OperationalEvent("odd"))

    assert b'event="odd"' in first.render()
    assert b'event="odd"' not in second.render()


def test_without_the_setting_there_is_nothing() -> None:
    """Numbers are for the inside: nobody gets them by default."""
    assert a_service().client.get("/metrics").status_code == 404


def test_it_is_a_documented_route() -> None:
    """Where it exists, it stands in the API document."""
    assert "/metrics" in a_metered_service().client.get("/openapi.json").get_json()["paths"]
    assert "/metrics" not in a_service().client.get("/openapi.json").get_json()["paths"]


def test_it_is_never_limited_and_never_kept() -> None:
    """A scrape comes as often as it likes, and sees the numbers of now."""
    service = a_metered_service(per_user="1 per day")

    answers = [service.client.get("/metrics") for _ in range(20)]

    assert {answer.status_code for answer in answers} == {200}
    assert answers[0].headers["Cache-Control"] == "no-store"
    assert answers[0].content_type == "text/plain; version=0.0.4; charset=utf-8"
