"""`tokensvc db`, and the doors that stay shut before it was run."""

import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from tests.builders import an_environment
from tests.cli.test_commands import run
from tests.databases import a_sqlite_database, sqlite_url
from tests.ports import a_free_port
from tests.processes import command, running_command
from tests.test_wsgi import run_gunicorn
from tokensvc.adapters.schema import REVISION

PASSWORD = "canary-of-the-database"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Give the variables of a deployment whose database is not there yet."""
    return an_environment(
        TOKENSVC_STORAGE__URL=sqlite_url(tmp_path / "state" / "tokensvc.db"),
        TOKENSVC_SERVER__PORT=str(a_free_port()),
    )


def have_schema(url: str, revision: str) -> None:
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
        connection.commit()


def test_upgrade_makes_the_database(environ: dict[str, str], tmp_path: Path) -> None:
    """One command makes folder, file and tables, for nobody else's eyes; then all is well."""
    done = run("db", "upgrade", environ=environ)

    file = tmp_path / "state" / "tokensvc.db"
    assert (done.returncode, done.stdout) == (0, f"sqlite:///{file} has schema {REVISION}.\n")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert f"{REVISION}, which this release needs" in run("db", "status", environ=environ).stdout


def test_upgrade_keeps_what_is_there(tmp_path: Path) -> None:
    """It can be run again and again, and loses nothing."""
    url = a_sqlite_database(tmp_path / "tokensvc.db")
    with closing(sqlite3.connect(tmp_path / "tokensvc.db")) as connection:
        connection.execute(
            "INSERT INTO lanes (uid, due_at, turn, holding) VALUES ('alice', 0, 0, 'waiting')"
        )
        connection.commit()

        assert run("db", "upgrade", environ=an_environment(TOKENSVC_STORAGE__URL=url)).stdout

        assert connection.execute("SELECT uid FROM lanes").fetchall() == [("alice",)]


@pytest.mark.parametrize("arguments", [("serve",), ("db", "status")])
def test_doors_stay_shut_without_a_database(
    environ: dict[str, str], arguments: tuple[str, ...]
) -> None:
    """Without one nothing starts, and the sentence says what to type."""
    done = run(*arguments, environ=environ)

    assert done.returncode == 78
    assert "storage.url (TOKENSVC_STORAGE__URL): there is no database at" in done.stderr
    assert "type: tokensvc db upgrade" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("revision", "sentence"),
    [
        ("0000", f"has schema 0000, and needs {REVISION}; type: tokensvc db upgrade"),
        ("9999", "has schema 9999, of a newer release"),
    ],
)
def test_doors_stay_shut_before_another_schema(
    tmp_path: Path, revision: str, sentence: str
) -> None:
    """An older schema is to be upgraded; a newer one is not this release's."""
    environ = an_environment(TOKENSVC_STORAGE__URL=a_sqlite_database(tmp_path / "tokensvc.db"))
    have_schema(environ["TOKENSVC_STORAGE__URL"], revision)

    done = run("serve", environ=environ)

    assert (done.returncode, sentence in done.stderr) == (78, True)


def test_newer_schema_is_not_upgraded(tmp_path: Path) -> None:
    """An older release does not touch what it does not know."""
    environ = an_environment(TOKENSVC_STORAGE__URL=a_sqlite_database(tmp_path / "tokensvc.db"))
    have_schema(environ["TOKENSVC_STORAGE__URL"], "9999")

    done = run("db", "upgrade", environ=environ)

    assert (done.returncode, "of a newer release" in done.stderr) == (78, True)


def test_gunicorn_ends_without_a_database(environ: dict[str, str]) -> None:
    """The door for other servers says the same, and does not start its workers for ever."""
    done = run_gunicorn(environ)

    assert done.returncode == 4
    assert "type: tokensvc db upgrade" in done.stderr


def test_database_that_is_down_ends_no_logins(tmp_path: Path) -> None:
    """A server that cannot be reached is warned of, and its password is not told."""
    port = a_free_port()
    environ = an_environment(
        TOKENSVC_STORAGE__URL=f"postgresql://u:{PASSWORD}@127.0.0.1:9/tokensvc",
        TOKENSVC_SERVER__PORT=str(port),
        TOKENSVC_SERVER__WORKERS="1",
    )
    url = f"http://127.0.0.1:{port}"
    with running_command(tmp_path, command("serve"), url=url, environ=environ) as process:
        said = process.stderr.read_text()

    assert "the database cannot be asked: database_unreachable" in said
    assert PASSWORD not in said


@pytest.mark.parametrize(
    "words",
    ["db upgrade", "db status", "sync status", "users show alice", "users delete alice"],
)
def test_commands_on_a_database_that_is_down(words: str) -> None:
    """There is a sentence, once, nothing of the driver's, and the code for trying again."""
    url = f"postgresql://u:{PASSWORD}@127.0.0.1:9/tokensvc"

    done = run(*words.split(), environ=an_environment(TOKENSVC_STORAGE__URL=url))

    assert done.returncode == 75
    assert done.stderr == "the database cannot be asked: database_unreachable\n"


def test_place_that_cannot_be_written_to() -> None:
    """A folder that cannot be made is a fault of the setting."""
    url = "sqlite:////proc/tokensvc/tokensvc.db"

    done = run("db", "upgrade", environ=an_environment(TOKENSVC_STORAGE__URL=url))

    assert (done.returncode, "cannot be made" in done.stderr) == (78, True)
    assert "Traceback" not in done.stderr


def test_show_masks_the_password_of_the_database() -> None:
    """Where the database is can be shown to anybody."""
    url = f"postgresql://u:{PASSWORD}@127.0.0.1:9/tokensvc"

    done = run("config", "show", environ=an_environment(TOKENSVC_STORAGE__URL=url))

    assert 'url = "postgresql://u:********@127.0.0.1:9/tokensvc"' in done.stdout
