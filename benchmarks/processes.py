"""Processes: started, timed until they answer, weighed by what /proc says, ended."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Final

READY_WITHIN_S: Final = 30.0
ENDED_WITHIN_S: Final = 15.0
TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
SESSION, USER_TICKS, CHILDREN_TICKS_END = 3, 11, 15
"""Where they stand in /proc/PID/stat behind the name: the session; four counts of ticks."""


class NoAnswerError(RuntimeError):
    """A command did not start, or did not answer in time; the text ends with what it said."""


@dataclass(frozen=True, slots=True)
class Process:
    """A running command and all processes that it has started: they share its session."""

    pid: int
    port: int
    ready_after_s: float
    log: Path

    def pids(self) -> list[int]:
        """Return the ids of its processes."""
        own = str(self.pid)
        return [pid for pid, fields in _stats() if fields[SESSION] == own]

    def cpu_s(self) -> float:
        """Return the processor time that all of them took so far, ended children included."""
        own = str(self.pid)
        ticks = sum(
            sum(map(int, fields[USER_TICKS:CHILDREN_TICKS_END]))
            for _, fields in _stats()
            if fields[SESSION] == own
        )
        return ticks / TICKS_PER_S

    def memory_mb(self) -> float:
        """Return the memory of all of them (PSS: what they share is counted once)."""
        return self._sum_of("smaps_rollup", "Pss:")

    def peak_rss_mb(self) -> float:
        """Return the sum of their highest resident sizes."""
        return self._sum_of("status", "VmHWM:")

    def _sum_of(self, file: str, label: str) -> float:
        total = 0
        for pid in self.pids():
            with suppress(OSError):
                for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
                    if line.startswith(label):
                        total += int(line.split()[1])
        return total / 1024


def _stats() -> Iterator[tuple[int, list[str]]]:
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile
            yield int(folder.name), (folder / "stat").read_text().rpartition(")")[2].split()


@contextmanager
def running(
    words: Sequence[str], environ: Mapping[str, str], port: int, folder: Path, ready: str | None
) -> Iterator[Process]:
    """Run a command until the block ends; it begins once the command answers GET *ready*.

    Without *ready* it begins once somebody listens. What the command says goes to a file.
    Raises NoAnswerError where the block does not begin.
    """
    log = folder / f"{port}.log"
    began_at = time.perf_counter()
    with log.open("wb") as out:
        try:
            popen = subprocess.Popen(  # noqa: S603 (our own commands)
                words, env={**environ}, stdout=out, stderr=out, start_new_session=True
            )
        except OSError as error:
            raise NoAnswerError(f"{words[0]} does not start: {error}") from error
    try:
        while not _answers(port, ready):
            waited_s = time.perf_counter() - began_at
            if popen.poll() is not None or waited_s > READY_WITHIN_S:
                raise NoAnswerError(f"{words[0]} does not answer: {log.read_text()[-2000:]}")
            time.sleep(0.005)
        yield Process(popen.pid, port, time.perf_counter() - began_at, log)
    finally:
        popen.terminate()
        with suppress(subprocess.TimeoutExpired):
            popen.wait(ENDED_WITHIN_S)
        with suppress(ProcessLookupError):
            os.killpg(popen.pid, signal.SIGKILL)
        popen.wait()
        log.unlink()


def _answers(port: int, ready: str | None) -> bool:
    try:
        if ready is None:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return True
        connection = HTTPConnection("127.0.0.1", port, timeout=1)
        connection.request("GET", ready)
        status = connection.getresponse().status
        connection.close()
    except OSError:
        return False
    return status == 200  # noqa: PLR2004 (OK)
