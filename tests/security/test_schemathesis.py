"""The API document put to the test: requests of every kind, and no answer that it does not know."""

import re
from collections.abc import Mapping
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import APIOperation, Case, CheckFunction, GenerationMode
from schemathesis.config import GenerationConfig, ProjectConfig, ProjectsConfig, SchemathesisConfig
from schemathesis.openapi import from_dict
from schemathesis.specs.openapi.checks import positive_data_acceptance
from werkzeug.test import TestResponse

from tests.builders import OTHER_SECRET, Service, a_service_with, a_token, a_user, bearer
from tests.fakes import FakeDirectory

LATE: Final = 4_102_444_800
"""The year 2100: these tokens are made when the tests are collected, and used much later."""
LOGIN: Final = "POST /v1/auth-tokens"
GENERATION: Final = GenerationConfig(deterministic=True)
BOTH_MODES: Final = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]
SAME_EVERY_TIME: Final = settings(
    max_examples=25,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
SENDERS: Final[Mapping[str, Mapping[str, str]]] = {
    "nobody": {},
    "good": bearer(a_token(exp=LATE)),
    "forged": bearer(a_token(key=OTHER_SECRET, exp=LATE)),
    "expired": bearer(a_token(exp=1)),
    "deactivated": bearer(a_token(sub="dora", exp=LATE)),
    "illegal": bearer(a_token(sub="A B", exp=LATE)),
}
# A subject that is no uid is refused with 422, whatever the request is like.
EXCLUDED: Final[Mapping[str, list[CheckFunction]]] = {"illegal": [positive_data_acceptance]}


def a_described_service() -> Service:
    """Return a service with one user who is deactivated."""
    directory = FakeDirectory()
    directory.deactivate(a_user("dora"))
    return a_service_with(directory)


SERVICE: Final = a_described_service()
DOCUMENT: Final = from_dict(
    SERVICE.client.get("/openapi.json").get_json(),
    config=SchemathesisConfig(
        seed=1, projects=ProjectsConfig(default=ProjectConfig(generation=GENERATION))
    ),
)
DOCUMENT.app = SERVICE.app
OPERATIONS: Final[Mapping[str, APIOperation[Any, Any, Any, Any]]] = {
    operation.label: operation for path in DOCUMENT for operation in DOCUMENT[path].values()
}
CASES: Final = [
    *((name, GenerationMode.POSITIVE) for name in OPERATIONS),
    (LOGIN, GenerationMode.NEGATIVE),  # the others take nothing that could be wrong
]


def test_document_is_read_whole() -> None:
    """Every route is put to the test."""
    routes = {
        (method, re.sub(r"<(\w+)>", r"{\1}", rule.rule))
        for rule in SERVICE.app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }

    assert set(OPERATIONS) == {f"{method} {path}" for method, path in routes}


@pytest.mark.parametrize("sender", SENDERS)
@pytest.mark.parametrize(("name", "mode"), CASES)
def test_generated(name: str, mode: GenerationMode, sender: str) -> None:
    """Requests as the document allows them, and as it forbids them, get documented answers."""

    @SAME_EVERY_TIME
    @given(OPERATIONS[name].as_strategy(mode))
    def is_answered_as_documented(case: Case[Any]) -> None:
        case.call_and_validate(headers=dict(SENDERS[sender]), excluded_checks=EXCLUDED.get(sender))

    is_answered_as_documented()


@pytest.mark.parametrize("sender", SENDERS)
@pytest.mark.parametrize("name", OPERATIONS)
def test_borders(name: str, sender: str) -> None:
    """So do those at the borders: wrong methods, wrong media types, no session, extra members."""
    operation = OPERATIONS[name]
    methods = set()
    for case in DOCUMENT.iter_coverage_cases(
        operation, generation_modes=BOTH_MODES, generation_config=GENERATION
    ):
        methods.add(case.method)
        case.call_and_validate(headers=dict(SENDERS[sender]), excluded_checks=EXCLUDED.get(sender))

    assert operation.method.upper() in methods


REQUESTS: Final = st.fixed_dictionaries(
    {
        "method": st.sampled_from(
            ["GET", "POST", "POST", "PUT", "DELETE", "PATCH", "TRACE", "QUERY", "HEAD", "X-Y"]
        ),
        "path": st.sampled_from([*DOCUMENT.raw_schema["paths"], "/v1/auth-tokens"]),
        "query_string": st.one_of(st.just(""), st.text(max_size=20)),
        "data": st.one_of(
            st.sampled_from([b"", b"{}", b' {"uid":"bob"}', b"[]", b"\xff", b"x" * 1025]),
            st.binary(max_size=300),
        ),
        "content_type": st.sampled_from(
            [
                *(None, "", "application/json", "application/json; charset=utf-16", "text/plain"),
                *("multipart/form-data", "multipart/form-data; boundary=x", "application/xml"),
                "\xff",
            ]
        ),
    }
)


@pytest.mark.parametrize("sender", SENDERS)
def test_anything(sender: str) -> None:
    """So does anything else: any method, query, body and media type."""

    @settings(SAME_EVERY_TIME, max_examples=100)
    @given(REQUESTS, st.dictionaries(HEADER_NAMES, HEADER_VALUES, max_size=4))
    def is_answered_as_documented(request: dict[str, Any], headers: dict[str, str]) -> None:
        answer = SERVICE.client.open(**request, headers={**headers, **SENDERS[sender]})
        demand_documented(request["method"], request["path"], answer)

    is_answered_as_documented()


HEADER_NAMES: Final = st.sampled_from(
    [
        *("Accept", "Accept-Encoding", "Content-Encoding", "Expect", "Range", "If-Match", "Origin"),
        *("Cookie", "X-Request-Id", "X-Forwarded-For", "X-HTTP-Method-Override", "Forwarded"),
    ]
)
HEADER_VALUES: Final = st.one_of(
    st.sampled_from(
        ["*", "identity;q=0", "application/xml", "bytes=0-1", "gzip", "GET", "a" * 9000]
    ),
    st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=30),
)


def demand_documented(method: str, path: str, answer: TestResponse) -> None:
    """Demand an answer that the document knows: of this operation, or that there is no such one."""
    operations = DOCUMENT.raw_schema["paths"][path]
    if method == "HEAD" and "get" in operations:
        assert (answer.status_code, answer.data) == (200, b"")
    elif method.lower() in operations:
        assert str(answer.status_code) in operations[method.lower()]["responses"]
        OPERATIONS[f"{method} {path}"].validate_response(answer)
        assert answer.status_code < 500
    else:
        assert (answer.status_code, answer.mimetype) == (405, "application/problem+json")
        assert all("405" in operation["responses"] for operation in operations.values())
        assert answer.headers["Allow"]
