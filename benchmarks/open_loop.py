"""An open loop: requests at a steady rate, each timed from when it was due.

It does not wait for answers before it sends on, so that a service that falls behind
is not spared.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit

from benchmarks.load import percentile

CONNECTIONS = 200
"""As many senders at once; with fewer, what is due would wait for a connection of ours."""
NOBODY_ANSWERED_S = 30.0


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
        """Return the time that *part* of the successes did not exceed."""
        return percentile(self.durations_s, part) * 1000

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
