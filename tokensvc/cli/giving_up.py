"""How a worker of gunicorn says that the service cannot start: once per server."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

APP_LOAD_ERROR = 4
"""What makes gunicorn give up, where any other code lets it start the worker again for ever."""


@contextmanager
def giving_up_once() -> Iterator[None]:
    """Turn an end of the process within the block into one that ends the whole server.

    Gunicorn halts when a worker ends with `APP_LOAD_ERROR`. A second one that does so
    while it halts is an exception that nobody catches there: the server ends with a
    traceback and code 1. So whoever finds that a sibling has said it ends with 0.
    """
    try:
        yield
    except SystemExit:
        sys.exit(APP_LOAD_ERROR if _is_first() else 0)


def _is_first() -> bool:
    if not os.environ.get("SERVER_SOFTWARE", "").startswith("gunicorn/"):
        return True
    folder, server = Path(tempfile.gettempdir()), os.getppid()
    names = f"tokensvc-gave-up-{os.geteuid()}"
    try:
        _forget_the_gone(folder, names)
        with (folder / f"{names}-{server}-{_started_at(server)}").open("x"):
            return True
    except FileExistsError:
        return False
    except OSError:
        return True  # Nowhere to leave a mark: better said twice than never.


def _forget_the_gone(folder: Path, names: str) -> None:
    """Remove the marks of servers that are no more, or a restart in a loop fills the folder."""
    for mark in folder.glob(f"{names}-*-*"):
        server, started_at = mark.name.rsplit("-", 2)[1:]
        if started_at != _started_at(server):
            with suppress(OSError):
                mark.unlink()


def _started_at(pid: int | str) -> str:
    """Return when a process began, in ticks since the machine did: proc(5), stat, field 22.

    In a container the server is process 1 each time, and the folder may outlive it.
    """
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return "unknown"
