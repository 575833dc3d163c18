"""Deliveries at a steady rate on SQLite while logins go on: how soon each is acknowledged.

Run: PYTHONPATH=. .venv/bin/python benchmarks/deliveries.py [--seconds 30] [--rate 1000]

The sender is an open loop: it does not wait for answers before it sends on, and each
time is counted from when the delivery was due, not from when a connection was free.
"""

import argparse
import asyncio
import gc
import json
import multiprocessing
import os
import platform
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from tests.builders import API_KEY, APP_ID, ISSUER, a_token, an_environment, bearer
from tests.processes import Process, a_free_port, running
from tests.web.signing import SOURCES
from tokensvc.emulator import EmulatorServer, Switches

DELIVERIES_PER_S = 1_000
LOGINS_PER_S = 50
WARM_UP_S = 2.0
USERS = 5_000
WHO_LOGS_IN = 200
CONNECTIONS = 200
"""As many senders at once; with fewer, what is due would wait for a connection of ours."""
P99_MS = 50.0
NOBODY_ANSWERED_S = 30.0
SOURCE = SOURCES["standard"]


@dataclass
class Stream:
    """Requests of one kind, sent one after the other at a steady rate."""

    name: str
    good: int
    """The status of a success."""
    per_s: int
    requests: Sequence[bytes]
    durations_s: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    ended_at: float = 0.0

    def note(self, due_at: float, status: int) -> None:
        """Take in one answer; a status of 0 is none."""
        self.ended_at = time.perf_counter()
        self.statuses[status] += 1
        if status == self.good:
            self.durations_s.append(self.ended_at - due_at)

    def percentile_ms(self, part: float) -> float:
        """Return the time that *part* of the successes stayed under."""
        times = sorted(self.durations_s) or [float("nan")]
        return times[int(part * (len(times) - 1))] * 1000

    def reached_per_s(self, began_at: float) -> float:
        """Return how many succeeded in a second."""
        return self.statuses[self.good] / (self.ended_at - began_at)

    def told(self, began_at: float) -> str:
        """Return the figures in one line."""
        errors = {status: n for status, n in self.statuses.items() if status != self.good}
        return (
            f"{self.name:10} {self.per_s:6} asked/s {self.reached_per_s(began_at):8.1f} reached/s"
            f"   p50 {self.percentile_ms(0.5):6.1f} ms   p99 {self.percentile_ms(0.99):6.1f} ms"
            f"   max {self.percentile_ms(1.0):6.1f} ms   errors {errors or 'none'}"
        )


class Line(asyncio.Protocol):
    """One kept-alive connection, on which one request at a time is under way."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answered: asyncio.Future[int] | None = None
        self._received = b""

    @classmethod
    async def open(cls, url: str) -> Self:
        """Return a new connection."""
        host, _, port = urlsplit(url).netloc.partition(":")
        _, line = await asyncio.get_running_loop().create_connection(cls, host, int(port))
        return line

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep where to write."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Tell the status once the whole answer is there."""
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator:
            return
        _, _, behind = head.lower().partition(b"content-length:")
        if len(body) >= int(behind.split(b"\r\n", 1)[0]):
            self._settle(int(self._received[9:12]))
            self._received = b""

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (no answer is none)
        """Count what was under way as unanswered."""
        self._settle(0)
        self._transport = None

    @property
    def is_open(self) -> bool:
        """Return whether it can be used again."""
        return self._transport is not None

    async def ask(self, request: bytes) -> int:
        """Return the status of the answer to *request*, or 0."""
        if self._transport is None:
            return 0
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answered

    def _settle(self, status: int) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(status)


async def send(stream: Stream, url: str, began_at: float) -> None:
    """Send the whole stream, each request when it is due; return when all are answered."""
    due: asyncio.Queue[tuple[float, bytes] | None] = asyncio.Queue()

    async def use_a_line() -> None:
        line = await Line.open(url)
        while (item := await due.get()) is not None:
            if not line.is_open:
                line = await Line.open(url)
            stream.note(item[0], await line.ask(item[1]))

    async with asyncio.TaskGroup() as group:
        for _ in range(min(CONNECTIONS, stream.per_s)):
            group.create_task(use_a_line())
        for number, request in enumerate(stream.requests):
            due_at = began_at + number / stream.per_s
            if (early_s := due_at - time.perf_counter()) > 0:
                await asyncio.sleep(early_s)
            due.put_nowait((due_at, request))
        for _ in range(min(CONNECTIONS, stream.per_s)):
            due.put_nowait(None)


async def send_all(streams: Sequence[Stream], url: str) -> float:
    """Send all streams side by side; return when they began."""
    began_at = time.perf_counter() + 0.1
    longest_s = max(len(stream.requests) / stream.per_s for stream in streams)
    async with asyncio.timeout(longest_s + NOBODY_ANSWERED_S), asyncio.TaskGroup() as group:
        for stream in streams:
            group.create_task(send(stream, url, began_at))
    return began_at


