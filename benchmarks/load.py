"""Load: many kept-alive connections, each answer looked at, a wrong one counted as an error.

In a closed loop each connection asks again as soon as it is answered. In an open loop
requests are due at a steady rate, and each is timed from when it was due, whether or not
a connection was free.
"""

import asyncio
import math
import ssl
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Self

from benchmarks.users import CREATED, Ask, fault_in

UNANSWERED: Final = 0
TICK_S: Final = 0.001
OVERLOADED: Final = 503
RECONNECT_AFTER_S: Final = 0.01


@dataclass
class Tally:
    """What was answered within a stretch of time."""

    good_s: list[float] = field(default_factory=list)
    """How long each right answer took."""
    refused_s: list[float] = field(default_factory=list)
    """How long each 503 took."""
    errors: Counter[str] = field(default_factory=Counter)
    """Everything else, by what was wrong."""
    seconds: float = 0.0

    @property
    def per_s(self) -> float:
        """Return how many right answers there were in a second."""
        return len(self.good_s) / self.seconds if self.seconds else 0.0

    @property
    def wrong(self) -> int:
        """Return how many errors there were, 503s not counted."""
        return self.errors.total()

    def ms(self, part: float) -> float:
        """Return the time that *part* of the right answers stayed under."""
        return percentile(self.good_s, part) * 1000


def percentile(durations: list[float], part: float) -> float:
    """Return the shortest duration that at least *part* of all did not exceed (nearest rank).

    NaN where there are none. Of fifty the 0.99th is the longest.
    """
    if not durations:
        return math.nan
    return sorted(durations)[max(1, math.ceil(part * len(durations))) - 1]


class Load:
    """Connections to one server, and what they are to ask."""

    def __init__(
        self, port: int, asks: Iterator[Ask], *, per_s: float = 0, tls: ssl.SSLContext | None = None
    ) -> None:
        self.tally = Tally()
        self.handed_out: set[str] = set()
        self.is_over = False
        self._port, self._asks, self._tls = port, asks, tls
        self._gap_s = 1 / per_s if per_s else 0.0
        self._due: deque[float] = deque()
        self.open: set[Connection] = set()
        self._idle: list[Connection] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._sent_until = 0.0

    def start(self, connections: int) -> Self:
        """Connect and begin to ask."""
        for _ in range(connections):
            self.connect()
        if self._gap_s:
            self._sent_until = time.perf_counter()
            self._keep(self._tick())
        return self

    def connect(self, after_s: float = 0.0) -> None:
        """Open one more connection."""
        if not self.is_over:
            self._keep(self._connect(after_s))

    @property
    def unsent(self) -> int:
        """Return how many requests are due for which no connection was free."""
        return len(self._due)

    def count_anew(self) -> Tally:
        """Begin a new tally and return the one before."""
        before, self.tally = self.tally, Tally()
        return before

    def next_for(self, connection: "Connection") -> None:
        """Let *connection*, which is free, ask what comes next."""
        if self.is_over:
            connection.close()
        elif not self._gap_s:
            connection.ask(next(self._asks), time.perf_counter())
        elif self._due:
            connection.ask(next(self._asks), self._due.popleft())
        else:
            self._idle.append(connection)

    def note(self, ask: Ask, status: int, body: bytes, took_s: float) -> None:
        """Take in the answer to *ask*."""
        if self.is_over:
            return
        fault = None
        if status == OVERLOADED:
            self.tally.refused_s.append(took_s)
            return
        if status != ask.good:
            fault = f"status {status}" if status else "no answer"
        elif status == CREATED:
            fault = fault_in(ask, body, self.handed_out)
        if fault:
            self.tally.errors[fault] += 1
        else:
            self.tally.good_s.append(took_s)

    async def stop(self) -> None:
        """Ask no more; what is under way is given up, and not counted."""
        self.is_over = True
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for connection in tuple(self.open):
            connection.close()
        await asyncio.sleep(0.1)

    async def _connect(self, after_s: float) -> None:
        await asyncio.sleep(after_s)
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: Connection(self), "127.0.0.1", self._port, ssl=self._tls
            )
        except asyncio.CancelledError:
            self.is_over = True  # The loop ends: what it closes is not to be opened again.
            raise
        except OSError:
            self.tally.errors["no connection"] += 1
            self.connect(RECONNECT_AFTER_S)

    async def _tick(self) -> None:
        while not self.is_over:
            while (due := self._sent_until + self._gap_s) <= time.perf_counter():
                self._sent_until = due
                self._due.append(due)
            while self._due and self._idle:
                connection = self._idle.pop()
                if connection.is_open:
                    connection.ask(next(self._asks), self._due.popleft())
            await asyncio.sleep(TICK_S)

    def _keep(self, work: "asyncio._CoroutineLike[None]") -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class Connection(asyncio.Protocol):
    """One kept-alive connection, on which one request at a time is under way."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._ask: Ask | None = None
        self._since = 0.0

    @property
    def is_open(self) -> bool:
        """Return whether it can be used."""
        return self._transport is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask the first thing (uvloop's transports are of no common type)."""
        self._transport = transport  # type: ignore[assignment]
        self._load.open.add(self)
        self._load.next_for(self)

    def ask(self, ask: Ask, since: float) -> None:
        """Send *ask*, which is timed from *since*."""
        self._ask, self._since, self._received = ask, since, b""
        if self._transport is not None:
            self._transport.write(ask.request)

    def close(self) -> None:
        """Be used no more."""
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Look at the answer once it is whole, and go on."""
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator or self._ask is None:
            return
        head = head.lower()
        _, _, behind = head.partition(b"\r\ncontent-length:")
        if not behind or len(body) < int(behind.split(b"\r\n", 1)[0]):
            return  # an answer of no told length is whole once the connection is closed: an error
        ask, self._ask = self._ask, None
        self._load.note(ask, int(head[9:12]), body, time.perf_counter() - self._since)
        if b"\r\nconnection: close" in head:
            self.close()
        else:
            self._load.next_for(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (lost is lost)
        """Count what was under way as unanswered, and open another connection."""
        self._transport = None
        self._load.open.discard(self)
        if self._ask is not None:
            self._load.note(self._ask, UNANSWERED, b"", time.perf_counter() - self._since)
        self._load.connect(RECONNECT_AFTER_S if self._ask else 0.0)


async def measured(load: Load, seconds: float, warm_s: float, read: Callable[[], float]) -> float:
    """Run *load*, which has started; return what *read* grew by while its tally was kept."""
    await asyncio.sleep(warm_s)
    load.count_anew()
    before, began_at = read(), time.perf_counter()
    await asyncio.sleep(seconds)
    load.tally.seconds = time.perf_counter() - began_at
    grown = read() - before
    await load.stop()
    return grown


async def probe(port: int, path: str, within_s: float) -> tuple[int, float]:
    """Return the status and the duration of one GET on a connection of its own."""
    began_at, status = time.perf_counter(), UNANSWERED
    with suppress(OSError, TimeoutError, ValueError):
        async with asyncio.timeout(within_s):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            status = int((await reader.readline())[9:12])
            writer.close()
    return status, time.perf_counter() - began_at
