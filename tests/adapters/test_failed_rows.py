"""Failed rows: a file of the same format, also after a crash."""

import io
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tokensvc.adapters.failed_rows import FailedRows, FailedRowsError
from tokensvc.adapters.file_rows import FileRow
from tokensvc.adapters.user_files import FORMATS, heading_of, user_rows

FILES = {
    "csv": b'uid;name\r\na;A\r\n"b";"B\n;"\r\nc;C',
    "jsonl": b'{"uid": "a"}\n{"uid":"b"}\n{"uid": "c"}',
    "json": b'[{"uid": "a"}, {"uid":\n"b"},{"uid": "c"}]',
}


def a_file(folder: Path, file_format: str) -> FailedRows:
    heading = heading_of(io.BytesIO(FILES[file_format]), file_format)
    return FailedRows(folder / f"users.failed.{file_format}", file_format, heading)


def read(failed: FailedRows, file_format: str) -> list[object]:
    with failed.path.open("rb") as stream:
        return [row.fields for row in user_rows(stream, file_format)]


def resumed_after_a_crash(folder: Path, file_format: str, rows: Sequence[FileRow]) -> FailedRows:
    """Return the file of a run that had written one row before its checkpoint, and one after."""
    crashed = a_file(folder, file_format)
    crashed.write([rows[0].raw])
    size = crashed.size
    crashed.write([rows[1].raw])
    crashed.close()
    again = a_file(folder, file_format)
    again.resume(size)
    return again


@pytest.mark.parametrize("file_format", FORMATS)
def test_same_rows(tmp_path: Path, file_format: str) -> None:
    """What is written is read as the same rows, batch by batch, by its owner alone, and as old."""
    rows = [*user_rows(io.BytesIO(FILES[file_format]), file_format)]
    failed = a_file(tmp_path, file_format)

    failed.write([rows[0].raw])
    failed.write([])
    failed.write([row.raw for row in rows[1:]])
    failed.end(changed_at=1_700_000_000.0)
    failed.close()

    assert read(failed, file_format) == [row.fields for row in rows]
    assert stat.S_IMODE(failed.path.stat().st_mode) == 0o600
    assert failed.path.stat().st_mtime == 1_700_000_000.0


@pytest.mark.parametrize("file_format", FORMATS)
def test_after_a_crash(tmp_path: Path, file_format: str) -> None:
    """What was written after the checkpoint is written again, and stands there once."""
    rows = [*user_rows(io.BytesIO(FILES[file_format]), file_format)]
    again = resumed_after_a_crash(tmp_path, file_format, rows)

    again.write([row.raw for row in rows[1:]])
    again.end(changed_at=1_700_000_000.0)
    again.close()

    assert read(again, file_format) == [row.fields for row in rows]


def test_nothing_failed(tmp_path: Path) -> None:
    """There is no file where there is nothing to be in it, also after a crash."""
    failed = a_file(tmp_path, "csv")
    failed.end(changed_at=1_700_000_000.0)
    failed.close()
    assert not failed.path.exists()

    failed.path.write_bytes(b"uid\nx\n")
    failed.resume(0)
    failed.end(changed_at=1_700_000_000.0)
    failed.close()

    assert not failed.path.exists()


def test_earlier_failures_are_kept(tmp_path: Path) -> None:
    """A file that is there is somebody's rows, and one that is gone is missed."""
    failed = a_file(tmp_path, "csv")
    failed.demand_new()
    with pytest.raises(FailedRowsError, match="is gone"):
        failed.resume(10)
    failed.path.touch()

    with pytest.raises(FailedRowsError, match="is there already"):
        failed.demand_new()
    with pytest.raises(FailedRowsError, match="is shorter"):
        failed.resume(10**30)
    failed.close()
    assert failed.path.stat().st_size == 0


def test_place_that_cannot_be_written_to(tmp_path: Path) -> None:
    """It is said before there is a row, and nothing is left of the trial."""
    lost = a_file(tmp_path / "nowhere", "csv")
    with pytest.raises(FailedRowsError, match="cannot be written"):
        lost.demand_new()

    a_file(tmp_path, "csv").demand_new()
    assert [*tmp_path.iterdir()] == []


def test_link_is_not_followed(tmp_path: Path) -> None:
    """Whoever may make a link in the folder does not choose where users are written to."""
    failed = a_file(tmp_path, "csv")
    failed.path.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(FailedRowsError, match="is there already"):
        failed.demand_new()
    with pytest.raises(FailedRowsError, match="cannot be written"):
        failed.write([b"a;A"])
    assert not (tmp_path / "elsewhere").exists()


FULL_DISK = """
import resource, sys
from pathlib import Path
from tokensvc.adapters.failed_rows import FailedRows, FailedRowsError

resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
failed = FailedRows(Path(sys.argv[1]), "csv", b"uid")
try:
    failed.write([b"x" * 200] * 3000)
except FailedRowsError as error:
    print(error)
failed.close()
"""


def test_full_disk(tmp_path: Path) -> None:
    """There is a sentence, and one alone: letting go of the file says nothing more."""
    done = subprocess.run(  # noqa: S603 (our own code)
        [sys.executable, "-c", FULL_DISK, str(tmp_path / "users.failed.csv")],
        capture_output=True,
        check=True,
    )

    assert done.stdout.endswith(b"cannot be written: File too large\n")


@pytest.mark.parametrize("file_format", FORMATS)
def test_row_that_does_not_fail_again(tmp_path: Path, file_format: str) -> None:
    """What a crash has left behind the checkpoint is gone if the row is good this time."""
    rows = [*user_rows(io.BytesIO(FILES[file_format]), file_format)]
    again = resumed_after_a_crash(tmp_path, file_format, rows)

    again.end(changed_at=1_700_000_000.0)
    again.close()

    assert read(again, file_format) == [rows[0].fields]