def a_request(path: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    """Return a request as it travels."""
    fields = {"Host": "127.0.0.1", "Content-Length": str(len(body)), **headers}
    head = [f"POST {path} HTTP/1.1", *(f"{name}: {text}" for name, text in fields.items())]
    return "\r\n".join([*head, "", ""]).encode("latin-1") + body


def deliveries(run: str, count: int) -> list[bytes]:
    """Return *count* signed deliveries, each of an event of its own."""
    made = []
    for number in range(count):
        user = {"id": f"user-{number % USERS}", "name": f"User {number}"}
        body = json.dumps({"type": "user.updated", "data": user}).encode()
        body, headers = SOURCE.deliver(body, message_id=f"{run}-{number}", at=time.time())
        made.append(a_request(f"/v1/webhooks/{SOURCE.name}", headers, body))
    return made


def logins(count: int) -> list[bytes]:
    """Return *count* logins of some users who come back again and again."""
    tokens = [a_token(sub=f"visitor-{number}") for number in range(WHO_LOGS_IN)]
    made = [a_request("/v1/auth-tokens", bearer(token)) for token in tokens]
    return [made[number % WHO_LOGS_IN] for number in range(count)]


def streams(run: str, seconds: float, per_s: int = DELIVERIES_PER_S) -> list[Stream]:
    """Return what goes on side by side for *seconds*."""
    counts = [int(rate * seconds) for rate in (per_s, LOGINS_PER_S)]
    return [
        Stream("deliveries", 202, per_s, deliveries(run, counts[0])),
        Stream("logins", 201, LOGINS_PER_S, logins(counts[1])),
    ]


def emulate(pipe: Connection) -> None:
    """Be an emulated CometChat, in a process of its own, until the pipe says something."""
    switches = Switches(core_per_minute=10**9, standard_per_minute=10**9)
    with EmulatorServer(app_id=APP_ID, api_key=API_KEY, switches=switches) as emulator:
        pipe.send(emulator.url)
        pipe.recv()


@contextmanager
def a_service(folder: Path, *, processes: int, with_worker: bool) -> Iterator[Process]:
    """Run the service on a new SQLite file in *folder*."""
    ours, theirs = multiprocessing.Pipe()
    emulator = multiprocessing.Process(target=emulate, args=(theirs,), daemon=True)
    emulator.start()
    port = a_free_port()
    table = {"source": SOURCE.name, "sender": "standard", "secrets": [SOURCE.secret]}
    environ = an_environment(
        TOKENSVC_COMETCHAT__BASE_URL=f"{ours.recv()}/v3",
        TOKENSVC_LIMITS__PER_USER="1000000 per minute",
        TOKENSVC_LIMITS__PER_WEBHOOK_SOURCE="1000000 per minute",
        TOKENSVC_SERVER__PORT=str(port),
        TOKENSVC_SERVER__WORKERS=str(processes),
        TOKENSVC_WEBHOOKS=json.dumps([{**table, "issuer": ISSUER}]),
    )
    words = ["serve", *(["--with-worker"] if with_worker else [])]
    try:
        with running(folder, *words, url=f"http://127.0.0.1:{port}", environ=environ) as process:
            yield process
    finally:
        ours.send("end")
        emulator.join()


def cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process and of all that it has started."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    children = (
        child
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    )
    ticks = int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK") + sum(cpu_s(int(child)) for child in children)


def main() -> None:
    """Print the machine, and what was reached on it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--with-worker", action="store_true", help="Apply them meanwhile.")
    parser.add_argument("--rate", type=int, default=DELIVERIES_PER_S, help="Deliveries a second.")
    parser.add_argument("--processes", type=int, default=0, help="Of the server; 0: one per core.")
    chosen = parser.parse_args()
    print(
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; Linux {platform.release()}, "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        a_service(
            Path(folder), processes=chosen.processes, with_worker=chosen.with_worker
        ) as process,
    ):
        asyncio.run(send_all(streams("warm-up", WARM_UP_S, chosen.rate), process.url))
        measured = streams("measured", chosen.seconds, chosen.rate)
        gc.freeze()
        used_s = cpu_s(process.popen.pid)
        began_at = asyncio.run(send_all(measured, process.url))
        for stream in measured:
            print(stream.told(began_at))
        used_s = cpu_s(process.popen.pid) - used_s
        print(f"the service used {used_s / (measured[0].ended_at - began_at):.2f} cores")
        stored = sqlite3.connect(Path(folder) / "tokensvc.db").execute(
            "SELECT count(*) FROM events WHERE event_id LIKE 'measured-%'"
        )
        print(f"{measured[0].statuses[202]} acknowledged, {stored.fetchone()[0]} on disk")
    is_all = measured[0].statuses[202] == len(measured[0].requests)
    is_reached = is_all and measured[0].percentile_ms(0.99) <= P99_MS
    print(f"all acknowledged, p99 within {P99_MS:.0f} ms: {'yes' if is_reached else 'no'}")


if __name__ == "__main__":
    main()
