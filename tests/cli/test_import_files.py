"""The files beside an import and an export: none is written over, and none is lost."""

import hashlib
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.listed import Desk, a_desk

LIST = "uid,name\nBAD,Zed\nann,Ann\n"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with a_desk(tmp_path) as desk:
        desk.write("users.csv", LIST)
        yield desk


@pytest.mark.parametrize(
    "options",
    [
        ("--failed", "one", "--checkpoint", "one"),
        ("--failed", "one", "--checkpoint", "./one"),
        ("--failed", "users.csv"),
        ("--checkpoint", "users.csv", "--resume"),
    ],
)
def test_one_file_for_two_uses(desk: Desk, options: tuple[str, ...]) -> None:
    """The failed rows would go with the checkpoint, or the list itself: it is refused."""
    done = desk.run("import", "users.csv", "--skip-invalid", *options)

    assert (done.exit_code, "must be different files" in done.stderr) == (2, True)
    assert (desk.live(), desk.read("users.csv")) == ([], LIST)


def test_no_place_for_failed_rows(desk: Desk) -> None:
    """It is noticed before anything is sent, and the command can be given again."""
    words = ("import", "users.csv", "--skip-invalid")
    done = desk.run(*words, "--failed", "nowhere/failed.csv")

    assert (done.exit_code, "cannot be written" in done.stderr) == (2, True)
    assert desk.live() == []
    assert desk.run(*words).exit_code == 1
    assert desk.live() == ["ann"]


def test_failed_rows_follow_no_link(desk: Desk) -> None:
    """A link that leads nowhere is not followed, and its target not made."""
    (desk.folder / "users.failed.csv").symlink_to(desk.folder / "elsewhere")

    done = desk.run("import", "users.csv", "--skip-invalid")

    assert (done.exit_code, desk.live()) == (2, [])
    assert not (desk.folder / "elsewhere").exists()


def test_no_checkpoint(desk: Desk) -> None:
    """A file that is something else is not cut to nothing."""
    desk.write("notes", "important\nvery important")

    done = desk.run("import", "users.csv", "--resume", "--checkpoint", "notes", "--skip-invalid")

    assert (done.exit_code, "is no checkpoint" in done.stderr) == (2, True)
    assert desk.read("notes") == "important\nvery important"


def test_checkpoint_of_more_rows_than_there_are(desk: Desk) -> None:
    """Whoever has made it: the import does not end as if it had sent them."""
    work = json.dumps(
        [
            *(hashlib.sha256(LIST.encode()).hexdigest(), "csv", (), None, "fail"),
            *(True, "users.failed.csv"),
        ]
    )
    digest = hashlib.sha256(work.encode()).hexdigest()
    progress = {"rows": 10**30, "in_flight": 0, "failed_bytes": 0, "counts": {}}
    lines = [{"work": digest}, progress]
    desk.write("users.csv.checkpoint", "".join(json.dumps(line) + "\n" for line in lines))

    done = desk.run("import", "users.csv", "--resume", "--skip-invalid")

    assert (done.exit_code, "more rows than there are" in done.stderr) == (2, True)


def test_export_into_a_pipe(desk: Desk) -> None:
    """What is no file is written to, and stays what it is."""
    pipe = desk.folder / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()), daemon=True)
    reader.start()

    done = desk.run("export", "--output", "pipe")
    still_a_pipe = pipe.is_fifo()
    reader.join(10 if still_a_pipe else 0)

    assert (done.exit_code, still_a_pipe) == (0, True)
    assert read[0].startswith("uid,name")


def test_export_through_a_link(desk: Desk) -> None:
    """The file that the link leads to is replaced, the link stays, and no draft of it is left."""
    desk.write("real.csv", "the last one")
    (desk.folder / "all.csv").symlink_to("real.csv")

    assert desk.run("export", "--output", "all.csv").exit_code == 0
    assert (desk.folder / "all.csv").is_symlink()
    assert desk.read("real.csv").startswith("uid,name")
    assert [*desk.folder.glob("*.part")] == []


def test_draft_follows_no_link(desk: Desk) -> None:
    """What somebody has put beside the export leads nowhere else."""
    desk.write("other", "somebody's")
    (desk.folder / "all.csv.part").symlink_to("other")

    assert desk.run("export", "--output", "all.csv").exit_code == 0
    assert desk.read("other") == "somebody's"


def test_export_to_nowhere(desk: Desk) -> None:
    """The file that was asked for is named, and no other."""
    done = desk.run("export", "--output", "nowhere/all.csv")

    assert (done.exit_code, "Error: nowhere/all.csv cannot be written" in done.stderr) == (2, True)
