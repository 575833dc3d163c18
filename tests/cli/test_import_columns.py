"""The columns of a list: those it has not leave users as they are, and slips are told."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.listed import Desk, a_desk

ANN = {
    "name": "Ann",
    "avatar": "https://x.test/ann.png",
    "role": "default",
    "tags": ["staff"],
    "metadata": {"plan": "gold"},
}
WHOLE = """uid,name,avatar,tags,metadata
ann,Ann,https://x.test/ann.png,staff,"{""plan"": ""gold""}"
"""


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with a_desk(tmp_path) as desk:
        desk.write("whole.csv", WHOLE)
        desk.run("import", "whole.csv")
        yield desk


@pytest.mark.parametrize(
    ("content", "changed"),
    [
        ("uid\nann\n", {}),
        ("uid,email\nann,a@x.test\n", {}),
        ("uid,name\nann,Annie\n", {"name": "Annie"}),
        ("uid,tags\nann,guest\n", {"tags": ["guest"]}),
        ('{"uid": "ann", "metadata": {"level": 7}}\n', {"metadata": {"level": 7}}),
    ],
)
def test_absent_column_clears_nothing(desk: Desk, content: str, changed: dict[str, object]) -> None:
    """An update, and a comparison, are about the columns that the list has."""
    name = desk.write("list.csv" if content.startswith("uid") else "list.jsonl", content)

    updated = desk.run("import", name, "--update")

    assert (updated.exit_code, desk.users["ann"].fields) == (0, {**ANN, **changed})
    assert desk.run("reconcile", name).exit_code == 0


def test_empty_cell_clears(desk: Desk) -> None:
    """A column with nothing in it says that there is nothing."""
    desk.write("list.csv", "uid,name,avatar\nann,Ann,\n")

    assert desk.run("reconcile", "list.csv").stdout.startswith("different    ann (avatar)\n")
    assert desk.run("import", "list.csv", "--update").exit_code == 0
    assert "avatar" not in desk.users["ann"].fields


def test_reconcile_mends_the_columns_there_are(desk: Desk) -> None:
    """The others stay as they are, also of somebody who is let in again."""
    desk.users["ann"].deactivated_at = 1
    desk.write("list.csv", "uid,name\nann,Annie\n")

    assert desk.run("reconcile", "list.csv", "--apply").exit_code == 0
    assert desk.users["ann"].fields == {**ANN, "name": "Annie"}


@pytest.mark.parametrize("command", [("import", "--update"), ("reconcile", "--apply")])
@pytest.mark.parametrize(
    ("heading", "options", "sentence"),
    [
        ("uid,nmae", (), "did you mean 'name'?"),
        ("uid,Full Name", (), "did you mean 'full_name'?"),
        ("uid,role,Tag", (), "did you mean 'tags'?"),
        ("uid,name", ("--map", "name=fulll"), "there is no column 'fulll'"),
        ("uid,name", ("--map", "metadata.plan=plann"), "there is no column 'plann'"),
    ],
)
def test_slip(
    desk: Desk, heading: str, options: tuple[str, ...], sentence: str, command: tuple[str, ...]
) -> None:
    """A name that is written wrong is told before anything is sent."""
    cells = ["ann", *heading.split(",")[1:]]
    desk.write("list.csv", f"{heading}\n{','.join(cells)}\n")

    done = desk.run(command[0], "list.csv", *command[1:], *options)

    assert (done.exit_code, sentence in " ".join(done.stderr.split())) == (2, True)
    assert desk.users["ann"].fields == ANN


@pytest.mark.parametrize(
    ("heading", "options"),
    [
        ("uid,name,names", ()),
        ("id,uuid,nickname", ()),
        ("uid,nmae", ("--ignore-column", "nmae")),
        ("uid,nmae", ("--map", "name=nmae")),
    ],
)
def test_no_slip(desk: Desk, heading: str, options: tuple[str, ...]) -> None:
    """Where the field has its column another may be called alike, and otherwise one can say so."""
    cells = ["ann", *heading.split(",")[1:]]
    desk.write("list.csv", f"{heading}\n{','.join(cells)}\n")

    assert desk.run("import", "list.csv", "--update", *options).exit_code == 0
