"""A checkpoint: how far an import has come, on disk before and after each batch.

Each line of the file is a whole state, written and synced before the next step: the
last whole line counts, and one that was torn by a crash does not.
"""

import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final, Self

from tokensvc.domain.strict_json import JSONError, parse_json_object

NO_CHECKPOINT: Final = "is no checkpoint, or was changed by somebody else"
OTHER_WORK: Final = "belongs to another file, or to an import with other options"


class CheckpointError(Exception):
    """The checkpoint cannot be used; the text is for the operator."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an import has come."""

    rows: int = 0
    """Rows that are dealt with, in the order of the file."""
    in_flight: int = 0
    """Rows after those that were about to be sent: what became of them is not known."""
    failed_bytes: int = 0
    """How much of the file of failed rows stands for the rows that are dealt with."""
    counts: Mapping[str, int] = field(default_factory=dict)


class Checkpoint:
    """The file at *path*, bound to *work*: what is imported, and how.

    Nobody else can use it meanwhile.
    """

    def __init__(self, path: Path, descriptor: int, progress: Progress) -> None:
        self.progress = progress
        self._path = path
        self._descriptor = descriptor

    @classmethod
    def begin(cls, path: Path, work: str) -> Self:
        """Make a new one; there must be none."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        except FileExistsError:
            raise CheckpointError(
                f"{path} is there from an import that did not come to its end: go on with "
                "--resume, or delete it"
            ) from None
        except OSError as error:
            raise CheckpointError(f"{path} cannot be written: {error.strerror}") from None
        checkpoint = cls(path, descriptor, Progress())
        checkpoint._lock()
        checkpoint._append({"work": work})
        return checkpoint

    @classmethod
    def resume(cls, path: Path, work: str) -> Self:
        """Go on from the one at *path*, or begin where there is none."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND)
        except FileNotFoundError:
            return cls.begin(path, work)
        except OSError as error:
            raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None
        checkpoint = cls(path, descriptor, Progress())
        checkpoint._lock()
        try:
            checkpoint._read(work)
        except CheckpointError:
            checkpoint.close()
            raise
        return checkpoint

    def sending(self, rows: int) -> None:
        """Write down that the next *rows* are about to be sent."""
        self._note(
            Progress(self.progress.rows, rows, self.progress.failed_bytes, self.progress.counts)
        )

    def dealt_with(self, rows: int, counts: Mapping[str, int], *, failed_bytes: int) -> None:
        """Write down what became of the next *rows*."""
        self._note(Progress(self.progress.rows + rows, 0, failed_bytes, counts))

    def remove(self) -> None:
        """Delete the file: the import has come to its end."""
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the file, and leave it where it is."""
        os.close(self._descriptor)

    def _note(self, progress: Progress) -> None:
        self.progress = progress
        self._append(asdict(progress))

    def _append(self, members: Mapping[str, object]) -> None:
        rest = memoryview(_line(members))
        try:
            while rest:
                # On a disk that is all but full a part is written, and no error raised.
                rest = rest[os.write(self._descriptor, rest) :]
            os.fsync(self._descriptor)
        except OSError as error:
            raise CheckpointError(f"{self._path} cannot be written: {error.strerror}") from None

    def _lock(self) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._descriptor)
            raise CheckpointError(f"{self._path} is in use by another import") from None

    def _read(self, work: str) -> None:
        """Take in what the file says. It is left as it is unless it is the checkpoint of *work*."""
        first = _line({"work": work})
        content = self._path.read_bytes()
        lines = content.splitlines(keepends=True)
        if first.startswith(content):
            # The process ended before its first line was on disk, and so had sent nothing.
            lines = []
        elif lines[0] != first:
            raise CheckpointError(f"{self._path} {_foreign(lines[0])}")
        elif not lines[-1].endswith(b"\n"):
            del lines[-1]
        if len(lines) > 1:
            try:
                self.progress = _progress(parse_json_object(lines[-1]))
            except JSONError:
                raise CheckpointError(f"{self._path} {NO_CHECKPOINT}") from None
        os.ftruncate(self._descriptor, sum(map(len, lines)))
        if not lines:
            self._append({"work": work})


def _line(members: Mapping[str, object]) -> bytes:
    return json.dumps(members).encode() + b"\n"


def _foreign(line: bytes) -> str:
    """Return whose first line this is, if it is not that of the work at hand."""
    try:
        members = parse_json_object(line)
    except JSONError:
        return NO_CHECKPOINT
    return OTHER_WORK if set(members) == {"work"} else NO_CHECKPOINT


def _progress(members: Mapping[str, object]) -> Progress:
    counts = members.get("counts")
    if not isinstance(counts, dict):
        raise JSONError
    return Progress(
        rows=_count(members.get("rows")),
        in_flight=_count(members.get("in_flight")),
        failed_bytes=_count(members.get("failed_bytes")),
        counts={name: _count(count) for name, count in counts.items()},
    )


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise JSONError
    return value
