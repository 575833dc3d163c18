"""ASVS V15.1 and V15.2: components are known and current, and costs are bounded."""

import json
import re
import tomllib
from collections.abc import Collection
from importlib import metadata
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.builders import (
    a_service_with,
    a_sessions_table,
    a_token,
    settings,
)
from tests.fakes import FakeDirectory
from tests.security.forging import pem, token
from tests.security.source_tree import ROOT
from tokensvc.settings_loading import ConfigurationError

LOCK = (ROOT / "requirements.txt").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def locked() -> dict[str, list[str]]:
    """Return name and versions of every component in the lock (several, for other platforms)."""
    found: dict[str, list[str]] = {}
    for name, version in re.findall(r"^([a-z0-9-]+)==(\S+)", LOCK, re.MULTILINE):
        found.setdefault(name, []).append(version)
    return found


def installed_for(requirements: list[str]) -> dict[str, str]:
    """Return every installed component that *requirements* bring along, with its version."""
    found: dict[str, str] = {}
    waiting = [Requirement(text) for text in requirements]
    while waiting:
        needed = waiting.pop()
        name = canonicalize_name(needed.name)
        if name in found and not needed.extras:
            continue
        found[name] = metadata.version(name)
        inner = [Requirement(text) for text in metadata.requires(name) or []]
        waiting += [one for one in inner if _applies(one, needed.extras or {""})]
    return found


def _applies(requirement: Requirement, extras: Collection[str]) -> bool:
    return requirement.marker is None or any(
        requirement.marker.evaluate({"extra": extra}) for extra in extras
    )


def test_v15_1_2_the_lock_is_the_inventory() -> None:
    """Whatever the service brings along is in the lock, in the very version that is installed."""
    components = installed_for(PROJECT["dependencies"])
    inventory = locked()

    assert {"flask", "cryptography", "urllib3", "markupsafe"} <= components.keys()
    assert {
        name: version
        for name, version in components.items()
        if version not in inventory.get(name, [])
    } == {}


def test_v15_1_2_every_component_is_known_by_its_hashes() -> None:
    """Each entry has hashes, so that another index cannot put something else in its place."""
    entries = re.split(r"\n(?=[a-z0-9-]+==)", LOCK)[1:]

    assert len(entries) >= 20
    assert [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry] == []
    assert "://" not in re.sub(r"#.*", "", LOCK)


def test_v15_2_1_components_are_not_older_than_allowed() -> None:
    """The lock keeps to the least versions of pyproject.toml, which know what was mended when."""
    wanted = [Requirement(text) for text in PROJECT["dependencies"]]
    inventory = locked()

    assert "2.15.0" not in next(one for one in wanted if one.name == "pyjwt").specifier
    assert [
        str(one)
        for one in wanted
        if not all(version in one.specifier for version in inventory[canonicalize_name(one.name)])
    ] == []


def test_v15_2_1_the_times_are_written_down() -> None:
    """How soon a component is replaced stands in the written rules."""
    components = (ROOT / "docs" / "security.md").read_text().partition("## Components")[2]

    assert re.search(r"within\s+7 days if it is critical", components)
    assert "make lock" in components


@pytest.mark.parametrize(("bits", "starts"), [(8192, True), (8200, False)])
def test_v15_2_2_keys_that_cost_too_much_do_not_start(
    tmp_path: Path, *, bits: int, starts: bool
) -> None:
    """An RSA key so large that one signature costs more than a login may is refused."""
    modulus = (1 << (bits - 1)) + (1 << 20) + 1
    (tmp_path / "key.pem").write_bytes(pem(rsa.RSAPublicNumbers(65537, modulus).public_key()))
    table = a_sessions_table(
        secret=None, public_key_file=str(tmp_path / "key.pem"), algorithms=["RS256"]
    )

    if starts:
        assert settings(sessions=[table]).sessions
    else:
        with pytest.raises(ConfigurationError, match="8192 bits"):
            settings(sessions=[table])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("e30." * 3000 + "x", "token_too_long"),
        ("A" * 8193, "token_too_long"),
        (a_token(x=json.loads("[" * 40 + "]" * 40)), "payload_malformed"),
        (token(payload=b'{"x":' + b"9" * 5000 + b"}"), "payload_malformed"),
    ],
)
def test_v15_2_2_tokens_that_cost_too_much_are_refused(text: str, reason: str) -> None:
    """What is long or deep is refused before it is worked on, and calls nobody."""
    directory = FakeDirectory()
    service = a_service_with(directory)

    assert service.login(text).status_code == 401
    assert service.records()[0]["reason"] == reason
    assert directory.calls == []
