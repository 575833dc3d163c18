"""User files: the app's own list of users, row by row, whatever is in the bytes.

Nothing is read ahead of the row that is asked for, so that a list of any length
takes the memory of one row.
"""

import io
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import BinaryIO, Final

from tokensvc.adapters.csv_rows import csv_heading, csv_rows
from tokensvc.adapters.file_rows import FileRow, UserFileError
from tokensvc.adapters.json_rows import json_rows, jsonl_rows

_READERS: Final[Mapping[str, Callable[[BinaryIO], Iterator[FileRow]]]] = {
    "csv": csv_rows,
    "jsonl": jsonl_rows,
    "json": json_rows,
}
FORMATS: Final = tuple(_READERS)
SUFFIXES: Final[Mapping[str, str]] = {
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
}
UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")
UTF_8_MARK: Final = b"\xef\xbb\xbf"


def user_rows(stream: BinaryIO, file_format: str) -> Iterator[FileRow]:
    """Yield the rows of *stream* from its beginning; it must be one that can be sought in.

    A row that cannot be used comes with its fault, and the others go on. Raises
    `UserFileError` where the rest cannot be told into rows.
    """
    _demand_utf8(stream, file_format)
    return _READERS[file_format](stream)


def heading_of(stream: BinaryIO, file_format: str) -> bytes:
    """Return the bytes that a part of the file has to begin with, to be read like the whole."""
    if file_format != "csv":
        return b""
    _demand_utf8(stream, file_format)
    return csv_heading(stream)


def seekable(stream: BinaryIO) -> BinaryIO:
    """Return *stream*, or a copy on disk if it can be read only once."""
    if stream.seekable():
        return stream
    copy = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the command)
    shutil.copyfileobj(stream, copy)
    copy.seek(0)
    return copy


def _demand_utf8(stream: BinaryIO, file_format: str) -> None:
    """Stand behind a byte order mark that may be there; spreadsheets write one into CSV."""
    stream.seek(0)
    begin = stream.read(len(UTF_8_MARK))
    if begin.startswith(UTF_16):
        raise UserFileError(1, "the file is UTF-16; save it as UTF-8")
    if begin == UTF_8_MARK and file_format != "csv":
        raise UserFileError(1, "the file begins with a byte order mark, which JSON has none of")
    if begin != UTF_8_MARK:
        stream.seek(0, io.SEEK_SET)
