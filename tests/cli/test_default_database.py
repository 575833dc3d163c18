"""The default database: made at the first start, and never in the place of one that was named."""

import os
from pathlib import Path

import pytest
import requests

from tests.builders import a_token, an_environment, bearer
from tests.cli.test_commands import run
from tests.ports import a_free_port
from tests.processes import Process, running
from tests.raw_server import an_answer, raw_server

MISSING = an_answer(b'{"error": {"code": "ERR_UID_NOT_FOUND"}}', status="404 Not Found")
CREATED = an_answer(b'{"data": {"uid": "alice", "authToken": "alice_1"}}')
FILE = ".local/state/tokensvc/tokensvc.db"


def first_login(process: Process) -> int:
    return requests.post(
        f"{process.url}/v1/auth-tokens", headers=bearer(a_token()), timeout=10
    ).status_code


def a_home_that_is_none(folder: Path, kind: str) -> Path:
    """Return a home in which no database can be made, and perhaps not even looked for."""
    home = folder / ("x" * 300 if kind == "unsearchable" else "home")
    if kind == "file":
        home.write_text("a file, and no folder")
    return home


@pytest.mark.parametrize("kind", ["folder", "file", "unsearchable"])
def test_first_start_needs_no_preparation(tmp_path: Path, kind: str) -> None:
    """Somebody who is new can log in; where no database can be made, a warning says what to set."""
    is_writable = kind == "folder"
    home = a_home_that_is_none(tmp_path, kind)
    port = a_free_port()
    with raw_server(MISSING, CREATED) as vendor:
        environ = an_environment(
            HOME=str(home),
            TOKENSVC_STORAGE__URL="",
            TOKENSVC_COMETCHAT__BASE_URL=f"{vendor.url}/v3",
            TOKENSVC_SERVER__PORT=str(port),
        )
        url = f"http://127.0.0.1:{port}"
        with running(tmp_path, "serve", url=url, environ=environ) as process:
            status = first_login(process)
            process.end()

    said = process.stderr.read_text()
    assert status == 201
    assert os.path.exists(home / FILE) == is_writable  # noqa: PTH110 (the other raises)
    assert ("without a database nobody is known to be deleted" in said) != is_writable


@pytest.mark.parametrize("kind", ["file", "unsearchable"])
@pytest.mark.parametrize("words", ["worker", "sync status", "users show alice"])
def test_what_is_nothing_without_a_database_ends(tmp_path: Path, words: str, kind: str) -> None:
    """Where the default one cannot be made, that is a fault of the settings."""
    home = a_home_that_is_none(tmp_path, kind)

    done = run(*words.split(), environ=an_environment(HOME=str(home), TOKENSVC_STORAGE__URL=""))

    assert done.returncode == 78
    assert "storage.url (TOKENSVC_STORAGE__URL): " in done.stderr
    assert "cannot be made" in done.stderr
    assert len(done.stderr.splitlines()) == 2


@pytest.mark.parametrize("words", ["worker", "sync status", "users show alice"])
def test_a_file_that_is_no_database_ends_them(tmp_path: Path, words: str) -> None:
    """It will not be one after a while, so there is nothing to wait for."""
    file = tmp_path / "tokensvc.db"
    file.write_text("no database, whatever it is" * 100)

    done = run(*words.split(), environ=an_environment(TOKENSVC_STORAGE__URL=f"sqlite:///{file}"))

    assert done.returncode == 78
    assert f"{file} is damaged, or no database at all" in done.stderr


def test_a_named_database_is_not_made(tmp_path: Path) -> None:
    """A volume that is missing is not taken for a database in which nobody was ever deleted."""
    file = tmp_path / "volume" / "tokensvc.db"

    done = run("serve", environ=an_environment(TOKENSVC_STORAGE__URL=f"sqlite:///{file}"))

    assert done.returncode == 78
    assert "type: tokensvc db upgrade" in done.stderr
    assert not file.exists()
