"""Whoever reads the log: when they stall, logins go on; and a clean end loses no line."""

import fcntl
import json
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import requests

from tests.builders import a_token, bearer
from tests.processes import Process, serving
from tests.raw_server import an_answer, raw_server

TOKEN: Final = b'{"data": {"uid": "alice", "authToken": "alice_1"}}'
GENEROUS: Final = {"TOKENSVC_LIMITS__PER_USER": "100000 per minute"}


class Reader:
    """Holds the other end of the service's stdout."""

    def __init__(self, folder: Path) -> None:
        fifo = folder / "stdout"
        os.mkfifo(fifo)
        self.descriptor = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        fcntl.fcntl(self.descriptor, fcntl.F_SETPIPE_SZ, 4096)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._received = b""

    def read_on(self) -> None:
        """Read from now on."""
        os.set_blocking(self.descriptor, True)
        self._thread.start()

    def lines(self) -> list[dict[str, Any]]:
        """Return all lines, once the service has ended."""
        self._thread.join(10)
        return [json.loads(line) for line in self._received.splitlines()]

    def _read(self) -> None:
        while chunk := os.read(self.descriptor, 65536):
            self._received += chunk


@contextmanager
def a_service(folder: Path, **environ: str) -> Iterator[Process]:
    with (
        raw_server(an_answer(TOKEN)) as vendor,
        serving(folder, vendor_url=vendor.url, **GENEROUS, **environ) as process,
    ):
        yield process


def login(process: Process) -> int:
    return requests.post(
        f"{process.url}/v1/auth-tokens", headers=bearer(a_token()), timeout=5
    ).status_code


def test_logins_go_on_while_nobody_reads(tmp_path: Path) -> None:
    """A pipe that is full stops nobody, and every line is there once it is read."""
    reader = Reader(tmp_path)
    with a_service(tmp_path) as process:
        statuses = [login(process) for _ in range(60)]
        reader.read_on()
        code = process.end()

    assert statuses == [201] * 60
    assert code == 0
    assert [line["status"] for line in reader.lines()].count(201) == 60


def test_reader_who_never_comes_back(tmp_path: Path) -> None:
    """The end is not put off for ever: it comes by itself, and stderr has the number of lines."""
    reader = Reader(tmp_path)
    with a_service(tmp_path) as process:
        for _ in range(60):
            login(process)
        code = process.end()
    os.close(reader.descriptor)

    assert code == 0
    assert "log_lines_lost: " in process.stderr.read_text()
    assert "Killing" not in process.stderr.read_text()


def test_sigterm_loses_no_line(tmp_path: Path) -> None:
    """What was answered is in the log, from each of the workers."""
    reader = Reader(tmp_path)
    with a_service(tmp_path, TOKENSVC_SERVER__WORKERS="2") as process:
        reader.read_on()
        with ThreadPoolExecutor(16) as pool:
            statuses = list(pool.map(lambda _: login(process), range(200)))
        process.end()

    assert statuses == [201] * 200
    assert [line["status"] for line in reader.lines()].count(201) == 200
