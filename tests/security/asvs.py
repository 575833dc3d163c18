"""ASVS: the requirements, the tests that show each of them, and the page that says so."""

import ast
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
REQUIREMENTS: Final = Path(__file__).with_suffix(".toml")
PAGE: Final = ROOT / "docs" / "asvs.md"
_TEST: Final = re.compile(r"test_v(\d+)_(\d+)_(\d+)_\w+")
_CHAPTERS: Final = {
    "1": "Encoding and sanitisation",
    "2": "Validation and business logic",
    "4": "API and web service",
    "7": "Session management",
    "8": "Authorisation",
    "9": "Self-contained tokens",
    "10": "OAuth and OIDC",
    "11": "Cryptography",
    "12": "Secure communication",
    "13": "Configuration",
    "14": "Data protection",
    "15": "Secure coding and architecture",
    "16": "Security logging and error handling",
}
_OPENING: Final = """\
# OWASP ASVS 5.0.0

Which requirements of the [Application Security Verification Standard](https://github.com/OWASP/ASVS),
version 5.0.0, apply to this service, and what shows that they are met. They are told in our own
words; the standard's are the ones that count. Each test is named after its requirement and runs
with `make test`. What is written down, where that is asked for, is in [security.md](security.md).

Written by `make docs` from `tests/security/asvs.toml` and the tests; a test keeps it current.
"""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One requirement in our own words: shown by tests, or with the reason why it is not."""

    id: str
    title: str
    not_applicable: str = ""
    operator: str = ""
    """What is for whoever runs the service: a sentence of the README."""
    note: str = ""

    @property
    def chapter(self) -> str:
        """The number before the first dot."""
        return self.id.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Shown:
    """A test that shows a requirement: its name, where it is, and its promise."""

    id: str
    name: str
    file: Path
    promise: str


def requirements() -> list[Requirement]:
    """Return the requirements in the order of their ids."""
    tables = tomllib.loads(REQUIREMENTS.read_text())["requirement"]
    return sorted((Requirement(**table) for table in tables), key=lambda found: _order(found.id))


def shown() -> Iterator[Shown]:
    """Yield every test that is named after a requirement, as it stands in the source."""
    for file in sorted(Path(__file__).parent.glob("test_asvs_*.py")):
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                match = _TEST.fullmatch(node.name)
                promise = (ast.get_docstring(node) or "").partition("\n")[0]
                yield Shown(".".join(match.groups()) if match else "", node.name, file, promise)


def page() -> str:
    """Return docs/asvs.md as it should be."""
    by_id: dict[str, list[Shown]] = {}
    for test in shown():
        by_id.setdefault(test.id, []).append(test)
    found = requirements()
    counts = (
        f"{len(found)} requirements: {sum(not one.not_applicable for one in found)} shown by "
        f"{sum(map(len, by_id.values()))} tests, "
        f"{sum(bool(one.not_applicable) for one in found)} not applicable or the operator's alone."
    )
    chapters = (_chapter(number, found, by_id) for number in _CHAPTERS)
    return "\n".join([_OPENING, counts, *chapters])


def _chapter(number: str, found: list[Requirement], by_id: Mapping[str, list[Shown]]) -> str:
    rows = [
        f"| {one.id} | {one.title} | {'<br>'.join(_evidence(one, by_id.get(one.id, [])))} |"
        for one in found
        if one.chapter == number
    ]
    heading = (
        f"\n## V{number} {_CHAPTERS[number]}\n\n| id | requirement | shown by |\n|---|---|---|"
    )
    return "\n".join([heading, *rows])


def _evidence(requirement: Requirement, tests: list[Shown]) -> Iterator[str]:
    for test in tests:
        link = f"[`{test.name}`](../{test.file.relative_to(ROOT)})"
        yield f"{link}: {test.promise}"
    if requirement.not_applicable:
        yield f"*Not applicable.* {requirement.not_applicable}"
    if requirement.note:
        yield f"*Note.* {requirement.note}"
    if requirement.operator:
        yield f"*The operator's part.* {requirement.operator}"


def _order(requirement_id: str) -> tuple[int, ...]:
    return tuple(map(int, requirement_id.split(".")))


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page() + "\n")
