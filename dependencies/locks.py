"""Lock files, held against pyproject.toml: what is declared is locked, and the other way round.

Resolving anew would tell the same and more, but needs an index and has another
outcome every day. This reads files alone.
"""

import re
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, Final

from packaging.markers import Marker, default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).parents[1]
OWN_NAME: Final = "tokensvc"
PYTHONS: Final = ("3.11.2", "3.11.9", "3.12.0", "3.13.0", "3.14.0")
PLATFORMS: Final = {"linux": "Linux", "darwin": "Darwin", "win32": "Windows"}
_ENTRY: Final = re.compile(r"([A-Za-z0-9._-]+)==([^\s;]+)(?: ; ([^\\]+?))? \\")
_HASH: Final = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?")
_VIA: Final = re.compile(r"    #(?: via|  ) ([a-z0-9-]+)(?: \(.*\))?")
_COMMENT: Final = re.compile(r"#.*|    # via|")


@dataclass(slots=True)
class Locked:
    """One package at one version, and who asked for it."""

    name: str
    version: str
    marker: Marker | None
    hashes: int = 0
    wanted_by: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock file's text, and the requirements that it was made from."""

    name: str
    text: str
    declared: Sequence[Requirement]

    def entries(self) -> list[Locked]:
        """Return what is locked; `faults_in` tells of the lines that are left out here."""
        entries: list[Locked] = []
        for line in self.text.splitlines():
            if entry := _ENTRY.fullmatch(line):
                marker = Marker(entry[3]) if entry[3] else None
                entries.append(Locked(canonicalize_name(entry[1]), entry[2], marker))
            elif entries and _HASH.fullmatch(line):
                entries[-1].hashes += 1
            elif entries and (via := _VIA.fullmatch(line)):
                entries[-1].wanted_by.add(via[1])
        return entries


def environments() -> Iterator[dict[str, str]]:
    """Yield the environments that the lock files are for."""
    for python, (platform, system) in product(PYTHONS, PLATFORMS.items()):
        yield {
            **{name: str(value) for name, value in default_environment().items()},
            "python_full_version": python,
            "python_version": python.rpartition(".")[0],
            "sys_platform": platform,
            "platform_system": system,
        }


def locks(project: Mapping[str, Any], folder: Path) -> list[Lock]:
    """Return the lock files in *folder*, each with its part of *project* (pyproject.toml)."""
    always = project["project"]["dependencies"]
    extras, groups = project["project"]["optional-dependencies"], project["dependency-groups"]
    parts = {
        "requirements.txt": [*always, *extras["build"]],
        "requirements-dev.txt": [*always, *extras["build"], *extras["dev"]],
        **{f"requirements-{name}.txt": declared for name, declared in groups.items()},
    }
    return [
        Lock(name, (folder / name).read_text(), [Requirement(text) for text in declared])
        for name, declared in parts.items()
    ]


def faults_in(lock: Lock) -> Iterator[str]:
    """Yield what is wrong with *lock* by itself."""
    for number, line in enumerate(lock.text.splitlines(), 1):
        if not any(form.fullmatch(line) for form in (_ENTRY, _HASH, _VIA, _COMMENT)):
            yield f"{lock.name}:{number} is no package at one version, no hash and no comment"
    entries = lock.entries()
    yield from _missing(lock, entries)
    declared = {canonicalize_name(requirement.name) for requirement in lock.declared}
    names = {entry.name for entry in entries}
    for entry in entries:
        if not entry.hashes:
            yield f"{lock.name}: {entry.name} has no hash"
        if OWN_NAME in entry.wanted_by and entry.name not in declared:
            yield f"{lock.name}: {entry.name} is no longer in pyproject.toml"
        if not entry.wanted_by & (names | {OWN_NAME}):
            yield f"{lock.name}: nothing that is locked wants {entry.name}"


def _missing(lock: Lock, entries: Sequence[Locked]) -> Iterator[str]:
    """Yield what is declared and not locked as declared, once for all environments."""
    seen: set[str] = set()
    for wanted, environment in product(lock.declared, environments()):
        if wanted.marker and not wanted.marker.evaluate(environment):
            continue
        found = [
            entry.version
            for entry in entries
            if entry.name == canonicalize_name(wanted.name)
            and (entry.marker is None or entry.marker.evaluate(environment))
        ]
        if len(found) != 1 or not wanted.specifier.contains(found[0], prereleases=True):
            seen.add(
                f"{lock.name}: {wanted} is declared, locked is {' and '.join(found) or 'none'}"
            )
        if wanted.extras and not any(wanted.name in entry.wanted_by for entry in entries):
            seen.add(f"{lock.name}: {wanted} is declared, and its extra brings nothing")
    yield from sorted(seen)


def disagreements(part: Lock, whole: Lock) -> Iterator[str]:
    """Yield what *part* locks otherwise than *whole*: the two are installed side by side."""
    versions = {(entry.name, entry.version) for entry in whole.entries()}
    for entry in part.entries():
        if (entry.name, entry.version) not in versions:
            yield f"{entry.name} {entry.version} is in {part.name} and not in {whole.name}"


def main() -> int:
    """Print every fault; return 1 if there is one."""
    found = locks(tomllib.loads((ROOT / "pyproject.toml").read_text()), ROOT)
    faults = [fault for lock in found for fault in faults_in(lock)]
    faults += disagreements(*found[:2])
    for fault in faults:
        print(fault)
    print(f"{len(faults)} faults; `make lock` resolves anew" if faults else "The locks hold.")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
