"""`tokensvc config check --online`: who goes along with the settings, asked for real."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.builders import API_KEY, APP_ID, an_environment
from tests.cli.test_db import have_schema
from tests.databases import a_sqlite_database, sqlite_url
from tests.ports import a_free_port
from tests.raw_server import an_answer
from tests.redis_server import a_redis
from tests.remote_issuers import a_provider, a_remote_table, published
from tests.security.forging import RS
from tokensvc.adapters.schema import REVISION
from tokensvc.cli import main
from tokensvc.emulator import EmulatorServer

OTHER_KEY = "another-rest-key-of-the-tests-0123456789"
NOT_LISTENING = f"http://127.0.0.1:{a_free_port()}"


@pytest.fixture
def emulator() -> Iterator[EmulatorServer]:
    with EmulatorServer(app_id=APP_ID, api_key=API_KEY) as server:
        yield server


def check(vendor_url: str, folder: Path, **changes: Any) -> Result:
    """Run the command with settings that are good but for *changes*."""
    good = {
        "TOKENSVC_COMETCHAT__BASE_URL": f"{vendor_url}/v3",
        "TOKENSVC_STORAGE__URL": a_sqlite_database(folder / "tokensvc.db"),
    }
    environ = an_environment(**{**good, **changes})
    return CliRunner(env=environ).invoke(main, ["config", "check", "--online"])


def test_everybody_goes_along(emulator: EmulatorServer, tmp_path: Path) -> None:
    """Each neighbour is a line, and the exit code is 0."""
    with a_redis(tmp_path) as redis, a_provider(published(RS)) as provider:
        result = check(
            emulator.url,
            tmp_path,
            TOKENSVC_SESSIONS=json.dumps([a_remote_table(jwks_url=provider.jwks_url)]),
            TOKENSVC_KEYS__DIRECTORY=str(tmp_path / "keys"),
            TOKENSVC_LIMITS__STORAGE_URL=redis.url,
        )

    assert result.stdout.splitlines() == [
        "The settings can be used.",
        "CometChat takes the key (cometchat.api_key)",
        f"{RS.issuer} gives 1 key",
        "Redis counts",
        f"The database has schema {REVISION}",
    ]
    assert (result.exit_code, provider.fetches) == (0, 1)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"TOKENSVC_COMETCHAT__API_KEY": OTHER_KEY},
            "refuses the key (cometchat.api_key): AUTH_ERR_APIKEY_NOT_FOUND",
        ),
        (
            {"TOKENSVC_COMETCHAT__API_KEY_PREVIOUS": OTHER_KEY},
            "refuses the key (cometchat.api_key_previous): AUTH_ERR_APIKEY_NOT_FOUND",
        ),
        (
            {"TOKENSVC_COMETCHAT__APP_ID": "another-app"},
            "refuses what is configured: AUTH_ERR_INVALID_APPID",
        ),
        (
            {"TOKENSVC_COMETCHAT__BASE_URL": f"{NOT_LISTENING}/v3"},
            "cannot be reached: connection_failed",
        ),
    ],
)
def test_cometchat_does_not(
    emulator: EmulatorServer, tmp_path: Path, changes: dict[str, str], sentence: str
) -> None:
    """What it says to one key alone is said of that key, and no key is printed."""
    result = check(emulator.url, tmp_path, **changes)

    assert f"CometChat {sentence}" in result.stdout.splitlines()
    assert result.exit_code == 1
    assert not [key for key in (API_KEY, OTHER_KEY) if key in result.output]


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (an_answer(b"", status="500 Internal Server Error"), "cannot be reached: status_500"),
        (an_answer(b'{"keys": []}'), "gives no keys: keys_refused ("),
    ],
)
def test_an_issuer_does_not(
    emulator: EmulatorServer, tmp_path: Path, answer: bytes, sentence: str
) -> None:
    """Its own server's answer, in the words of the log."""
    with a_provider(answer) as provider:
        table = a_remote_table(jwks_url=provider.jwks_url)
        result = check(emulator.url, tmp_path, TOKENSVC_SESSIONS=json.dumps([table]))

    assert f"{RS.issuer} {sentence}" in result.stdout
    assert result.exit_code == 1


def test_redis_does_not(emulator: EmulatorServer, tmp_path: Path) -> None:
    """A Redis that answers and cannot count is told from one that is away."""
    said = []
    with a_redis(tmp_path) as redis:
        for misfortune in (redis.fill, redis.kill):
            misfortune()
            changes = {"TOKENSVC_LIMITS__STORAGE_URL": redis.url}
            result = check(emulator.url, tmp_path, **changes)
            said.append((result.exit_code, result.stdout.splitlines()[2]))

    assert said == [
        (1, "Redis cannot be reached: out_of_memory"),
        (1, "Redis cannot be reached: connection"),
    ]


@pytest.mark.parametrize("kind", ["missing", "older"])
def test_the_database_does_not(emulator: EmulatorServer, tmp_path: Path, kind: str) -> None:
    """What would end a start is a warning, and with --online a fault; both say what to type."""
    url = sqlite_url(tmp_path / "missing.db")
    if kind == "older":
        have_schema(url := a_sqlite_database(tmp_path / "older.db"), "0000")

    result = check(emulator.url, tmp_path, TOKENSVC_STORAGE__URL=url)
    offline = CliRunner(env=an_environment(TOKENSVC_STORAGE__URL=url)).invoke(
        main, ["config", "check"]
    )

    assert "The database cannot be used (storage.url): " in result.stdout
    assert "type: tokensvc db upgrade" in result.stdout
    assert result.exit_code == 1
    assert "type: tokensvc db upgrade" in offline.stderr
    assert (offline.exit_code, offline.stdout) == (0, "The settings can be used.\n")


def test_a_default_database_is_not_made(emulator: EmulatorServer, tmp_path: Path) -> None:
    """Whoever checks changes nothing."""
    result = check(emulator.url, tmp_path, HOME=str(tmp_path / "home"), TOKENSVC_STORAGE__URL=None)

    assert "The database is made at the first start" in result.stdout
    assert result.exit_code == 0
    assert not (tmp_path / "home").exists()
