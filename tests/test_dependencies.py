"""Dependencies: lock files that say what pyproject.toml says, and audits that took place."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from dependencies.audit import NOT_ASKED, PASSED, VULNERABLE, verdict
from dependencies.locks import ROOT, disagreements, faults_in, locks

PROJECT = (ROOT / "pyproject.toml").read_text()


def faults(folder: Path, project: str = PROJECT) -> list[str]:
    """Return what is wrong with the lock files in *folder*, by the text of pyproject.toml."""
    found = locks(tomllib.loads(project), folder)
    return [fault for lock in found for fault in faults_in(lock)] + [*disagreements(*found[:2])]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with copies of all lock files."""
    for file in ROOT.glob("requirements*.txt"):
        shutil.copy(file, tmp_path)
    return tmp_path


def test_locks_hold() -> None:
    """What is declared is what is installed."""
    assert faults(ROOT) == []


def test_every_lock_file_is_held() -> None:
    """None of them is forgotten."""
    held = {lock.name for lock in locks(tomllib.loads(PROJECT), ROOT)}

    assert held == {file.name for file in ROOT.glob("requirements*.txt")}


@pytest.mark.parametrize(
    ("declared", "other", "fault"),
    [
        ('"flask>=3.1"', '"flask>=4"', "flask>=4 is declared, locked is 3"),
        ('"flask>=3.1"', '"flask>=3.1", "django"', "django is declared, locked is none"),
        ('  "flask>=3.1",\n', "", "flask is no longer in pyproject.toml"),
        ('"structlog>=25.5"', '"structlog[dev]>=25.5"', "its extra brings nothing"),
        ('"atheris>=3.1; p', '"atheris>=3.2; p', "atheris>=3.2"),
        ('"pip-audit>=2.10"', '"pip-audit>=3"', "pip-audit>=3 is declared"),
        ('"pytest>=9.0"', '"pytest<9"', "requirements-dev.txt: pytest<9 is declared"),
    ],
)
def test_change_of_what_is_declared(declared: str, other: str, fault: str) -> None:
    """A requirement that was added, changed or taken away without its lock is found."""
    assert PROJECT.count(declared) == 1

    found = faults(ROOT, PROJECT.replace(declared, other))

    assert any(fault in text for text in found)


@pytest.mark.parametrize(
    ("pattern", "other", "fault"),
    [
        (r"(?m)^flask==\S+", "flask==2.0", "locked is 2.0"),
        (r"(?m)^flask==", "flask>=", "is no package at one version"),
        (r"(?m)^flask==\S+", "flask @ https://example.test/flask.whl", "is no package"),
        (r"\A", "--index-url https://example.test/simple\n", ":1 is no package"),
        (r"(?m)^(blinker==.*\n)(    --hash.*\n)+", r"\1", "blinker has no hash"),
        (r"--hash=sha256:[0-9a-f]{4}", "--hash=md5:", "is no package"),
        (r"\Z", f"left==1.0 \\\n    --hash=sha256:{'0' * 64}\n    # via gone\n", "wants left"),
        (r"(?m)^(blinker==)[^ ]+", r"\g<1>1.0", "blinker 1.0 is in requirements.txt"),
        (r"(?m)^(flask==\S+) ", r"\1 ; sys_platform == 'win32' ", "locked is none"),
    ],
)
def test_change_of_what_is_locked(folder: Path, pattern: str, other: str, fault: str) -> None:
    """And a lock that was edited by hand is found."""
    file = folder / "requirements.txt"
    file.write_text(re.sub(pattern, other, file.read_text(), count=1))

    assert any(fault in text for text in faults(folder))


def test_check_says_so() -> None:
    """The command says what it found, and ends well if that is nothing."""
    done = subprocess.run(  # noqa: S603 (our own interpreter and program)
        [sys.executable, str(ROOT / "dependencies/locks.py")],
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == "The locks hold.\n"


GOOD: dict[str, Any] = {"name": "a", "version": "1", "vulns": []}
BAD: dict[str, Any] = {"name": "b", "version": "2", "vulns": [{"id": "X-1", "fix_versions": ["3"]}]}
UNKNOWN: dict[str, Any] = {"name": "c", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("packages", "code", "text"),
    [
        ([GOOD], PASSED, "1 packages audited, 0 vulnerabilities"),
        ([GOOD, BAD], VULNERABLE, "b 2: X-1, mended in 3"),
        ([GOOD, UNKNOWN], NOT_ASKED, "NOT AUDITED: 1 of 2"),
        ([BAD, UNKNOWN], VULNERABLE, "NOT AUDITED: 1 of 2"),
        ([], NOT_ASKED, "NOT AUDITED"),
    ],
)
def test_verdict(packages: list[dict[str, Any]], code: int, text: str) -> None:
    """Only packages that the service knows are audited, and only an audit of all is passed."""
    found = verdict(json.dumps({"dependencies": packages, "fixes": []}))

    assert found[0] == code
    assert text in found[1]


@pytest.mark.parametrize("report", ["", "Traceback", "[]", "null", "{}"])
def test_no_report(report: str) -> None:
    """Where pip-audit could not ask, nothing is passed."""
    assert verdict(report)[0] == NOT_ASKED
