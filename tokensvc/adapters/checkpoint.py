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
from typing import Self

from tokensvc.domain.strict_json import JSONError, parse_json_object


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
        checkpoint._read(work)
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
        try:
            os.write(self._descriptor, json.dumps(members).encode() + b"\n")
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
        content = self._path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        os.ftruncate(self._descriptor, len(whole))
        lines = whole.splitlines()
        if not lines:
            # The process ended before its first line was on disk, and so had sent nothing.
            self._append({"work": work})
            return
        try:
            if parse_json_object(lines[0]) != {"work": work}:
                raise CheckpointError(
                    f"{self._path} belongs to another file, or to an import with other options"
                )
            if len(lines) > 1:
                self.progress = _progress(parse_json_object(lines[-1]))
        except JSONError:
            raise CheckpointError(f"{self._path} is no checkpoint") from None


def _progress(members: Mapping[str, object]) -> Progress:
    counts = members.get("counts")
    numbers = [members.get(name) for name in ("rows", "in_flight", "failed_bytes")]
    are_numbers = all(isinstance(number, int) and number >= 0 for number in numbers)
    if not are_numbers or not isinstance(counts, dict):
        raise JSONError
    rows, in_flight, failed_bytes = (int(str(number)) for number in numbers)
    return Progress(rows, in_flight, failed_bytes, counts)
