"""The house: routes, errors, rooms and settings are all accounted for."""

import ast
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from tests.builders import NOWHERE, a_service, a_service_with, a_token
from tests.fakes import FakeDirectory
from tests.web.webhook_service import service_of_all
from tokensvc.domain import errors
from tokensvc.domain.errors import (
    AccountChangedError,
    CallerError,
    DirectoryAnswerError,
    LeaseLostError,
    TokenServiceError,
    UserExistsError,
    UserNotFoundError,
)
from tokensvc.web.openapi import undocumented_routes
from tokensvc.web.problems import STATUSES, status_of

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "tokensvc"
MODULES = sorted(PACKAGE.rglob("*.py"))
HOMELESS = {"utils", "util", "helpers", "helper", "common", "base", "manager", "misc"}
NEVER_SHOWN = {
    TokenServiceError,  # the root: what a crash answers
    CallerError,  # the parent of the refusals
    DirectoryAnswerError,  # and its children: what issuing acts on
    UserExistsError,
    UserNotFoundError,
    LeaseLostError,  # what the worker acts on
    AccountChangedError,
}
WALK = [
    "web/record.py",
    "web/guard.py",
    "adapters/session_jwt.py",
    "web/tokens.py",
    "domain/issuing.py",
    "adapters/cometchat.py",
]
"""The rooms of a login, in the order in which they are entered."""
DELIVERYS_WALK = [
    "web/record.py",
    "web/webhooks.py",
    "domain/receiving.py",
    "adapters/senders/kind.py",
    "adapters/signatures/standard_webhooks.py",
    "adapters/senders/standard.py",
]
"""The rooms of a webhook's delivery, likewise; then it is the inbox's."""


def all_errors() -> list[type[TokenServiceError]]:
    return [
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, TokenServiceError)
    ]


@pytest.mark.parametrize("error", all_errors(), ids=lambda error: error.__name__)
def test_every_error_has_an_answer(error: type[TokenServiceError]) -> None:
    """Each error that a caller can meet has a status of its own or of a named parent."""
    nearest = next(parent for parent in error.__mro__ if parent in STATUSES)

    assert nearest is not TokenServiceError or error in NEVER_SHOWN
    assert 400 <= status_of(error) <= 503


@pytest.mark.parametrize("error", all_errors(), ids=lambda error: error.__name__)
def test_every_error_says_what_it_is(error: type[TokenServiceError]) -> None:
    """Names end in Error; docstring, code, title and action are there."""
    assert error.__name__.endswith("Error")
    assert error.__doc__
    assert error.code.replace("_", "").isalpha()
    assert error.title
    assert error.action


def test_codes_are_told_apart() -> None:
    """A client can branch on the code: two answers with one code have one status and action."""
    answers: dict[str, set[tuple[int, str]]] = {}
    for error in all_errors():
        if error not in NEVER_SHOWN - {TokenServiceError}:
            answers.setdefault(error.code, set()).add((status_of(error), error.action))

    assert {code: found for code, found in answers.items() if len(found) > 1} == {}


def test_routes_are_known() -> None:
    """A route that appears or vanishes is a decision, not an accident."""
    rules = {
        (rule.rule, *sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}))
        for rule in a_service().app.url_map.iter_rules()
    }

    assert rules == {
        ("/v1/auth-tokens", "POST"),
        ("/v1/webhooks/<source>", "POST"),
        ("/v1/webhooks/<source>", "GET"),
        ("/livez", "GET"),
        ("/readyz", "GET"),
        ("/version", "GET"),
        ("/openapi.json", "GET"),
        ("/docs", "GET"),
    }


def test_routes_are_documented() -> None:
    """Every route says what it answers."""
    assert undocumented_routes(a_service().app) == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_room_has_a_caption(path: Path) -> None:
    """A file opens with one sentence that says what happens in it."""
    caption = ast.get_docstring(ast.parse(path.read_text())) or ""

    assert caption.splitlines()[0].endswith(".")
    assert path.stem not in HOMELESS


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_rooms_are_small(path: Path) -> None:
    """Files stay under about 250 lines, functions under about 45 with their docstrings."""
    tree = ast.parse(path.read_text())
    long = [
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno > 45
    ]

    assert len(path.read_text().splitlines()) <= 300
    assert long == []


