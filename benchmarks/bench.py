"""The bench: one fake vendor, one Redis, and how a server is measured between them."""

import asyncio
import time
from collections.abc import Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from benchmarks.load import Load, Tally, measured
from benchmarks.notebook import Notebook
from benchmarks.processes import Process
from benchmarks.servers import Server, a_redis, tokensvc
from benchmarks.users import Ask, logins
from benchmarks.vendor import Vendor, a_vendor

try:
    from uvloop import new_event_loop
except ImportError:  # the tests do without
    from asyncio import new_event_loop

T = TypeVar("T")

CONNECTIONS: Final = 64
LATENCY_S: Final = 0.02
SECONDS: Final = 6.0
SOAK_S: Final = 600.0
USERS: Final = 2_000


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    seconds: float = SECONDS
    rounds: int = 3
    warm_s: float = 2.0
    settle_s: float = 1.0
    """What a server has from its first answer on until all of its processes listen: one that
    begins later would get none of the connections, which are opened at once and kept."""
    live_users: int = 100_000
    soak_s: float = SOAK_S
    beside: Path | None = None
    """Another checkout of tokensvc, with a `.venv` of its own, to be measured side by side."""


@dataclass
class Bench:
    """What every scenario works with."""

    plan: Plan
    folder: Path
    vendor: Vendor
    redis_url: str
    notes: Notebook
    asks: Iterator[Ask]

    def own(self, **environ: str) -> Server:
        """Return tokensvc with its memory limiter."""
        return tokensvc(self.folder, **environ)

    def own_on_redis(self) -> Server:
        """Return tokensvc with its Redis limiter."""
        return tokensvc(self.folder, redis_url=self.redis_url)

    @contextmanager
    def running(self, server: Server) -> Iterator[Process]:
        """Run *server* until the block ends."""
        self.vendor.behaves(latency_s=LATENCY_S)
        with server.running(self.vendor, self.folder) as process:
            time.sleep(self.plan.settle_s)
            yield process

    def closed_loop(
        self, process: Process, asks: Iterator[Ask] | None = None, connections: int = CONNECTIONS
    ) -> tuple[Tally, dict[str, float]]:
        """Return what was answered under load, and the figures that every server has."""
        load = Load(process.port, asks or self.asks)
        own_cpu_s, vendor_cpu_s = time.process_time(), self.vendor.process.cpu_s()
        began_at = time.perf_counter()

        async def ask() -> float:
            load.start(connections)
            return await measured(load, self.plan.seconds, self.plan.warm_s, process.cpu_s)

        cpu_s = run(ask())
        took_s = time.perf_counter() - began_at
        tally = load.tally
        return tally, {
            "cpu_us": cpu_s * 1e6 / max(1, len(tally.good_s)),
            "per_s": tally.per_s,
            "p50_ms": tally.ms(0.5),
            "p99_ms": tally.ms(0.99),
            "errors": tally.wrong + len(tally.refused_s),
            "peak_rss_mb": process.peak_rss_mb(),
            "load_cores": (time.process_time() - own_cpu_s) / took_s,
            "vendor_cores": (self.vendor.process.cpu_s() - vendor_cpu_s) / took_s,
        }


def run(work: Coroutine[object, None, T]) -> T:
    """Run *work* in a loop of its own."""
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(work)


@contextmanager
def a_bench(plan: Plan, folder: Path, *, speaks_tls: bool) -> Iterator[Bench]:
    """Start vendor and Redis, and end them with the block."""
    with ExitStack() as stack:
        vendor = stack.enter_context(a_vendor(folder, speaks_tls=speaks_tls))
        redis_url = stack.enter_context(a_redis(folder))
        yield Bench(plan, folder, vendor, redis_url, Notebook(), logins(USERS))
