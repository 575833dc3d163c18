"""The faults document: written from the rows that the tests run, so that it says what is true."""

import importlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

from tests.faults.rows import Told
from tokensvc.domain import errors
from tokensvc.domain.errors import TokenServiceError

HERE: Final = Path(__file__).parent
DOCUMENT: Final = HERE.parents[1] / "docs" / "faults.md"
NO_ANSWER: Final = "no answer from this process; a load balancer or a second try finds another"
STORED: Final = 202
MOST_WORDS: Final = 2
NOTHING: Final = "nothing out of the ordinary"
INTRODUCTION: Final = """\
# What happens when a neighbour fails

Each fault is a test: it is made for real, and a login meets it; a database's fault is met by
a webhook's delivery. The client sees a status, a problem's `code` and what to do about it
(`action`); the operator sees the `reason` in the request's audit line, or an event of that name
between the lines. No answer takes longer than the deadline
of a login and half a second, none is for another user, and full service is back within ten seconds
of the fault's end, or of the end of a pause that CometChat has asked for (a minute at most, even
where the fault ends sooner), without a restart.

Written by `make docs` from the tests' own data; a test notices when it is out of date.
"""


def all_rows() -> list[Told]:
    """Return the rows of every module of tests, in the order of the neighbours' names."""
    modules = [
        importlib.import_module(f"tests.faults.{path.stem}")
        for path in sorted(HERE.glob("test_*.py"))
    ]
    rows = [row for module in modules for row in getattr(module, "ROWS", ())]
    return sorted(rows, key=lambda row: row.neighbour.lower())


def document(rows: Sequence[Told]) -> str:
    """Return the document in Markdown."""
    return "\n".join([INTRODUCTION, *_sections(rows)])


def _sections(rows: Sequence[Told]) -> Iterator[str]:
    for neighbour, of_neighbour in groupby(rows, key=lambda row: row.neighbour):
        yield f"## {neighbour[:1].upper()}{neighbour[1:]}\n"
        yield "| fault | the client sees | the operator sees |\n|---|---|---|"
        for seen, faults in _by_what_is_seen(of_neighbour).items():
            yield f"| {'; '.join(faults)} | {seen[0]} | {seen[1]} |"
        yield ""


def _by_what_is_seen(rows: Iterable[Told]) -> dict[tuple[str, str], list[str]]:
    """Return the faults by what client and operator see of them: a page to read, not a log."""
    seen: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        seen.setdefault((_client_sees(row), _operator_sees(row)), []).append(row.fault)
    return seen


def _client_sees(row: Told) -> str:
    if row.status == 0:
        return NO_ANSWER
    if row.status == STORED:
        return f"{row.status}: the delivery is stored"
    if row.code == "ok":
        return f"{row.status}: the login succeeds"
    return f"{row.status} `{row.code}`, {_action(row.code)}"


def _operator_sees(row: Told) -> str:
    words = row.operator.split()
    # A reason, or an event with its reason; whatever is longer is a sentence.
    if len(words) <= MOST_WORDS and all(word.replace("_", "").isalnum() for word in words):
        return ", ".join(f"`{word}`" for word in words) or NOTHING
    return row.operator


def _action(code: str) -> str:
    """Return what a client does about *code*, from the table of errors itself."""
    found = {
        str(kind.action)
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, TokenServiceError) and kind.code == code
    }
    (action,) = found
    return action


if __name__ == "__main__":
    DOCUMENT.write_text(document(all_rows()), encoding="utf-8")
