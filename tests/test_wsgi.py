"""The service under another WSGI server, as the README shows it with gunicorn."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import requests

from tests.builders import a_token, an_environment, bearer
from tests.ports import a_free_port
from tests.processes import Process, running_command
from tests.raw_server import an_answer, raw_server

ROOT = Path(__file__).parents[1]
TOKEN = b'{"data": {"uid": "alice", "authToken": "alice_1"}}'


def gunicorn(port: int) -> list[str]:
    return [
        *(sys.executable, "-m", "gunicorn", "wsgi:application", "--chdir", str(ROOT)),
        *("--worker-class", "gthread", "--threads", "256", "--workers", "4"),
        *("--bind", f"127.0.0.1:{port}"),
    ]


def login(process: Process) -> requests.Response:
    return requests.post(f"{process.url}/v1/auth-tokens", headers=bearer(a_token()), timeout=30)


def test_login_through_gunicorn(tmp_path: Path) -> None:
    """A login goes through, and stdout holds audit lines alone."""
    port = a_free_port()
    with raw_server(an_answer(TOKEN)) as vendor:
        environ = an_environment(TOKENSVC_COMETCHAT__BASE_URL=f"{vendor.url}/v3")
        url = f"http://127.0.0.1:{port}"
        with running_command(tmp_path, gunicorn(port), url=url, environ=environ) as process:
            answer = login(process)
            process.end()

    assert (answer.status_code, answer.json()["authToken"]) == (201, "alice_1")
    assert [line["uid"] for line in process.records() if line.get("uid")] == ["alice"]


def run_gunicorn(environ: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end; a server that starts its workers again and again never gets there."""
    return subprocess.run(  # noqa: S603 (our own command)
        [*gunicorn(a_free_port()), *arguments],
        env={"PATH": os.environ["PATH"], **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_bad_settings_end_gunicorn() -> None:
    """It gives up at once with every fault named, and without a traceback."""
    done = run_gunicorn(an_environment(TOKENSVC_COMETCHAT__REGION="US!", TOKENSVC_SESSIONS=None))

    assert done.returncode == 4
    assert "TOKENSVC_COMETCHAT__REGION" in done.stderr
    assert "TOKENSVC_SESSIONS" in done.stderr
    assert "Traceback" not in done.stderr


def test_every_start_says_it(tmp_path: Path) -> None:
    """What one server leaves behind to say it once silences none that comes after it."""
    environ = an_environment(TOKENSVC_SESSIONS=None, TMPDIR=str(tmp_path))

    ends = [run_gunicorn(environ).returncode for _ in range(2)]

    assert ends == [4, 4]
    assert len(list(tmp_path.glob("tokensvc-gave-up-*"))) == 1
