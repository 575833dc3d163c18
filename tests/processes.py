"""The service as a process of its own, as an operator runs it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from tests.builders import an_environment
from tests.databases import a_sqlite_database, sqlite_url
from tests.ports import a_free_port

READY_WITHIN_S = 30.0
WRITTEN_WITHIN_S = 10.0


@dataclass
class Process:
    """A running command, its output in files."""

    popen: subprocess.Popen[bytes]
    stdout: Path
    stderr: Path
    url: str

    def records(self) -> list[dict[str, Any]]:
        """Return the audit lines so far; a line that is no JSON is an error."""
        return [json.loads(line) for line in self.stdout.read_text().splitlines()]

    def record_of(self, user_agent: str) -> dict[str, Any]:
        """Return the audit line of a request, as soon as it is written: a thread does that."""
        deadline = time.monotonic() + WRITTEN_WITHIN_S
        while time.monotonic() < deadline:
            whole = self.stdout.read_text().rpartition("\n")[0]
            for line in map(json.loads, whole.splitlines()):
                if line.get("user_agent") == user_agent:
                    found: dict[str, Any] = line
                    return found
            time.sleep(0.02)
        raise AssertionError(f"no line of {user_agent}: {self.stdout.read_text()}")

    def end(self) -> int:
        """Ask the process to end and return its exit code."""
        self.popen.send_signal(signal.SIGTERM)
        return self.popen.wait(30)

    def interrupt(self) -> int:
        """Press Ctrl-C in its terminal, which reaches all of its processes; return its exit code.

        Ten seconds are less than the server waits before it kills a worker that hangs.
        """
        os.killpg(self.popen.pid, signal.SIGINT)
        return self.popen.wait(10)


def a_storage_in(folder: Path) -> str:
    """Return the URL of the database in *folder*; if there is none, make one."""
    file = folder / "tokensvc.db"
    return sqlite_url(file) if file.exists() else a_sqlite_database(file)


def command(*arguments: str) -> list[str]:
    """Return how to run tokensvc with this interpreter."""
    return [sys.executable, "-c", "from tokensvc.cli import main; main()", *arguments]


@contextmanager
def running(
    folder: Path,
    *arguments: str,
    url: str,
    environ: Mapping[str, str],
    ready: str | None = "/readyz",
) -> Iterator[Process]:
    """Run `tokensvc ARGUMENTS` until the block ends."""
    with running_command(
        folder, command(*arguments), url=url, environ=environ, ready=ready
    ) as process:
        yield process


@contextmanager
def running_command(
    folder: Path,
    words: Sequence[str],
    *,
    url: str,
    environ: Mapping[str, str],
    ready: str | None = "/readyz",
) -> Iterator[Process]:
    """Run a command until the block ends.

    The block begins once *url* answers *ready* with a success, or, where there is
    no such path, once somebody listens there.
    """
    stdout, stderr = folder / "stdout", folder / "stderr"
    with stdout.open("wb") as out, stderr.open("wb") as err:
        popen = subprocess.Popen(  # noqa: S603 (our own command)
            words,
            env={
                "PATH": os.environ["PATH"],
                "PYTHONUNBUFFERED": "1",
                "TOKENSVC_STORAGE__URL": a_storage_in(folder),
                **environ,
            },
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
        process = Process(popen, stdout, stderr, url)
        try:
            _wait_for(process, ready)
            yield process
        finally:
            if popen.poll() is None:
                popen.terminate()
                popen.wait(30)


@contextmanager
def serving(folder: Path, *, vendor_url: str, **environ: str) -> Iterator[Process]:
    """Run `tokensvc serve` against a vendor at *vendor_url*."""
    port = a_free_port()
    chosen = an_environment(
        TOKENSVC_COMETCHAT__BASE_URL=f"{vendor_url}/v3",
        TOKENSVC_SERVER__PORT=str(port),
        **{"TOKENSVC_SERVER__WORKERS": "1", **environ},
    )
    with running(folder, "serve", url=f"http://127.0.0.1:{port}", environ=chosen) as process:
        yield process


def _wait_for(process: Process, ready: str | None) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline and process.popen.poll() is None:
        try:
            if ready is None:
                url = urlsplit(process.url)
                socket.create_connection((url.hostname, url.port), timeout=1).close()
                return
            if requests.get(process.url + ready, timeout=1).ok:
                return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(process.stderr.read_text() + process.stdout.read_text())
