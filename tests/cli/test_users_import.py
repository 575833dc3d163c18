"""Importing from the command line: verified first, sent once, and gone on with after a kill."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builders import OTHER_SECRET, SECRET
from tests.cli.listed import Desk, a_desk, a_list
from tokensvc.emulator.faults import parse_fault

FAST = ("--bulk-per-minute", "100000")
MEMORY_MB = 150
MEASURE = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
"""Runs a command from a small process: a child begins with its parent's peak of memory."""


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with a_desk(tmp_path) as desk:
        yield desk


def test_import(desk: Desk) -> None:
    """All rows are there, in as few requests as may be, and the count says so."""
    desk.write("users.csv", a_list(120))

    done = desk.run("import", "users.csv", *FAST)

    assert (done.exit_code, done.stdout.split()) == (0, ["120", "rows", "created", "120"])
    assert len(desk.live()) == 120
    assert desk.users["user-7"].fields == {
        "name": "Name 7",
        "avatar": "https://x.test/7.png",
        "tags": ["a", "b"],
        "metadata": {"plan": "gold"},
        "role": "default",
    }
    assert len(desk.emulator.requests) == 3
    assert sorted(path.name for path in desk.folder.iterdir()) == ["tokensvc.db", "users.csv"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("users.json", '[{"uid": "ann", "name": "Ann"}, {"uid": "bob"}]'),
        ("users.jsonl", '{"uid": "ann", "name": "Ann"}\n{"uid": "bob"}\n'),
        ("users.csv", "\ufeffuid;name\nann;Ann\nbob;\n"),
    ],
)
def test_formats(desk: Desk, name: str, content: str) -> None:
    """Each format is known by the file's suffix."""
    desk.write(name, content)

    done = desk.run("import", name)

    assert (done.exit_code, done.stderr) == (0, "")
    assert [desk.users[uid].fields["name"] for uid in ("ann", "bob")] == ["Ann", "bob"]


def test_stdin(desk: Desk) -> None:
    """A pipe can be read once only, and is verified all the same; failed rows have a place."""
    done = desk.run_alone("import", "-", "--format", "csv", stdin=b"uid,role\nann,\nbob,vip\n")

    assert (done.returncode, desk.live()) == (1, ["ann"])
    assert desk.read("tokensvc-import.failed.csv") == "uid,role\nbob,vip\n"


def test_every_row_is_verified_first(desk: Desk) -> None:
    """One bad row at the end, and nothing is sent; each is named with what is wrong."""
    desk.write("users.csv", a_list(60) + "Bad!,x,,,\nuser-3,x,,,\n")

    done = desk.run("import", "users.csv", *FAST)

    assert done.exit_code == 1
    assert "line 62: the subject cannot be made a uid: that is 1 to 100 of" in done.stderr
    assert "line 63: the row is the same user as line 5\n" in done.stderr
    assert done.stdout == "2 of 62 rows are bad: nothing is sent\n"
    assert desk.emulator.requests == []


def test_dry_run(desk: Desk) -> None:
    """Everything is verified, nothing is sent, and columns that say nothing are named."""
    desk.write("users.csv", "uid,email\nann,a@x.test\n")

    done = desk.run("import", "users.csv", "--dry-run")

    assert (done.exit_code, done.stdout) == (0, "1 of 1 row can be sent; nothing was\n")
    assert done.stderr == "not read: the column 'email'\n"
    assert desk.emulator.requests == []


def test_failed_rows_are_imported_again(desk: Desk) -> None:
    """They stand in a file of the same format, as they were, and are no failures a second time."""
    desk.write("users.csv", 'uid,role,name\nann,vip,"A, B"\nbob,,Bob\nBad!,,x\n')

    done = desk.run("import", "users.csv", "--skip-invalid", *FAST)

    assert done.exit_code == 1
    assert "line 2: ann: ERR_ROLE_NOT_FOUND\n" in done.stderr
    assert desk.read("users.failed.csv") == 'uid,role,name\nann,vip,"A, B"\nBad!,,x\n'

    desk.emulator.world.apps["1234567890abcdef"].roles["vip"] = {"role": "vip"}
    done = desk.run("import", "users.failed.csv", "--skip-invalid", *FAST)

    assert (done.exit_code, desk.live()) == (1, ["ann", "bob"])
    assert desk.read("users.failed.failed.csv") == "uid,role,name\nBad!,,x\n"


