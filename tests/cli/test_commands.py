"""Commands: what an operator types, and what comes back."""

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import jwt
import pytest
from click.testing import CliRunner

from tests.builders import API_KEY, OTHER_SECRET, SECRET, a_sessions_table, an_environment
from tests.databases import a_shared_sqlite_database, a_sqlite_database
from tests.processes import command
from tests.web.signing import SOURCES
from tokensvc import __version__
from tokensvc.cli import main

ROOT = Path(__file__).parents[2]
DEVELOPMENT = {"TOKENSVC_CONFIG": str(ROOT / "config/development.toml")}


def run(*arguments: str, environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run `tokensvc ARGUMENTS` to its end."""
    return subprocess.run(  # noqa: S603 (our own command)
        command(*arguments),
        env={
            "PATH": os.environ["PATH"],
            "TOKENSVC_STORAGE__URL": a_shared_sqlite_database(),
            **environ,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_check_of_good_settings() -> None:
    """Good settings exit with 0."""
    done = run("config", "check", environ=an_environment())

    assert (done.returncode, done.stdout) == (0, "The settings can be used.\n")


@pytest.mark.parametrize("arguments", [("config", "check"), ("config", "show"), ("serve",)])
def test_bad_settings_end_a_command(arguments: tuple[str, ...]) -> None:
    """Bad ones exit with 78 and name every fault; there is no traceback."""
    done = run(*arguments, environ={"TOKENSVC_COMETCHAT__REGION": "US!"})

    assert done.returncode == 78
    assert "TOKENSVC_COMETCHAT__APP_ID" in done.stderr
    assert "TOKENSVC_COMETCHAT__REGION" in done.stderr
    assert "TOKENSVC_SESSIONS" in done.stderr
    assert "Traceback" not in done.stderr


def test_show_masks_secrets() -> None:
    """The settings in force can be shown to anybody."""
    done = run(
        "config",
        "show",
        environ=an_environment(
            TOKENSVC_LIMITS__STORAGE_URL="redis://u:canary@127.0.0.1:9/0",
            TOKENSVC_SESSIONS=json.dumps([a_sessions_table(secret_previous=OTHER_SECRET)]),
        ),
    )

    assert done.returncode == 0
    assert 'storage_url = "redis://u:********@127.0.0.1:9/0"' in done.stdout
    assert 'secret_previous = "********"' in done.stdout
    assert not any(secret in done.stdout for secret in (API_KEY, SECRET, OTHER_SECRET, "canary"))


def test_show_tells_the_default_address() -> None:
    """Where the service would call is told, also when nobody has set it."""
    done = run("config", "show", environ=an_environment(TOKENSVC_COMETCHAT__BASE_URL=None))

    assert 'base_url = "https://1234567890abcdef.api-us.cometchat.io/v3"' in done.stdout


def test_show_masks_the_previous_key() -> None:
    """The REST key before this one is a secret for as long as CometChat takes it."""
    previous = "9c2e4b7d1f6a8035c9e1b3d5f7092a4c6e8b0d2f"
    done = run(
        "config", "show", environ=an_environment(TOKENSVC_COMETCHAT__API_KEY_PREVIOUS=previous)
    )

    assert 'api_key_previous = "********"' in done.stdout
    assert previous not in done.stdout


def test_shown_settings_are_settings(tmp_path: Path) -> None:
    """What is shown can be used as a file, once the secrets are put back."""
    shown = run("config", "show", environ=an_environment()).stdout
    file = tmp_path / "config.toml"
    file.write_text(
        shown.replace('api_key = "********"', f'api_key = "{API_KEY}"').replace(
            '"********"', f'"{SECRET}"'
        )
    )

    done = run("--config", str(file), "config", "check", environ={})

    assert (done.returncode, done.stdout) == (0, "The settings can be used.\n")


def test_shown_webhooks_are_settings() -> None:
    """So are the webhooks, options and all; each of their secrets is masked."""
    sources = [SOURCES[name] for name in ("standard", "supabase-db")]
    environ = an_environment(TOKENSVC_WEBHOOKS=json.dumps([source.table("") for source in sources]))

    shown = run("config", "show", environ=environ).stdout

    webhooks = tomllib.loads(shown)["webhooks"]
    assert [webhook["secrets"] for webhook in webhooks] == [["********"], ["********"]]
    assert webhooks[1]["options"]["header"] == "X-Webhook-Secret"
    for webhook, source in zip(webhooks, sources, strict=True):
        webhook["secrets"] = [source.secret]
    environ["TOKENSVC_WEBHOOKS"] = json.dumps(webhooks)
    assert run("config", "check", environ=environ).returncode == 0


def test_session_token_of_a_development_key() -> None:
    """A developer gets a token with the claims they ask for."""
    done = run("session-token", "--sub", "alice", "--claim", "level=7", environ=DEVELOPMENT)

    claims = jwt.decode(done.stdout.strip(), options={"verify_signature": False})
    assert (claims["sub"], claims["level"], claims["iss"]) == ("alice", 7, "https://app.localhost")


def test_session_token_of_a_real_key_is_refused() -> None:
    """With a real key nobody signs by hand."""
    done = run("session-token", "--sub", "alice", environ=an_environment())

    assert done.returncode != 0
    assert "no development key" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("arguments", [("--claim", "x"), ("--issuer", "https://nobody")])
def test_session_token_of_bad_wishes(arguments: tuple[str, ...]) -> None:
    """A mistake is a sentence, not a traceback."""
    done = run("session-token", "--sub", "alice", *arguments, environ=DEVELOPMENT)

    assert done.returncode != 0
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("port", ["-1", "65536", "99999", "eighty"])
@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("serve", "--port"),
        ("emulator", "--port"),
        ("demo", "--port"),
        ("demo", "--service-port"),
        ("demo", "--emulator-port"),
    ],
)
def test_port_that_is_none(name: str, option: str, port: str) -> None:
    """A number that no port has is a mistake in the command line, before anything starts."""
    done = CliRunner().invoke(main, [name, option, port])

    assert (done.exit_code, done.stdout) == (2, "")
    assert f"Invalid value for '{option}'" in done.stderr


def test_version() -> None:
    """The version can be asked for."""
    assert run("--version", environ={}).stdout == f"tokensvc, version {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("serve",),
        ("demo",),
        ("emulator",),
        ("config",),
        ("config", "check"),
        ("db",),
        ("db", "upgrade"),
        ("db", "status"),
        ("users",),
        ("users", "import"),
        ("users", "export"),
        ("users", "show"),
        ("users", "deactivate"),
        ("users", "restore"),
        ("users", "delete"),
        ("users", "reconcile"),
        ("session-token",),
    ],
)
def test_help_reads_well(arguments: tuple[str, ...]) -> None:
    """Each command explains itself, in lines that fit a terminal."""
    done = run(*arguments, "--help", environ={})

    assert done.returncode == 0
    assert len(done.stdout.splitlines()) > 4
    assert max(map(len, done.stdout.splitlines())) <= 100


def test_wsgi_door(tmp_path: Path) -> None:
    """wsgi.py gives any WSGI server its application."""
    program = "import wsgi; print(wsgi.application.test_client().get('/livez').status_code)"
    done = subprocess.run(  # noqa: S603 (our own interpreter and program)
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "TOKENSVC_STORAGE__URL": a_sqlite_database(tmp_path / "tokensvc.db"),
            **an_environment(),
        },
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.splitlines()[-1] == "200"


@pytest.mark.parametrize("group", [[], ["users"], ["sync"], ["keys"], ["db"], ["config"]])
def test_help_is_not_cut(group: list[str]) -> None:
    """What a command does is a whole sentence, in a terminal of the usual width."""
    shown = CliRunner(env={"COLUMNS": "80"}).invoke(main, [*group, "--help"]).stdout

    commands = shown.partition("Commands:\n")[2].splitlines()
    assert commands
    assert not [line for line in commands if line.endswith("...")]
    assert commands[-1].endswith(".")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the disk without room is Linux's")
@pytest.mark.parametrize(
    "words",
    ["sync status", "sync dead", "sync status --json", "db status", "config show", "config check"],
)
def test_output_that_nobody_can_keep(words: str) -> None:
    """A full disk behind stdout is a sentence and a code, and no traceback."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(  # noqa: S603 (our own command)
            command(*words.split()),
            env={**an_environment(), "TOKENSVC_STORAGE__URL": a_shared_sqlite_database()},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )

    assert done.returncode == 2
    assert done.stderr == "a file cannot be read or written: No space left on device\n"
