"""ASVS V13.4: what is inside is not shown outside."""

import json
import re
import sys
from pathlib import Path

import pytest
import requests

from tests.builders import a_service, a_service_with, a_token, bearer
from tests.fakes import FakeDirectory
from tests.processes import serving
from tests.raw_server import an_answer, raw_server
from tests.security.source_tree import ROOT
from tests.security.test_asvs_v13_secrets import built_wheel
from tokensvc import __version__
from tokensvc.domain.model import AuthToken, Uid

PATHS = ["/v1/auth-tokens", "/livez", "/readyz", "/version", "/openapi.json", "/docs", "/nothing"]
TELLS_OUR_RELEASE = {"/version", "/openapi.json", "/docs"}
ROUTES = (ROOT / "docs" / "security.md").read_text().partition("## Routes")[2]


class Crashing(FakeDirectory):
    """A directory with a defect."""

    def create_auth_token(self, uid: Uid) -> AuthToken:
        raise ZeroDivisionError(f"secret of {uid}")


@pytest.mark.parametrize(
    "path",
    ["/.git/config", "/.git/HEAD", "/.gitignore", "/.env", "/.svn/entries", "/pyproject.toml"],
)
def test_v13_4_1_no_repository_over_http(path: str) -> None:
    """Nothing of the repository is served."""
    assert a_service_with(FakeDirectory()).client.get(path).status_code == 404


def test_v13_4_1_no_repository_in_the_build(tmp_path: Path) -> None:
    """And nothing of it is in the package that is deployed."""
    assert [name for name in built_wheel(tmp_path) if re.search(r"(^|/)\.(git|svn|ci)", name)] == []


def test_v13_4_2_no_debug_mode_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables that switch Flask's debugger on do not: a crash stays a plain problem."""
    monkeypatch.setenv("FLASK_DEBUG", "1")
    monkeypatch.setenv("FLASK_ENV", "development")
    service = a_service_with(Crashing())

    answer = service.login()

    assert not service.app.debug
    assert not service.app.testing
    assert (answer.status_code, answer.mimetype) == (500, "application/problem+json")
    assert "secret of" not in answer.text


def test_v13_4_2_no_console() -> None:
    """The debugger's own addresses answer like any other wrong path."""
    client = a_service_with(FakeDirectory()).client

    assert client.get("/console").status_code == 404
    assert client.get("/?__debugger__=yes&cmd=resource&f=style.css").status_code == 404


def everything_said(tmp_path: Path, **environ: str) -> dict[str, str]:
    """Ask a real process all kinds of things; return what it says, headers included."""
    said = {}
    body = json.dumps({"data": {"uid": "alice", "authToken": "alice_1"}}).encode()
    with (
        raw_server(an_answer(body)) as vendor,
        serving(tmp_path, vendor_url=vendor.url, **environ) as process,
    ):
        for path in PATHS:
            for method in ("GET", "POST", "TRACE"):
                answer = requests.request(
                    method, process.url + path, headers=bearer(a_token()), timeout=10
                )
                said[f"{method} {path}"] = f"{answer.status_code} {answer.headers} {answer.text}"
    return said


def test_v13_4_4_trace_is_not_answered(tmp_path: Path) -> None:
    """TRACE is refused on every path by the real server, and nothing of the request comes back."""
    said = everything_said(tmp_path)

    for path in PATHS:
        answer = said[f"TRACE {path}"]
        assert answer[:3] in {"404", "405"}
        assert "Bearer eyJ" not in answer


def test_v13_4_5_open_routes_are_the_ones_that_are_written_down() -> None:
    """The routes that answer are exactly those of the written list."""
    service = a_service({"http": {"metrics": True}})
    rules = {rule.rule for rule in service.app.url_map.iter_rules()}

    assert rules == set(re.findall(r"`(/[^`]*)`", ROUTES.partition("\n## ")[0]))


def test_v13_4_5_metrics_are_closed_unless_wanted() -> None:
    """Nobody reads the counts of a service whose operator has not asked for them."""
    assert a_service().client.get("/metrics").status_code == 404


def test_v13_4_6_no_versions_of_the_inside(tmp_path: Path) -> None:
    """No answer names a version of Python or a component, nor ours but where it is asked for."""
    locked = re.findall(
        r"^[a-z0-9-]+==(\S+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE
    )
    inside = {*(version for version in locked if version.count(".") > 1), sys.version.split()[0]}

    for asked, said in everything_said(tmp_path).items():
        assert [version for version in inside if version in said] == [], asked
        if asked.partition(" ")[2] not in TELLS_OUR_RELEASE:
            assert __version__ not in said, asked