def test_earlier_failures_are_kept(desk: Desk) -> None:
    """A file of failed rows is not written over."""
    desk.write("users.csv", "uid\nann\n")
    desk.write("users.failed.csv", "uid\nold\n")

    done = desk.run("import", "users.csv")

    assert (done.exit_code, desk.emulator.requests) == (2, [])
    assert desk.read("users.failed.csv") == "uid\nold\n"


@pytest.mark.parametrize(
    ("option", "code", "name"),
    [((), 1, "Old"), (("--skip-existing",), 0, "Old"), (("--update",), 0, "Ann")],
)
def test_existing(desk: Desk, option: tuple[str, ...], code: int, name: str) -> None:
    """Whoever is there fails, stays or is updated."""
    desk.write("old.csv", "uid,name\nann,Old\n")
    desk.write("users.csv", "uid,name\nann,Ann\n")
    os.utime(desk.folder / "old.csv", (0, 0))
    desk.run("import", "old.csv")

    done = desk.run("import", "users.csv", *option)

    assert (done.exit_code, desk.users["ann"].fields["name"]) == (code, name)
    assert ("say --update or --skip-existing" in done.stdout) == (code == 1)


def test_old_list(desk: Desk) -> None:
    """A list that is older than what is known does not undo it."""
    desk.write("old.csv", "uid,name\nann,Old\n")
    desk.write("users.csv", "uid,name\nann,Ann\n")
    os.utime(desk.folder / "old.csv", (1_000_000_000, 1_000_000_000))
    desk.run("import", "users.csv")

    done = desk.run("import", "old.csv", "--update")

    assert (done.exit_code, desk.users["ann"].fields["name"]) == (0, "Ann")
    assert "skipped newer_known" in done.stdout
    assert "touch it and import it again" in done.stdout

    (desk.folder / "old.csv").touch()
    done = desk.run("import", "old.csv", "--update")

    assert (done.exit_code, desk.users["ann"].fields["name"]) == (0, "Old")
    assert "touch" not in done.stdout


def test_told_to_wait(desk: Desk) -> None:
    """429 with Retry-After is waited for, and said."""
    desk.emulator.faults.order(parse_fault("429=1;times=1", time.time()))
    desk.write("users.csv", a_list(3))

    done = desk.run("import", "users.csv")

    assert (done.exit_code, len(desk.live())) == (0, 3)
    assert "waiting 2 s for CometChat: ERR_TOO_MANY_REQUESTS\n" in done.stderr


def test_answer_that_says_failure(desk: Desk) -> None:
    """A 500 after the rows were created costs nobody, and nobody is created twice."""
    desk.emulator.faults.order(parse_fault("late-500;path=*/data_import/*;times=1", time.time()))
    desk.write("users.csv", a_list(3))

    done = desk.run("import", "users.csv")

    assert (done.exit_code, len(desk.live())) == (0, 3)
    assert len(desk.creations()) == 3


@pytest.mark.parametrize("is_in_flight", [True, False])
def test_kill_and_resume(desk: Desk, *, is_in_flight: bool) -> None:
    """After kill -9 all rows are there, and none was sent twice; the failed ones stand once."""
    desk.write("users.csv", a_list(400))
    desk.emulator.world.create_user(
        desk.emulator.world.apps["1234567890abcdef"], "user-5", {"name": "Other"}
    )
    if is_in_flight:
        # The batch is done, and its answer never comes: the kill strikes in between.
        desk.emulator.faults.order(
            parse_fault("late-500;path=*/data_import/*;times=9", time.time())
        )
    started = desk.start("import", "users.csv", *FAST)
    deadline = time.monotonic() + 60
    wanted = 1 if is_in_flight else 150
    while len(desk.creations()) < wanted and time.monotonic() < deadline:
        time.sleep(0.002)
    started.kill()
    started.communicate()
    desk.emulator.faults.clear()
    assert started.returncode == -signal.SIGKILL
    assert len(desk.creations()) < 400

    done = desk.run("import", "users.csv", "--resume", *FAST)

    assert done.exit_code == 1
    assert "failed ERR_UID_ALREADY_EXISTS" in done.stdout
    assert len(desk.live()) == 400
    sent = desk.creations()
    assert len(set(sent) - {"user-5"}) == len([uid for uid in sent if uid != "user-5"])
    assert desk.read("users.failed.csv").count("user-5,") == 1


