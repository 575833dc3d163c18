"""Reload: secret files that change, and SIGHUP, while the service as it is shipped goes on."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import requests

from tests.builders import OTHER_SECRET, SECRET, a_sessions_table, a_token, bearer
from tests.processes import Process, serving
from tests.raw_server import an_answer, raw_server
from tests.rotating import a_file

TOKEN: Final = b'{"data": {"uid": "alice", "authToken": "alice_1"}}'
GENEROUS: Final = {"TOKENSVC_LIMITS__PER_USER": "100000 per minute"}
WITHIN_S: Final = 10.0


def login(process: Process, secret: str = SECRET) -> requests.Response:
    return requests.post(
        f"{process.url}/v1/auth-tokens", headers=bearer(a_token(key=secret)), timeout=10
    )


def soon(holds: Callable[[], bool]) -> bool:
    """Return whether *holds* becomes true within ten seconds."""
    deadline = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline:
        if holds():
            return True
    return False


def test_rotated_secret_is_in_force_within_ten_seconds(tmp_path: Path) -> None:
    """In every worker, without a restart, and with a line in the log."""
    table = a_sessions_table(secret=None, secret_file=a_file(tmp_path, "secret", SECRET))
    with (
        raw_server(an_answer(TOKEN)) as vendor,
        serving(
            tmp_path,
            vendor_url=vendor.url,
            TOKENSVC_SESSIONS=json.dumps([table]),
            TOKENSVC_SERVER__WORKERS="2",
            TOKENSVC_LIMITS__FAILED_PER_ADDRESS="100000 per minute",
            **GENEROUS,
        ) as process,
    ):
        before = login(process).status_code
        a_file(tmp_path, "secret", OTHER_SECRET)

        assert soon(lambda: {login(process, OTHER_SECRET).status_code for _ in range(20)} == {201})
        assert {login(process).status_code for _ in range(20)} == {401}
        process.end()

    assert before == 201
    reloaded = [line for line in process.records() if line["event"] == "secret_reloaded"]
    assert len(reloaded) == 2
    assert process.stderr.read_text().count("Spawning worker") == 2


def a_config(folder: Path, text: str) -> Path:
    return Path(a_file(folder, "config.toml", text))


@contextmanager
def serving_without_timing(folder: Path) -> Iterator[Process]:
    """Start the service on a file of settings that a test then changes."""
    config = a_config(folder, "[http]\nserver_timing = false\n")
    with (
        raw_server(an_answer(TOKEN)) as vendor,
        serving(folder, vendor_url=vendor.url, TOKENSVC_CONFIG=str(config), **GENEROUS) as process,
    ):
        yield process


def test_hangup_reads_everything_again(tmp_path: Path) -> None:
    """SIGHUP replaces the workers: what has changed in the settings is in force."""
    with serving_without_timing(tmp_path) as process:
        before = login(process)
        a_config(tmp_path, "[http]\nserver_timing = true\n")

        os.kill(process.popen.pid, signal.SIGHUP)

        assert soon(
            lambda: "Server-Timing" in requests.get(f"{process.url}/livez", timeout=5).headers
        )
        assert "Server-Timing" not in before.headers
        assert process.end() == 0


def test_hangup_of_all_processes_is_one(tmp_path: Path) -> None:
    """A signal to the whole group is the parent's: what is wrong is told once, not by each."""
    with serving_without_timing(tmp_path) as process:
        a_config(tmp_path, '[limits]\nfailed_per_address = "often"\n')

        os.killpg(process.popen.pid, signal.SIGHUP)

        assert soon(lambda: "not reloaded" in process.stderr.read_text())
        assert login(process).status_code == 201
        process.end()
    assert process.stderr.read_text().count("not reloaded") == 1


def test_hangup_with_bad_settings_changes_nothing(tmp_path: Path) -> None:
    """Settings that would not start are named, and those in force stay."""
    with serving_without_timing(tmp_path) as process:
        a_config(tmp_path, '[limits]\nfailed_per_address = "often"\n')

        os.kill(process.popen.pid, signal.SIGHUP)

        assert soon(lambda: "not reloaded: limits.failed_per_address" in process.stderr.read_text())
        assert login(process).status_code == 201
        assert process.end() == 0
    assert "respawning" not in process.stderr.read_text()
