"""A process beside the server: started with it, started again when it ends, ended with it."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import click

DRAIN_S: Final = 15
"""How long a process may finish what it is at after SIGTERM: longer than any deadline in it."""
FIRST_PAUSE_S: Final = 1.0
MOST_PAUSE_S: Final = 30.0
KILL_AFTER_S: Final = DRAIN_S + 5


class SideProcess:
    """Keeps one *command* running. A pause before each new start grows to half a minute."""

    def __init__(self, command: Sequence[str], *, first_pause_s: float = FIRST_PAUSE_S) -> None:
        self._command = command
        self._first_pause_s = first_pause_s
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._keep_running, name="side-process", daemon=True)
        # A server process forked in the midst of a start would hold the pipe on which
        # Popen waits for it to succeed, and so would hold up this for as long as it lives.
        release = self._lock.release
        os.register_at_fork(
            before=self._lock.acquire, after_in_parent=release, after_in_child=release
        )

    def start(self) -> None:
        """Start the process, and watch over it."""
        self._thread.start()

    def stop(self) -> None:
        """Let the process end, or end it, and start no other."""
        with self._lock:
            self._ending.set()
            process = self._process
        if process is not None:
            process.terminate()
            try:
                process.wait(KILL_AFTER_S)
            except subprocess.TimeoutExpired:
                process.kill()
        self._thread.join()

    def _keep_running(self) -> None:
        pause_s = self._first_pause_s
        while not self._ending.is_set():
            with self._lock:
                if self._ending.is_set():
                    return
                # Ctrl-C in a terminal is for the server alone, which then ends this one.
                self._process = subprocess.Popen(  # noqa: S603 (our own command)
                    self._command, start_new_session=True
                )
            code = self._process.wait()
            if not self._ending.is_set():
                click.echo(f"the worker has ended with {code}; it is started again", err=True)
                self._ending.wait(pause_s)
                pause_s = min(2 * pause_s, MOST_PAUSE_S)


def worker_command() -> list[str]:
    """Return how to run the worker as a child of this process, with its environment."""
    return [sys.executable, "-m", "tokensvc", "worker", "--parent", str(os.getpid())]


@contextmanager
def worker_beside() -> Iterator[None]:
    """Have one worker for as long as the block lasts."""
    beside = SideProcess(worker_command())
    beside.start()
    try:
        yield
    finally:
        beside.stop()
