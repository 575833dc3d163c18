"""CSV: rows under a heading, as spreadsheets and databases write them.

A spreadsheet takes a cell that begins with =, +, - or @ for a formula, and would
run what a stranger has chosen as their name. Such cells go out with an apostrophe
before them, and it is taken off again when they come in.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from typing import BinaryIO, Final

from tokensvc.adapters.file_rows import (
    MAX_ROW_BYTES,
    FileRow,
    Lines,
    UserFileError,
    bytes_fault,
)

DELIMITERS: Final = ",;\t"
_FORMULA: Final = re.compile(r"'*[=+\-@\t\r]")
_DISARMED: Final = re.compile(r"'+[=+\-@\t\r]")
MALFORMED: Final = "the row is not well-formed CSV: look at its quotation marks and line ends"
NO_HEADING: Final = "the file has no heading: its first line names the columns"
UNCLOSED: Final = f"the row is longer than {MAX_ROW_BYTES:,} bytes: is a quotation mark not closed?"


def disarmed(cell: str) -> str:
    """Return *cell* as no spreadsheet takes for a formula; `armed` undoes it."""
    return f"'{cell}" if _FORMULA.match(cell) else cell


def armed(cell: str) -> str:
    """Return the cell that `disarmed` was given."""
    return cell[1:] if _DISARMED.match(cell) else cell


class _Source:
    """Feeds lines to the CSV reader, and keeps those of the row that it is at."""

    def __init__(self, stream: BinaryIO) -> None:
        self._lines = Lines(stream)
        self.begin()

    def begin(self) -> None:
        """Forget the last row."""
        self.first_line = self._lines.count + 1
        self.raw = b""

    def __iter__(self) -> "_Source":
        return self

    def __next__(self) -> str:
        line = self._lines.next()
        if not line:
            raise StopIteration
        self.raw += line
        if len(self.raw) > MAX_ROW_BYTES:
            raise UserFileError(self.first_line, UNCLOSED)
        # What is no UTF-8 stays where it is, so that the rows are told apart all the same.
        return line.decode("utf-8", "surrogateescape")


def csv_rows(stream: BinaryIO) -> Iterator[FileRow]:
    """Yield the rows under the heading."""
    begin = stream.tell()
    delimiter = _delimiter(stream)
    stream.seek(begin)
    heading: Sequence[str] | None = None
    for row, cells in _records(stream, delimiter):
        if heading is None:
            heading = _heading(row, cells)
        elif row.fault or any(cells):
            yield _under(heading, row, cells)
    if heading is None:
        raise UserFileError(1, NO_HEADING)


def csv_heading(stream: BinaryIO) -> bytes:
    """Return the heading's bytes."""
    begin = stream.tell()
    delimiter = _delimiter(stream)
    stream.seek(begin)
    return next((row.raw for row, _ in _records(stream, delimiter)), b"")


def _records(stream: BinaryIO, delimiter: str) -> Iterator[tuple[FileRow, list[str]]]:
    source = _Source(stream)
    reader = csv.reader(source, delimiter=delimiter, strict=True)
    while True:
        source.begin()
        fault, cells = "", []
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            fault = MALFORMED
        fault = bytes_fault(source.raw) or fault
        yield FileRow(source.first_line, source.raw, fault=fault), cells


def _delimiter(stream: BinaryIO) -> str:
    """Return that of comma, semicolon and tab which the first line has most of."""
    line = Lines(stream).next().decode("utf-8", "replace")
    return max(DELIMITERS, key=line.count)


def _heading(row: FileRow, cells: list[str]) -> Sequence[str]:
    if row.fault:
        raise UserFileError(row.line, row.fault)
    names = [armed(cell.strip()) for cell in cells]
    if not any(names):
        raise UserFileError(row.line, NO_HEADING)
    for place, name in enumerate(names):
        if name and name in names[:place]:
            first = names.index(name) + 1
            raise UserFileError(row.line, f"columns {first} and {place + 1} have the same name")
    return names


def _under(heading: Sequence[str], row: FileRow, cells: list[str]) -> FileRow:
    if row.fault:
        return row
    if len(cells) != len(heading):
        fault = f"the row has {len(cells)} cells, and the heading {len(heading)}"
        return FileRow(row.line, row.raw, fault=fault)
    fields = {name: armed(cell) for name, cell in zip(heading, cells, strict=True) if name}
    return FileRow(row.line, row.raw, fields)
