"""A worker that dies while a settings file is bad is followed by one on those from before."""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
import requests

from tests.builders import OTHER_SECRET, SECRET, a_sessions_table, a_token, an_environment, bearer
from tests.processes import Process, serving
from tests.raw_server import an_answer, raw_server
from tests.rotating import a_file, a_key_table
from tests.security.forging import RS, pem
from tokensvc.cli.last_good import LastGoodSettings
from tokensvc.settings_loading import ConfigurationError, load_settings

TOKEN: Final = b'{"data": {"uid": "alice", "authToken": "alice_1"}}'
GENEROUS: Final = {"TOKENSVC_LIMITS__PER_USER": "100000 per minute"}
WITHIN_S: Final = 20.0


def status(process: Process, token: str) -> int:
    """Return how a login ends, 0 for no answer."""
    try:
        return requests.post(
            f"{process.url}/v1/auth-tokens", headers=bearer(token), timeout=10
        ).status_code
    except requests.RequestException:
        return 0


def soon(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.05)
    return False


def workers_of(process: Process) -> set[int]:
    tasks = Path(f"/proc/{process.popen.pid}/task")
    return {int(pid) for task in tasks.iterdir() for pid in (task / "children").read_text().split()}


def replaced(process: Process) -> bool:
    """Kill one worker, and return whether the server soon has as many as before."""
    before = workers_of(process)
    killed = max(before)
    os.kill(killed, signal.SIGKILL)
    return soon(
        lambda: (
            len(workers_of(process) - {killed}) == len(before)
            and "new worker has the settings" in process.stderr.read_text()
        )
    )


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="workers are read from /proc")
@pytest.mark.parametrize(
    "spoil", [lambda file: file.write_text(""), Path.unlink], ids=["empty", "missing"]
)
def test_worker_that_dies_is_replaced_though_a_secret_is_bad(
    tmp_path: Path, spoil: Callable[[Path], Any]
) -> None:
    """The new worker has the secret that was good, and the other one does not end with it."""
    table = a_sessions_table(secret=None, secret_file=a_file(tmp_path, "secret", SECRET))
    with (
        raw_server(an_answer(TOKEN)) as vendor,
        serving(
            tmp_path,
            vendor_url=vendor.url,
            TOKENSVC_SESSIONS=json.dumps([table]),
            TOKENSVC_SERVER__WORKERS="2",
            **GENEROUS,
        ) as process,
    ):
        assert soon(lambda: len(workers_of(process)) == 2)
        spoil(tmp_path / "secret")

        assert replaced(process)
        assert soon(lambda: status(process, a_token()) == 201)
        assert {status(process, a_token()) for _ in range(20)} == {201}
        assert catches(process, signal.SIGALRM)
        assert process.end() == 0
    refused = [line for line in process.records() if line["event"] == "settings_refused"]
    assert [(line["faults"], line["alarm"]) for line in refused] == [(2, True)]
    assert "sessions[0].secret_file (TOKENSVC_SESSIONS): " in process.stderr.read_text()


def catches(process: Process, number: int) -> bool:
    """Return whether *process* has a handler for this signal: the timer that it looks by."""
    lines = Path(f"/proc/{process.popen.pid}/status").read_text().splitlines()
    (mask,) = (int(line.split()[1], 16) for line in lines if line.startswith("SigCgt:"))
    return bool(mask >> (number - 1) & 1)


def environment(**tables: Any) -> dict[str, str]:
    return an_environment(TOKENSVC_SESSIONS=json.dumps([a_sessions_table(**tables)]))


def test_kept_settings_take_the_place_of_bad_ones(tmp_path: Path) -> None:
    """What was kept is what a worker begins with, and what there is to tell is an alarm."""
    environ = environment(secret=None, secret_file=a_file(tmp_path, "secret", SECRET))
    last_good, settings = LastGoodSettings(), load_settings(environ)
    last_good.keep(settings)
    a_file(tmp_path, "secret", "")

    found, (event,) = last_good.for_worker(environ)

    assert found is settings
    assert (event.name, event.facts, event.is_alarm) == ("settings_refused", {"faults": 2}, True)


def test_good_settings_come_before_kept_ones(tmp_path: Path) -> None:
    """A worker that can load its own has its own."""
    environ = environment(secret=None, secret_file=a_file(tmp_path, "secret", SECRET))
    last_good = LastGoodSettings()
    last_good.keep(load_settings(environ))
    a_file(tmp_path, "secret", OTHER_SECRET)

    found, events = last_good.for_worker(environ)

    assert (found, events) == (load_settings(environ), ())


def test_bad_settings_are_not_kept(tmp_path: Path) -> None:
    """What cannot be loaded leaves what was kept; what can takes its place."""
    environ = environment(secret=None, secret_file=a_file(tmp_path, "secret", SECRET))
    last_good = LastGoodSettings()
    kept = []
    for content in (SECRET, "", OTHER_SECRET, ""):
        a_file(tmp_path, "secret", content)
        last_good.refresh(environ)
        a_file(tmp_path, "secret", "")
        (session,) = last_good.for_worker(environ)[0].sessions
        kept.append(session.secret and session.secret.get_secret_value())

    assert kept == [SECRET, SECRET, OTHER_SECRET, OTHER_SECRET]


def test_secret_that_changes_is_kept_soon(tmp_path: Path) -> None:
    """By a timer: a secret that the workers have taken must not be forgotten with them."""
    environ = environment(secret=None, secret_file=a_file(tmp_path, "secret", SECRET))
    last_good = LastGoodSettings()
    last_good.keep(load_settings(environ))
    a_file(tmp_path, "secret", OTHER_SECRET)
    changed = load_settings(environ)
    handler = signal.getsignal(signal.SIGALRM)
    try:
        last_good.keep_fresh(environ)

        assert soon(lambda: last_good.kept == changed)
        last_good.rest()
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)


def test_nothing_kept_is_a_fault(tmp_path: Path) -> None:
    """Without settings from before, bad ones end the process as ever."""
    environ = environment(secret=None, secret_file=a_file(tmp_path, "secret", ""))

    with pytest.raises(ConfigurationError):
        LastGoodSettings().for_worker(environ)


def test_key_files_are_kept_with_the_settings(tmp_path: Path) -> None:
    """A key that was checked is the one that is used, though its file is gone by then."""
    table = a_key_table(public_key_file=a_file(tmp_path, "key", pem(RS.public_key)))
    settings = load_settings(an_environment(TOKENSVC_SESSIONS=json.dumps([table])))
    expected = settings.sessions[0].load_keys()

    (tmp_path / "key").unlink()

    assert settings.sessions[0].load_keys() == expected
