"""File rows: what a user file is made of, and the bounds of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, Final

MAX_ROW_BYTES: Final = 64 * 1024
"""A user of the largest profile takes 30 KB, all of it escaped."""
TOO_LONG: Final = f"the row is longer than {MAX_ROW_BYTES:,} bytes"
NOT_UTF_8: Final = "the row is not UTF-8"
HOLDS_NUL: Final = "the row holds a NUL character"


@dataclass(frozen=True, slots=True)
class FileRow:
    """One row: what it says, or why it cannot be used."""

    line: int
    """Where it begins, counted from 1."""
    raw: bytes = field(repr=False)
    """As it stands in the file."""
    fields: Mapping[str, object] = field(default_factory=dict, repr=False)
    fault: str = ""
    number: int = 0
    """Which of its array it is, counted from 1; 0 where no two rows begin on one line."""

    @property
    def place(self) -> str:
        """Where it is: no other row is there."""
        return f"row {self.number}" if self.number else f"line {self.line}"


class UserFileError(Exception):
    """The file cannot be read further; the reason is a fixed sentence."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line = line
        self.reason = reason


class Lines:
    """The lines of a stream, counted; one that is too long ends the reading."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.count = 0

    def next(self) -> bytes:
        """Return the next line with its end, or nothing where there is none."""
        line = self._stream.readline(MAX_ROW_BYTES + 1)
        self.count += bool(line)
        if len(line) > MAX_ROW_BYTES:
            raise UserFileError(self.count, TOO_LONG)
        return line


def bytes_fault(raw: bytes) -> str:
    """Return what is wrong with the bytes of a row, or nothing."""
    if b"\0" in raw:
        return HOLDS_NUL
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return NOT_UTF_8
    return ""
