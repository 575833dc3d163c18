"""The soak: processes at work are killed at random moments, and nothing may be missing after it.

It knows commands and the ledger that they write, and nothing else of what they do. A line
says `ready NAME` once a command is at work, `acknowledged UID NUMBER` once an event is
promised to be kept, and `applied UID NUMBER FENCE` when it takes effect.
"""

import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from tests.faults.nursery import ROOT, Nursery, environment

LONGEST_PEACE_S: Final = 0.3
"""Between two kills."""
READY_WITHIN_S: Final = 60.0
DRAINED_WITHIN_S: Final = 120.0


class Worker(Protocol):
    """Somebody who is started again whenever they were killed.

    They are at work once the ledger says `ready NAME`.
    """

    name: str
    adds_work: bool
    """So that it has to end before the others can finish."""

    def start(self) -> None:
        """Start it."""

    def kill(self) -> None:
        """Kill it where it stands; return once it is gone."""


@dataclass
class Command:
    """A worker that is any command."""

    name: str
    words: Sequence[str]
    adds_work: bool = False
    popen: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.popen = subprocess.Popen(self.words, cwd=ROOT, env=environment())  # noqa: S603 (ours)

    def kill(self) -> None:
        if self.popen is not None:
            self.popen.send_signal(signal.SIGKILL)
            self.popen.wait()


@dataclass
class Fork:
    """A worker from a nursery, which begins without loading anything."""

    name: str
    words: Sequence[str]
    nursery: Nursery
    adds_work: bool = False
    pid: int | None = None

    def start(self) -> None:
        self.pid = self.nursery.fork(self.words)

    def kill(self) -> None:
        if self.pid is None:
            return
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
            while True:
                os.kill(self.pid, 0)
                time.sleep(0.001)


@dataclass
class Soak:
    """Kills *workers* at random moments until *kills* are done, and reads the *ledger*."""

    ledger: Path
    workers: Sequence[Worker]
    kills: int
    seed: int = 0
    starts: Counter[str] = field(default_factory=Counter)
    _begun: Counter[str] = field(default_factory=Counter)
    _read_to: int = 0

    def run(self, is_drained: Callable[[], bool]) -> None:
        """Run it: kill, then let those who are left finish what waits."""
        chance = random.Random(self.seed)
        try:
            for worker in self.workers:
                self._start(worker)
            for _ in range(self.kills):
                victim = chance.choice(self._at_work())
                time.sleep(chance.uniform(0, LONGEST_PEACE_S))
                victim.kill()
                self._start(victim)
            self._drain(is_drained)
        finally:
            for worker in self.workers:
                worker.kill()

    def lines(self, kind: str) -> Iterator[list[str]]:
        """Yield the words of the ledger's lines that begin with *kind*."""
        for line in self.ledger.read_text().splitlines():
            if line.startswith(f"{kind} "):
                yield line.split()[1:]

    def _start(self, worker: Worker) -> None:
        self.starts[worker.name] += 1
        worker.start()

    def _at_work(self) -> list[Worker]:
        """Return who has begun, waiting until there is somebody."""
        deadline = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < deadline:
            begun = self._ready()
            ready = [w for w in self.workers if begun[w.name] >= self.starts[w.name]]
            if ready:
                return ready
            time.sleep(0.002)
        raise AssertionError("nobody began")

    def _ready(self) -> Counter[str]:
        """Return how often each worker has begun, reading on from where it was read before."""
        if self.ledger.exists():
            with self.ledger.open() as lines:
                lines.seek(self._read_to)
                whole, _, _ = lines.read().rpartition("\n")
            self._read_to += len(whole) + bool(whole)
            self._begun.update(
                line.split()[1] for line in whole.splitlines() if line.startswith("ready ")
            )
        return self._begun

    def _drain(self, is_drained: Callable[[], bool]) -> None:
        """End those who add to the work, and wait for the rest to do it."""
        for worker in self.workers:
            if worker.adds_work:
                worker.kill()
        deadline = time.monotonic() + DRAINED_WITHIN_S
        while not is_drained():
            assert time.monotonic() < deadline, "it was not drained in time"
            time.sleep(0.02)


@dataclass(frozen=True)
class Verdict:
    """What the ledger says after all."""

    acknowledged: int
    applied: int
    repeated: int
    lost: Sequence[tuple[str, int]]
    reordered: Sequence[tuple[str, int, int]]

    def __str__(self) -> str:
        return (
            f"{self.acknowledged} acknowledged, {self.applied} applied, {self.repeated} more than "
            f"once, {len(self.lost)} lost, {len(self.reordered)} out of order"
        )


def judge(soak: Soak, overtaken: Collection[tuple[str, int]] = frozenset()) -> Verdict:
    """Return whether every acknowledged event was applied, and each user's in their order.

    An event may be applied again by whoever takes over from one that was killed; but
    never after a newer one of its user. What a holder does whose lease has run out is
    told by its older fence, and turned away. Of *overtaken* somebody has said that a
    newer one is told in their stead: nobody has to hear of them, before it or after it.
    """
    acknowledged = {(uid, int(number)) for uid, number, *_ in soak.lines("acknowledged")}
    applied: list[tuple[str, int]] = []
    reordered = []
    newest: dict[str, int] = {}
    fences: dict[tuple[str, int], int] = {}
    for uid, text, fence, *_ in soak.lines("applied"):
        number = int(text)
        if int(fence) < fences.get((uid, number), 0):
            continue
        fences[uid, number] = int(fence)
        applied.append((uid, number))
        if number < newest.get(uid, -1) and (uid, number) not in overtaken:
            reordered.append((uid, newest[uid], number))
        newest[uid] = max(number, newest.get(uid, -1))
    return Verdict(
        acknowledged=len(acknowledged),
        applied=len(set(applied)),
        repeated=len(applied) - len(set(applied)),
        lost=sorted(acknowledged - set(applied) - set(overtaken)),
        reordered=reordered,
    )
