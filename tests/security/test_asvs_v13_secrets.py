"""ASVS V13.3: secrets come from a store, are shown by nobody, and can be replaced."""

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.builders import (
    API_KEY,
    LOG_KEY,
    NOW,
    OTHER_SECRET,
    SECRET,
    a_service,
    a_service_with,
    a_sessions_table,
    a_token,
    an_environment,
    settings,
)
from tests.cli.test_commands import run
from tests.fakes import FakeDirectory
from tests.rotating import a_file, a_rig
from tests.security.forging import RS, Signer, jwk, thief_for, token
from tests.security.source_tree import PACKAGE, ROOT, nodes, room
from tokensvc.app import app_around
from tokensvc.domain.secrecy import DEVELOPMENT_MARK
from tokensvc.services import assemble
from tokensvc.settings_loading import ConfigurationError

SECRET_SHAPES = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY|\beyJ[A-Za-z0-9_-]{10,}\."
    r"|[\"'](?!abcdefghijkl)(?=[^\"']*\d)[A-Za-z0-9+/_=-]{32,}[\"']"
)


def secrets_in(text: str) -> list[str]:
    """Return what looks like a secret and is not marked as published."""
    found = [match[0].strip("\"'") for match in SECRET_SHAPES.finditer(text)]
    return [shape for shape in found if not shape.startswith(DEVELOPMENT_MARK)]


def shipped_files() -> list[Path]:
    """Return the files of the package and its configurations: all that is deployed."""
    kinds = {".py", ".toml", ".html", ".js", ".css"}
    found = [*PACKAGE.rglob("*"), *(ROOT / "config").iterdir(), ROOT / "wsgi.py"]
    return [path for path in found if path.suffix in kinds]


def test_v13_3_1_no_secret_in_the_source() -> None:
    """No file that is deployed holds a key, but for the published ones that are marked as such."""
    assert secrets_in(f'key = "{OTHER_SECRET}"') == [OTHER_SECRET]
    assert {str(path): secrets_in(path.read_text()) for path in shipped_files()} == {
        str(path): [] for path in shipped_files()
    }


def built_wheel(folder: Path) -> list[str]:
    """Build the wheel, as pip does, and return the names of the files in it."""
    build = (
        "import sys; from flit_core.buildapi import build_wheel; print(build_wheel(sys.argv[1]))"
    )
    done = subprocess.run(  # noqa: S603 (our own command)
        [sys.executable, "-c", build, str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    with zipfile.ZipFile(folder / done.stdout.strip()) as wheel:
        return wheel.namelist()


def test_v13_3_1_nothing_but_the_package_is_built(tmp_path: Path) -> None:
    """The build holds the package and its metadata: no settings, keys or tests of anybody's."""
    names = built_wheel(tmp_path)

    assert "tokensvc/app.py" in names
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"tokensvc"}
    assert [name for name in names if name.endswith((".toml", ".pem", ".env", ".json"))] == []


def test_v13_3_1_secrets_are_taken_from_files_of_a_store(tmp_path: Path) -> None:
    """A secret store's file works in the place of the value; both at once do not start."""
    file = tmp_path / "session_secret"
    file.write_text(f"{SECRET}\n")
    table = a_sessions_table(secret=None, secret_file=str(file))

    assert a_service_with(FakeDirectory(), sessions=[table]).login().status_code == 201
    with pytest.raises(ConfigurationError, match="not both"):
        settings(sessions=[{**table, "secret": SECRET}])


def test_v13_3_2_nothing_shows_its_secrets() -> None:
    """Neither settings nor services nor `config show` print a secret that they hold."""
    chosen = settings()
    services = assemble(chosen)
    shown = run("config", "show", environ=an_environment()).stdout

    said = repr(chosen) + str(chosen) + repr(services) + repr(app_around(services, chosen)) + shown
    assert [secret for secret in (SECRET, API_KEY, LOG_KEY) if secret in said] == []
    assert API_KEY in {*chosen.secret_values()}


def test_v13_3_2_secrets_are_unwrapped_by_few() -> None:
    """Rooms where requests are read, rules are kept or the vendor is played unwrap no secret."""
    rooms = {
        room(path)
        for path in PACKAGE.rglob("*.py")
        if any(getattr(node, "attr", "") == "get_secret_value" for node in nodes(path))
    }

    assert "rotation.py" in rooms
    assert [name for name in rooms if name.startswith(("web/", "domain/", "emulator/"))] == []


def test_v13_3_4_secrets_are_replaced_while_running(tmp_path: Path) -> None:
    """A new secret in the file is in force without a restart, and the old one no longer."""
    rig = a_rig(tmp_path)
    old, new = a_token(), a_token(key=OTHER_SECRET)
    before = [rig.status(old), rig.status(new)]

    a_file(tmp_path, "secret", OTHER_SECRET)
    rig.look()

    assert (before, [rig.status(old), rig.status(new)]) == ([201, 401], [401, 201])


def jwks(folder: Path, *keys: dict[str, object]) -> str:
    path = folder / "jwks.json"
    path.write_text(json.dumps({"keys": keys}))
    return str(path)


def test_v13_3_4_signing_keys_are_replaced_without_a_gap(tmp_path: Path) -> None:
    """Old and new key side by side prove their tokens; when the old one is gone, it does not."""
    old, new = RS, Signer(RS.issuer, "RS256", thief_for("RS256").key, kid="new")
    published = {
        "before": [jwk(old)],
        "between": [jwk(old), jwk(new, kid="new")],
        "after": [jwk(new, kid="new")],
    }
    seen = {}
    for stage, keys in published.items():
        table = a_sessions_table(
            issuer=RS.issuer, algorithms=["RS256"], secret=None, jwks_file=jwks(tmp_path, *keys)
        )
        service = a_service({"sessions": [table]}, now=lambda: NOW)
        seen[stage] = [service.login(token(signer)).status_code for signer in (old, new)]

    assert seen == {"before": [503, 401], "between": [503, 503], "after": [401, 503]}
