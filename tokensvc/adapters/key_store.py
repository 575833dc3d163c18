"""The key store: last good key sets on disk, for a restart while an issuer is down."""

import fcntl
import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from tokensvc.adapters.key_copies import MAX_COPY_BYTES, KeyCopy, KeyStoreError, parse_copy

Version = tuple[int, int, int]
"""Tells one state of a file from another: its inode, its time and its size."""
CLOCK_STEP_S: Final = 60.0
"""A copy may seem to be this much younger than now: clocks are set back a little at times."""
_LOCK: Final = ".lock"
"""Held instead of the directory: others may be able to open that, and would hold us up."""
_LOCK_TRIES: Final = 50
_LOCK_PAUSE_S: Final = 0.02
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


class KeyStore:
    """Copies in a *directory* of our own, shared by all processes on this machine.

    Whoever can write here chooses the keys: a directory or file that belongs to
    somebody else, or that others may write to, is not used. Every method raises
    `KeyStoreError`.
    """

    def __init__(self, directory: Path, *, now: Callable[[], float]) -> None:
        self._directory = directory
        self._now = now

    def version(self, issuer: str, url: str) -> Version | None:
        """Return which copy is there, without reading it; None where there is none."""
        try:
            with self._opened() as directory:
                found = os.stat(_name(issuer, url), dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            return None
        return (found.st_ino, found.st_mtime_ns, found.st_size)

    def load(self, issuer: str, url: str) -> KeyCopy | None:
        """Return the copy of the keys that *issuer* has at *url*, if there is one."""
        try:
            with self._opened() as directory:
                return self._load(directory, issuer, url)
        except FileNotFoundError:
            return None

    def save(self, copy: KeyCopy) -> None:
        """Keep *copy*, whole or not at all, unless one that was asked for later is there.

        One that seems to be from later than now is an error: the clock was set back.
        """
        self._make_directory()
        try:
            with self._opened() as directory, _alone_in(directory):
                kept_at = self._kept_at(directory, copy)
                if kept_at <= copy.fetched_at:
                    _write(directory, _name(copy.issuer, copy.url), copy.to_text())
                elif kept_at > self._now():
                    raise KeyStoreError("copy_from_the_future")
        except FileNotFoundError:
            raise KeyStoreError("directory_cannot_be_used") from None

    @contextmanager
    def turn(self, issuer: str, url: str) -> Iterator[bool]:
        """Yield whether it is this process' turn to ask *issuer*, and not another one's.

        Where there is no directory to agree in, everybody asks for themselves. Raises
        nothing of its own.
        """
        with ExitStack() as held:
            try:
                self._make_directory()
                directory = held.enter_context(self._opened())
                is_ours = held.enter_context(
                    _taken_at_once(directory, f".{_name(issuer, url)}.turn")
                )
            except (KeyStoreError, OSError):
                is_ours = True
            yield is_ours

    def _make_directory(self) -> None:
        try:
            self._directory.expanduser().mkdir(mode=0o700, parents=True, exist_ok=True)
        except (OSError, RuntimeError):
            raise KeyStoreError("directory_cannot_be_made") from None

    def _kept_at(self, directory: int, copy: KeyCopy) -> float:
        """Return when the copy that is there was asked for; 0 if none can be used."""
        try:
            return self._load(directory, copy.issuer, copy.url).fetched_at
        except (KeyStoreError, FileNotFoundError):
            return 0.0

    def _load(self, directory: int, issuer: str, url: str) -> KeyCopy:
        copy = parse_copy(_read(directory, _name(issuer, url)))
        if (copy.issuer, copy.url) != (issuer, url):
            raise KeyStoreError("copy_of_another_issuer")
        if copy.fetched_at > self._now() + CLOCK_STEP_S:
            raise KeyStoreError("copy_from_the_future")
        return copy

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """Hold the directory open, proven to be ours: what is done in it is done in that one.

        Where it or a file in it does not exist, FileNotFoundError says so.
        """
        try:
            path = self._directory.expanduser()
            directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise
        except (OSError, RuntimeError):
            # RuntimeError: there is no home directory.
            raise KeyStoreError("directory_cannot_be_opened") from None
        try:
            _demand_ours(os.fstat(directory), "directory")
            yield directory
        except FileNotFoundError:
            raise
        except OSError:
            raise KeyStoreError("directory_cannot_be_used") from None
        finally:
            os.close(directory)


def _name(issuer: str, url: str) -> str:
    digest = hashlib.sha256(f"{issuer}\n{url}".encode()).hexdigest()
    return f"{digest[:32]}.json"


def _demand_ours(found: os.stat_result, what: str) -> None:
    if found.st_uid != os.geteuid():
        raise KeyStoreError(f"{what}_of_another_user")
    if found.st_mode & _OTHERS_WRITE:
        raise KeyStoreError(f"{what}_open_to_others")


def _read(directory: int, name: str) -> bytes:
    # A pipe in its place would be waited for.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    opened = os.open(name, flags, dir_fd=directory)
    try:
        found = os.fstat(opened)
        _demand_ours(found, "copy")
        if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_COPY_BYTES:
            raise KeyStoreError("copy_malformed")
        with open(opened, "rb", closefd=False) as file:
            return file.read(MAX_COPY_BYTES)
    finally:
        os.close(opened)


def _write(directory: int, name: str, text: bytes) -> None:
    """Put *text* in the place of the file: readers see the old one or the new one, whole."""
    unfinished = f".{name}"
    with suppress(FileNotFoundError):
        os.unlink(unfinished, dir_fd=directory)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    opened = os.open(unfinished, flags, 0o600, dir_fd=directory)
    with open(opened, "wb") as file:  # noqa: PTH123 (a descriptor has no path)
        file.write(text)
        file.flush()
        os.fsync(opened)
    os.replace(unfinished, name, src_dir_fd=directory, dst_dir_fd=directory)
    os.fsync(directory)


@contextmanager
def _alone_in(directory: int) -> Iterator[None]:
    """Keep other processes from writing for the length of the block."""
    with _lock_file(directory, _LOCK) as lock:
        _take(lock)
        yield


@contextmanager
def _taken_at_once(directory: int, name: str) -> Iterator[bool]:
    """Hold the lock *name* for the length of the block, if nobody has it; yield whether it is."""
    with _lock_file(directory, name) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


@contextmanager
def _lock_file(directory: int, name: str) -> Iterator[int]:
    """Hold a file of ours open that is there to be locked; the lock ends with the block."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    lock = os.open(name, flags, 0o600, dir_fd=directory)
    try:
        _demand_ours(os.fstat(lock), "lock")
        try:
            yield lock
        finally:
            # Said aloud: a child that was forked meanwhile holds the descriptor too.
            fcntl.flock(lock, fcntl.LOCK_UN)
    finally:
        os.close(lock)


def _take(lock: int) -> None:
    for _ in range(_LOCK_TRIES):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_LOCK_PAUSE_S)
        else:
            return
    raise KeyStoreError("directory_locked")
