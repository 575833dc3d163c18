"""The default database: made at the first start, and never in the place of one that was named."""

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


@pytest.mark.parametrize("is_writable", [True, False])
def test_first_start_needs_no_preparation(tmp_path: Path, *, is_writable: bool) -> None:
    """Somebody who is new can log in; where no database can be made, a warning says what to set."""
    home = tmp_path / "home"
    home.mkdir() if is_writable else home.write_text("a file, and no folder")
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
    assert (home / FILE).exists() == is_writable
    assert ("without a database nobody is known to be deleted" in said) != is_writable


def test_a_named_database_is_not_made(tmp_path: Path) -> None:
    """A volume that is missing is not taken for a database in which nobody was ever deleted."""
    file = tmp_path / "volume" / "tokensvc.db"

    done = run("serve", environ=an_environment(TOKENSVC_STORAGE__URL=f"sqlite:///{file}"))

    assert done.returncode == 78
    assert "type: tokensvc db upgrade" in done.stderr
    assert not file.exists()
