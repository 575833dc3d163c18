"""JSON: an object per line, or an array of objects that is taken apart while it is read."""

import re
from collections.abc import Iterator
from typing import BinaryIO, Final

from tokensvc.adapters.file_rows import (
    MAX_ROW_BYTES,
    TOO_LONG,
    FileRow,
    Lines,
    UserFileError,
    bytes_fault,
)
from tokensvc.domain.strict_json import JSONError, parse_json_object

_CHUNK_BYTES: Final = 64 * 1024
_IN_TEXT: Final = re.compile(rb'["\\]')
_BETWEEN: Final = re.compile(rb'["{}\[\],]')
_DEPTHS: Final = {b"{": 1, b"[": 1, b"}": -1, b"]": -1}
NO_OBJECT: Final = "the row is no JSON object, or one that two readers could read differently"
NO_ARRAY: Final = "the file is no JSON array; an object per line is --format jsonl"
UNENDED: Final = "the file ends before its array does"
MORE: Final = "there is something after the array"


def jsonl_rows(stream: BinaryIO) -> Iterator[FileRow]:
    """Yield the objects, one per line; blank lines are passed over."""
    lines = Lines(stream)
    while line := lines.next():
        if line.strip():
            yield _row(lines.count, line)


def json_rows(stream: BinaryIO) -> Iterator[FileRow]:
    """Yield the objects of the array."""
    return _Array(stream).rows()


def _row(line: int, raw: bytes, number: int = 0) -> FileRow:
    fault = bytes_fault(raw)
    if fault:
        return FileRow(line, raw, fault=fault, number=number)
    try:
        return FileRow(line, raw, parse_json_object(raw), number=number)
    except JSONError:
        return FileRow(line, raw, fault=NO_OBJECT, number=number)


class _Array:
    """Finds where the array's elements end: at a comma that is in no text and no inner value."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._line = 1
        self._depth = 0
        self._is_in_text = False
        self._is_escaped = False
        self._element = bytearray()
        self._has_ended = False
        self._count = 0

    def rows(self) -> Iterator[FileRow]:
        while chunk := self._stream.read(_CHUNK_BYTES):
            yield from self._rows_in(chunk)
        if not self._has_ended:
            raise UserFileError(self._here(), UNENDED if self._depth else NO_ARRAY)
        self._demand_blank(MORE)

    def _rows_in(self, chunk: bytes) -> Iterator[FileRow]:
        at = 0
        while at < len(chunk):
            if self._is_escaped:
                self._is_escaped = False
                self._take(chunk[at : at + 1])
                at += 1
                continue
            found = (_IN_TEXT if self._is_in_text else _BETWEEN).search(chunk, at)
            self._take(chunk[at : found.start() if found else len(chunk)])
            if not found:
                return
            mark, at = found[0], found.end()
            if self._is_inside(mark):
                self._take(mark)
            elif row := self._ended_by(mark):
                yield row

    def _take(self, part: bytes) -> None:
        self._element += part
        if len(self._element) > MAX_ROW_BYTES:
            raise UserFileError(self._here(), TOO_LONG)

    def _is_inside(self, mark: bytes) -> bool:
        """Return whether *mark* belongs to an element, and note what it changes."""
        if self._is_in_text:
            self._is_escaped = mark == b"\\"
            self._is_in_text = mark != b'"'
            return True
        outer = self._depth == 0 or (self._depth == 1 and mark in {b",", b"]"})
        self._depth += _DEPTHS.get(mark, 0)
        if outer:
            return False
        self._is_in_text = mark == b'"'
        return True

    def _ended_by(self, mark: bytes) -> FileRow | None:
        """Return the element that ends here, if one does; the array begins and ends here too."""
        if self._has_ended:
            raise UserFileError(self._here(), MORE)
        if self._depth == 1 and mark == b"[" and not self._element.strip():
            self._forget()
            return None
        if (mark, self._depth) not in {(b",", 1), (b"]", 0)}:
            raise UserFileError(self._here(), NO_ARRAY)
        self._has_ended = mark == b"]"
        row = None
        if self._element.strip() or self._count or not self._has_ended:
            self._count += 1
            row = _row(self._here(), bytes(self._element).strip(), self._count)
        self._forget()
        return row

    def _forget(self) -> None:
        self._line += self._element.count(b"\n")
        self._element.clear()

    def _here(self) -> int:
        """Return the line on which the element begins."""
        blank = len(self._element) - len(self._element.lstrip())
        return self._line + self._element[:blank].count(b"\n")

    def _demand_blank(self, reason: str) -> None:
        if self._element.strip():
            raise UserFileError(self._here(), reason)
