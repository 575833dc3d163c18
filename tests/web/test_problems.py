"""Problems: one shape for every error, and nothing in it that is not ours."""

import json

import pytest
from flask import Flask, Response
from werkzeug.exceptions import BadRequest

from tests.builders import Service, a_service_with
from tests.fakes import FakeDirectory
from tokensvc.domain.errors import Action
from tokensvc.domain.model import AuthToken, Uid

MEMBERS = ["type", "title", "status", "code", "action", "requestId"]


class Crashing(FakeDirectory):
    """A directory with a defect, whose text holds a secret."""

    def create_auth_token(self, uid: Uid) -> AuthToken:
        raise ZeroDivisionError(f"secret of {uid}")


def a_plain_service() -> Service:
    return a_service_with(FakeDirectory())


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("POST", "/v1/auth-tokens", 401, "session_invalid"),
        ("GET", "/v1/auth-tokens", 405, "method_not_allowed"),
        ("DELETE", "/livez", 405, "method_not_allowed"),
        ("GET", "/nothing", 404, "not_found"),
        ("POST", "/v1/auth-tokens/", 404, "not_found"),
        ("GET", "/%ff", 404, "not_found"),
        ("GET", "//", 404, "not_found"),
        ("POST", "/v1//auth-tokens", 404, "not_found"),
        ("GET", "//livez", 404, "not_found"),
        ("GET", "/static/x", 404, "not_found"),
    ],
)
def test_every_error_is_a_problem(method: str, path: str, status: int, code: str) -> None:
    """Whatever the route or method: a problem document, never HTML."""
    answer = a_plain_service().client.open(path, method=method)

    problem = answer.get_json()
    assert answer.status_code == problem["status"] == status
    assert answer.mimetype == "application/problem+json"
    assert list(problem) == MEMBERS
    assert problem["code"] == code
    assert problem["type"].endswith(code)
    assert problem["action"] in set(Action)
    assert problem["requestId"] == answer.headers["X-Request-Id"]


def test_method_not_allowed_names_the_methods() -> None:
    """A 405 says what would be allowed (RFC 9110, section 15.5.6)."""
    answer = a_plain_service().client.get("/v1/auth-tokens")

    assert {"POST", "OPTIONS"} <= set(answer.headers["Allow"].split(", "))


def test_refused_session_names_the_scheme() -> None:
    """A 401 says how to authenticate (RFC 6750, section 3)."""
    answer = a_plain_service().client.post("/v1/auth-tokens")

    assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


def test_crash_is_a_problem_without_a_word_of_it() -> None:
    """A defect answers 500; neither its text nor its traceback reaches client or log."""
    service = a_service_with(Crashing())

    answer = service.login()

    assert (answer.status_code, answer.get_json()["code"]) == (500, "internal_error")
    assert "secret of" not in answer.text + service.log.getvalue()
    assert "Traceback" not in answer.text + service.log.getvalue()


def test_crash_says_where_in_the_record() -> None:
    """The operator learns the kind of the crash and its place."""
    service = a_service_with(Crashing())

    service.login()

    assert service.records()[0]["reason"].startswith("ZeroDivisionError at domain/issuing.py:")


def test_crash_behind_the_view_is_one_too(caplog: pytest.LogCaptureFixture) -> None:
    """What fails while the answer is on its way is a defect as well, and quotes nothing."""
    service = a_service_with(FakeDirectory())

    @service.app.after_request
    def fail(response: Response) -> Response:
        service.app.after_request_funcs[None].remove(fail)  # so that the problem gets out
        raise ZeroDivisionError(f"secret {response.status_code}")

    answer = service.login()

    assert (answer.status_code, answer.get_json()["code"]) == (500, "internal_error")
    assert "secret" not in caplog.text + service.log.getvalue()


def test_framework_errors_keep_their_text() -> None:
    """An error that the framework raises with a text becomes ours without it."""
    service = a_plain_service()
    _raise_in(service.app)

    answer = service.client.get("/bad")

    assert (answer.status_code, answer.get_json()["code"]) == (400, "request_invalid")
    assert "private detail" not in answer.text


def _raise_in(app: Flask) -> None:
    @app.get("/bad")
    def bad() -> str:
        raise BadRequest("private detail")


def test_problem_is_kept_by_nobody() -> None:
    """A cached 401 would lock a user out."""
    assert a_plain_service().client.post("/v1/auth-tokens").headers["Cache-Control"] == "no-store"


def test_problem_is_json_with_any_request_id() -> None:
    """The request's id is quoted, not pasted."""
    answer = a_plain_service().client.get("/x", headers={"X-Request-Id": 'a"b'})

    assert json.loads(answer.text)["requestId"] != 'a"b'