def test_only_the_doors_read_the_environment() -> None:
    """os.environ is read where the process begins, and nowhere else."""
    readers = {
        str(path.relative_to(PACKAGE)) for path in MODULES if "os.environ" in path.read_text()
    }

    assert {name for name in readers if not name.startswith("cli/")} == {
        "app.py",
        "worker.py",
    }


def test_requests_are_flasks_in_web_alone() -> None:
    """Flask's request and g stop at web/ (the demo and the emulator are servers of their own)."""
    users = {
        path.relative_to(PACKAGE).parts[0]
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom)
        and node.module == "flask"
        and {"request", "g"} & {alias.name for alias in node.names}
    }

    assert users <= {"web", "emulator", "cli"}


def test_nothing_is_asynchronous() -> None:
    """The app calls views and hooks as they are: one that gives a coroutine would never run."""
    found = {
        str(path.relative_to(PACKAGE))
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.AsyncFunctionDef)
    }

    assert found == set()


def test_a_logins_walk() -> None:
    """A login enters the rooms that the plan names, in that order, and nine files at most."""
    service = a_service({"cometchat": {"base_url": NOWHERE}})

    entered = _rooms_of(lambda: service.login(a_token()))

    assert [room for room in entered if room in WALK] == WALK
    assert len(_outside_asides(entered)) <= 9


def test_a_refused_login_never_reaches_the_domain() -> None:
    """Without a session there is nothing to issue, and nobody to ask."""
    service = a_service_with(FakeDirectory())

    entered = _rooms_of(lambda: service.login("not.a.token"))

    assert "domain/issuing.py" not in entered
    assert "adapters/cometchat.py" not in entered


def test_a_deliverys_walk(tmp_path: Path) -> None:
    """A delivery enters the rooms that the plan names, in that order: the inbox is the last."""
    service = service_of_all(tmp_path)

    entered = _rooms_of(lambda: service.deliver("standard", {"type": "user.deleted", "data": {}}))

    assert [room for room in entered if room in DELIVERYS_WALK] == DELIVERYS_WALK
    assert "adapters/cometchat.py" not in entered


def test_a_refused_delivery_is_not_read(tmp_path: Path) -> None:
    """What is not proven is not even looked at as JSON."""
    service = service_of_all(tmp_path)

    entered = _rooms_of(lambda: service.post("standard", b"{}", {}))

    assert "adapters/signatures/standard_webhooks.py" in entered
    assert "domain/strict_json.py" not in entered


def _rooms_of(act: Any) -> list[str]:
    """Return the files of the package whose functions *act* enters, in order of first entry."""
    rooms: dict[str, None] = {}

    def watch(frame: FrameType, event: str, _argument: object) -> None:
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(PACKAGE):
            rooms.setdefault(str(path.relative_to(PACKAGE)))

    sys.setprofile(watch)
    try:
        act()
    finally:
        sys.setprofile(None)
    return list(rooms)


def _outside_asides(rooms: list[str]) -> list[str]:
    """Leave out the asides: values, and what one room has put into a file of its own."""
    asides = {
        *("domain/model.py", "domain/audit.py", "domain/uids.py", "domain/profiles.py"),
        *("domain/strict_json.py", "domain/errors.py", "adapters/jws.py", "adapters/key_sets.py"),
        *("web/client_address.py", "web/problems.py", "adapters/audit_log.py"),
        "adapters/concurrency_limit.py",  # the one question of shedding.py
        "web/sync_flask.py",  # by which Flask gets at all functions of the others
        # How audit_log.py spells them, and what it leaves out.
        *("adapters/log_lines.py", "adapters/masking.py"),
        "adapters/secrets.py",  # whatever is in force, which its users ask for by turns
        "rotation.py",
        "adapters/limit_storage.py",  # the shelf of the limiter, which guard.py asks
        # The shelves of upstream.py, one limit in each, and of the client beneath it.
        *("adapters/breaker.py", "adapters/bulkhead.py", "adapters/retry_budget.py"),
        *("adapters/request_budget.py", "adapters/failed_try.py", "adapters/errand.py"),
        *("adapters/transport.py", "adapters/deadline.py", "adapters/wire.py"),
        *("adapters/rest_keys.py", "adapters/rate_headers.py", "adapters/connecting.py"),
    }
    return [room for room in rooms if room not in asides]


def test_the_clock_of_the_verifier_is_a_parameter() -> None:
    """Time can be moved from outside: an hour later the same token has expired."""
    token = a_token()
    later = a_service(now=lambda: time.time() + 3600)

    assert later.login(token).get_json()["code"] == "session_expired"
