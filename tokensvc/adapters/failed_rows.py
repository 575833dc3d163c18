"""Failed rows: as they stood in the app's list, in a file that can be imported again."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO


class FailedRowsError(Exception):
    """The file cannot be used; the text is for the operator."""


class FailedRows:
    """The file at *path*, made with the first row; *heading* comes before it."""

    def __init__(self, path: Path, file_format: str, heading: bytes) -> None:
        self.path = path
        self._is_array = file_format == "json"
        self._heading = heading
        self._file: BinaryIO | None = None
        self.size = 0

    def demand_new(self) -> None:
        """Return if there is no such file yet: nobody's rows are to be lost."""
        if self.path.exists():
            raise FailedRowsError(
                f"{self.path} is there already: move it, or name another with --failed"
            )

    def resume(self, size: int) -> None:
        """Go on behind the first *size* bytes; the rest was written before a crash."""
        if not self.path.exists():
            if size:
                raise FailedRowsError(f"{self.path}, which a resumed import adds to, is gone")
            return
        self._file = self._opened()
        self._file.truncate(size)
        self._file.seek(size)
        self.size = size

    def write(self, rows: Sequence[bytes]) -> None:
        """Add *rows*, and return once they are on disk."""
        if not rows:
            return
        self._file = self._file or self._opened()
        try:
            for row in rows:
                self.size += self._file.write(self._framed(row.rstrip(b"\r\n")))
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._fault(error) from None

    def end(self, *, changed_at: float) -> None:
        """Write down that no row follows; a file without rows is deleted.

        The rows are as old as the list they are from: *changed_at* (UNIX seconds).
        """
        if self._file is None:
            return
        if self._is_array and self.size:
            self._file.write(b"\n]\n")
            self._file.flush()
        if not self.size:
            self.path.unlink()
            return
        os.utime(self._file.fileno(), (changed_at, changed_at))

    def close(self) -> None:
        """Let go of the file, and leave it where it is."""
        if self._file:
            self._file.close()

    def _framed(self, row: bytes) -> bytes:
        """Return *row* with what has to stand around it in its format."""
        if self._is_array:
            return (b",\n" if self.size else b"[\n") + row
        heading = b"" if self.size or not self._heading else self._heading.rstrip(b"\r\n") + b"\n"
        return heading + row + b"\n"

    def _opened(self) -> BinaryIO:
        try:
            # What users look like is for nobody else on this machine.
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise self._fault(error) from None
        return os.fdopen(descriptor, "r+b")

    def _fault(self, error: OSError) -> FailedRowsError:
        return FailedRowsError(f"{self.path} cannot be written: {error.strerror}")
