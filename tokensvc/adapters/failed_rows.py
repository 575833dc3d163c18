"""Failed rows: as they stood in the app's list, in a file that can be imported again."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final


class FailedRowsError(Exception):
    """The file cannot be used; the text is for the operator."""


NEW: Final = os.O_CREAT | os.O_EXCL


class FailedRows:
    """The file at *path*, made with the first row; *heading* comes before it."""

    def __init__(self, path: Path, file_format: str, heading: bytes) -> None:
        self.path = path
        self._is_array = file_format == "json"
        self._heading = heading
        self._file: BinaryIO | None = None
        self.size = 0

    def demand_new(self) -> None:
        """Return if there is no such file yet, and it can be made: nobody's rows are to be lost."""
        try:
            self._opened(NEW).close()
        except FileExistsError:
            raise FailedRowsError(
                f"{self.path} is there already: move it, or name another with --failed"
            ) from None
        except OSError as error:
            raise self._fault(error) from None
        self.path.unlink()

    def resume(self, size: int) -> None:
        """Go on behind the first *size* bytes; the rest was written before a crash."""
        try:
            self._file = self._opened()
        except FileNotFoundError:
            if size:
                raise FailedRowsError(
                    f"{self.path}, which a resumed import adds to, is gone"
                ) from None
            self.demand_new()
            return
        except OSError as error:
            raise self._fault(error) from None
        if self._file.seek(0, os.SEEK_END) < size:
            raise FailedRowsError(f"{self.path} is shorter than the import has left it")
        self._file.truncate(size)
        self._file.seek(size)
        self.size = size

    def write(self, rows: Sequence[bytes]) -> None:
        """Add *rows*, and return once they are on disk."""
        if not rows:
            return
        try:
            self._file = self._file or self._opened(NEW)
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
            # What a full disk does not take was said when it was written.
            with suppress(OSError):
                self._file.close()

    def _framed(self, row: bytes) -> bytes:
        """Return *row* with what has to stand around it in its format."""
        if self._is_array:
            return (b",\n" if self.size else b"[\n") + row
        heading = b"" if self.size or not self._heading else self._heading.rstrip(b"\r\n") + b"\n"
        return heading + row + b"\n"

    def _opened(self, flags: int = 0) -> BinaryIO:
        """Open the file, which is no link to another place; readable for its owner alone."""
        return os.fdopen(os.open(self.path, os.O_RDWR | os.O_NOFOLLOW | flags, 0o600), "r+b")

    def _fault(self, error: OSError) -> FailedRowsError:
        return FailedRowsError(f"{self.path} cannot be written: {error.strerror}")
