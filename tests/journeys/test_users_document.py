"""The document about users: its commands are run, in its order, with its own lists."""

import re
import shlex
from pathlib import Path

from tests.cli.listed import a_desk
from tokensvc.domain.columns import COLUMNS

DOCUMENT = (Path(__file__).parents[2] / "docs/users.md").read_text()
SPOKEN_FAILURES = {
    "tokensvc users reconcile users.csv",
    "tokensvc users reconcile users.csv --apply",
}
"""What ends with 1: the second list has brought somebody who is not on the first."""


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL)


def test_commands(tmp_path: Path) -> None:
    """Each does what is said of it, one after the other."""
    (csv,), (jsonl,) = blocks("csv"), blocks("jsonl")
    commands = [line for block in blocks("sh") for line in block.splitlines()]
    with a_desk(tmp_path) as desk:
        desk.write("users.csv", csv)
        desk.write("people.jsonl", jsonl)
        ended = {
            line: desk.run(*shlex.split(line.removeprefix("tokensvc users "))).exit_code
            for line in commands
        }

        assert len(commands) > 12
        assert {line for line, code in ended.items() if code} == SPOKEN_FAILURES
        assert desk.live() == ["1001", "ann"]
        assert desk.users["1001"].fields["metadata"] == {"plan": "silver"}
        assert desk.read("everybody.csv").startswith("uid,name,")


def test_columns() -> None:
    """The table names every column that is looked for."""
    for field, aliases in COLUMNS.items():
        row = f"| `{field}` | {', '.join(f'`{alias}`' for alias in aliases)} |"
        assert row in DOCUMENT
