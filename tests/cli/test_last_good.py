"""Settings from before: what a worker begins with while its own cannot be loaded."""

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from tests.builders import OTHER_SECRET, SECRET, a_sessions_table, an_environment
from tests.rotating import a_file, a_key_table
from tests.security.forging import RS, pem
from tokensvc.cli.last_good import LastGoodSettings
from tokensvc.settings_loading import ConfigurationError, load_settings

WITHIN_S: Final = 20.0


def soon(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.05)
    return False


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