def test_begin_again_instead_of_resume(desk: Desk) -> None:
    """An import that was cut off is not begun anew by accident, nor resumed with another file."""
    desk.write("users.csv", a_list(3))
    desk.emulator.faults.order(parse_fault("status=401", time.time()))
    assert desk.run("import", "users.csv").exit_code == 78
    desk.emulator.faults.clear()

    again = desk.run("import", "users.csv")
    desk.write("users.csv", a_list(4))
    other = desk.run("import", "users.csv", "--resume")

    assert (again.exit_code, "--resume" in again.stderr) == (2, True)
    assert (other.exit_code, "belongs to another file" in other.stderr) == (2, True)
    assert desk.live() == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("no.csv",), "cannot be read"),
        (("users.txt",), "--format"),
        (("-",), "--format"),
        (("users.csv", "--map", "x"), "FIELD=COLUMN"),
        (("users.csv", "--map", "nick=x"), "metadata.NAME"),
        (("users.csv", "--issuer", "https://nobody"), "--issuer"),
        (("users.csv", "--update", "--skip-existing"), "not both"),
        (("folder",), "is a folder"),
    ],
)
def test_usage(desk: Desk, arguments: tuple[str, ...], sentence: str) -> None:
    """A mistake in the command ends with 2 and a sentence."""
    for name in ("users.csv", "users.txt"):
        desk.write(name, "uid\nann\n")
    (desk.folder / "folder").mkdir()

    done = desk.run("import", *arguments)

    assert (done.exit_code, sentence in done.stderr) == (2, True)
    assert "Traceback" not in done.stderr


def test_lines_that_are_called_an_array(desk: Desk) -> None:
    """Many programs call JSON Lines .json: it is said what to do."""
    desk.write("users.json", '{"uid": "ann"}\n{"uid": "bob"}\n')

    done = desk.run("import", "users.json")

    assert (done.exit_code, "--format jsonl" in done.stderr) == (1, True)
    assert desk.run("import", "users.json", "--format", "jsonl").exit_code == 0


def test_without_a_database(desk: Desk) -> None:
    """Where accounts are kept has to be there, or one has to say that one does without."""
    desk.write("users.csv", "uid\nann\n")
    desk.environ["TOKENSVC_STORAGE__URL"] = f"sqlite:///{desk.folder}/none.db"

    without = desk.run("import", "users.csv")
    told = desk.run("import", "users.csv", "--without-database")

    assert (without.exit_code, "tokensvc db upgrade" in without.stderr) == (78, True)
    assert (told.exit_code, desk.live()) == (0, ["ann"])


def test_several_issuers(tmp_path: Path) -> None:
    """A subject is a user of one issuer, whose prefix it gets; a uid has its prefix already."""
    tables = [
        {
            "issuer": f"https://{name}.test",
            "audience": "chat",
            "algorithms": ["HS256"],
            "secret": secret,
            "uid_prefix": f"{name}-",
        }
        for name, secret in (("shop", SECRET), ("blog", OTHER_SECRET))
    ]
    with a_desk(tmp_path, TOKENSVC_SESSIONS=json.dumps(tables)) as desk:
        desk.write("users.csv", "id\nann\n")

        desk.write("uids.csv", "uid\nshop-bob\n")

        assert desk.run("import", "users.csv").exit_code == 2
        assert desk.run("import", "users.csv", "--issuer", "https://blog.test").exit_code == 0
        assert desk.run("import", "uids.csv").exit_code == 0
        assert desk.live() == ["blog-ann", "shop-bob"]


@pytest.mark.parametrize("file_format", ["csv", "json"])
def test_memory(tmp_path: Path, file_format: str) -> None:
    """A hundred thousand rows are verified in less than 150 MB."""
    rows = 100_000
    with (tmp_path / f"users.{file_format}").open("w") as file:
        if file_format == "csv":
            file.write(a_list(rows))
        else:
            file.write("[" + ",\n".join(f'{{"uid": "user-{n:080}"}}' for n in range(rows)) + "]")
    with a_desk(tmp_path) as desk:
        done = subprocess.run(  # noqa: S603 (our own command)
            [sys.executable, "-c", MEASURE, *desk.words("import", file.name, "--dry-run")],
            env={"PATH": os.environ["PATH"], **desk.environ},
            capture_output=True,
            check=True,
        )

    said, peak_kb = done.stdout.splitlines()
    assert said == b"100,000 of 100,000 rows can be sent; nothing was"
    assert int(peak_kb) / 1024 < MEMORY_MB
