"""Lists that are one JSON array, which most programs write on a single line."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.listed import Desk, a_desk

ANN = {"uid": "ann", "name": "Ann"}
BAD = {"uid": "BAD ID"}
BOB = {"uid": "bob", "name": "Bob"}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with a_desk(tmp_path) as desk:
        yield desk


def test_one_bad_row_spoils_no_other(desk: Desk) -> None:
    """It is named by its number in the array, and the others are sent."""
    desk.write("users.json", json.dumps([ANN, BAD, BOB]))

    done = desk.run("import", "users.json", "--skip-invalid")

    assert (done.exit_code, desk.live()) == (1, ["ann", "bob"])
    assert "row 2: the uid is not" in done.stderr
    assert json.loads(desk.read("users.failed.json")) == [BAD]
    assert done.stdout.split()[:5] == ["3", "rows", "created", "2", "failed"]


def test_failure_is_named_by_its_row(desk: Desk) -> None:
    """What CometChat refuses too."""
    desk.write("users.json", json.dumps([ANN, {**BOB, "role": "vip"}]))

    done = desk.run("import", "users.json")

    assert (done.exit_code, done.stderr) == (1, "row 2: bob: ERR_ROLE_NOT_FOUND\n")


@pytest.mark.parametrize("command", [("import",), ("reconcile", "--apply")])
def test_the_same_user_twice(desk: Desk, command: tuple[str, ...]) -> None:
    """Neither row is right, on one line as on two: nothing is sent."""
    desk.write("users.json", json.dumps([ANN, {"uid": "ann", "name": "Eve"}]))

    done = desk.run(command[0], "users.json", *command[1:])

    assert (done.exit_code, desk.live()) == (1, [])
    assert "row 2: the row is the same user as row 1\n" in done.stderr
