"""Failed rows: a file of the same format, also after a crash."""

import io
import stat
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


@pytest.mark.parametrize("file_format", FORMATS)
def test_row_that_does_not_fail_again(tmp_path: Path, file_format: str) -> None:
    """What a crash has left behind the checkpoint is gone if the row is good this time."""
    rows = [*user_rows(io.BytesIO(FILES[file_format]), file_format)]
    again = resumed_after_a_crash(tmp_path, file_format, rows)

    again.end(changed_at=1_700_000_000.0)
    again.close()

    assert read(again, file_format) == [rows[0].fields]
