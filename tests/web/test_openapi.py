"""The API document: valid, complete, and true of what really comes back."""

import re
from typing import Any

import pytest

from tests.builders import OTHER_SECRET, Service, a_service_with, a_token, a_user
from tests.fakes import FakeDirectory
from tokensvc.domain import errors


def a_plain_service() -> Service:
    return a_service_with(FakeDirectory())


def document() -> dict[str, Any]:
    found: dict[str, Any] = a_plain_service().client.get("/openapi.json").get_json()
    return found


def test_document_describes_every_route() -> None:
    """What can be called is in the document, and nothing else."""
    routes = {(path, method) for path, item in document()["paths"].items() for method in item}

    assert routes == {
        ("/v1/auth-tokens", "post"),
        ("/v1/webhooks/{source}", "post"),
        ("/v1/webhooks/{source}", "get"),
        *((path, "get") for path in ("/livez", "/readyz", "/version", "/openapi.json", "/docs")),
    }


def test_document_is_openapi() -> None:
    """It says which OpenAPI it is, and every reference in it leads somewhere."""
    spec = document()

    references = set(re.findall(r"'\$ref': '#/components/schemas/(\w+)'", str(spec)))
    assert spec["openapi"].startswith("3.1")
    assert references == set(spec["components"]["schemas"])


def test_login_names_all_its_errors() -> None:
    """Each code that a login can answer is there under its status."""
    responses = document()["paths"]["/v1/auth-tokens"]["post"]["responses"]

    codes = {
        status: set(
            response["content"]["application/problem+json"]["schema"]["allOf"][1]["properties"][
                "code"
            ]["enum"]
        )
        for status, response in responses.items()
        if status != "201"
    }
    assert codes == {
        "400": {"request_invalid"},
        "401": {"session_invalid", "session_expired"},
        "403": {"user_deactivated", "user_deleted", "user_suspended"},
        "405": {"method_not_allowed"},
        "413": {"body_too_large"},
        "415": {"unsupported_media_type"},
        "422": {"uid_not_allowed"},
        "429": {"rate_limited"},
        "500": {"internal_error"},
        "502": {"directory_misconfigured"},
        "503": {
            "directory_unavailable",
            "keys_unavailable",
            "storage_unavailable",
            "user_quota_reached",
        },
    }


def test_every_code_is_documented() -> None:
    """No error has a code that the document does not know."""
    shown = {
        value.code
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, errors.TokenServiceError)
    }

    assert {code for code in shown if f"'{code}'" not in str(document())} == set()


def test_delivery_names_all_its_errors() -> None:
    """So is each code that a delivery can answer; and the source is a parameter."""
    operation = document()["paths"]["/v1/webhooks/{source}"]["post"]

    codes = {
        status: set(
            response["content"]["application/problem+json"]["schema"]["allOf"][1]["properties"][
                "code"
            ]["enum"]
        )
        for status, response in operation["responses"].items()
        if status != "202"
    }
    assert codes == {
        "400": {"request_invalid"},
        "401": {"delivery_refused"},
        "404": {"not_found"},
        "405": {"method_not_allowed"},
        "409": {"delivery_conflict"},
        "413": {"body_too_large"},
        "429": {"rate_limited"},
        "500": {"internal_error"},
        "503": {"storage_unavailable", "directory_unavailable"},
    }
    (parameter,) = operation["parameters"]
    assert (parameter["name"], parameter["in"]) == ("source", "path")


def test_login_answers_as_documented() -> None:
    """The members of a real answer are the documented ones."""
    schema = document()["paths"]["/v1/auth-tokens"]["post"]["responses"]["201"]["content"]

    body = a_plain_service().login().get_json()

    assert list(body) == schema["application/json"]["schema"]["required"]
    assert set(body) == set(schema["application/json"]["schema"]["properties"])


@pytest.mark.parametrize("kind", ["forged", "expired", "deactivated", "illegal", "body", "limit"])
def test_problems_answer_as_documented(kind: str) -> None:
    """So are the members, status and code of real problems."""
    directory = FakeDirectory()
    if kind == "deactivated":
        directory.deactivate(a_user("alice"))
    limits = {"per_user": "1 per minute"} if kind == "limit" else {}
    service = a_service_with(directory, limits=limits)
    changes: dict[str, dict[str, Any]] = {
        "forged": {"key": OTHER_SECRET},
        "expired": {"exp": 1},
        "illegal": {"sub": "A"},
    }
    if kind == "limit":
        service.login()

    answer = service.login(
        a_token(**changes.get(kind, {})), json={"uid": "b"} if kind == "body" else None
    )

    spec = document()
    problem = spec["components"]["schemas"]["Problem"]
    known = spec["paths"]["/v1/auth-tokens"]["post"]["responses"][str(answer.status_code)]
    assert set(problem["required"]) <= set(answer.get_json()) <= set(problem["properties"])
    assert answer.get_json()["code"] in str(known)


def test_page_loads_nothing() -> None:
    """The page needs no script, no font and no other host; its policy allows none."""
    answer = a_plain_service().client.get("/docs")

    assert answer.status_code == 200
    assert answer.mimetype == "text/html"
    assert "POST /v1/auth-tokens" in re.sub(r"\s+", " ", answer.text)
    assert not re.search(r"<script|https?://|src=", answer.text)
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
