"""Scenarios: what is done to the servers, and which figures that gives."""

import asyncio
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import cycle
from typing import Final

from benchmarks.bench import CONNECTIONS, Bench, Plan, run
from benchmarks.load import Load, measured, percentile, probe
from benchmarks.notebook import OWN
from benchmarks.processes import NoAnswerError, Process
from benchmarks.servers import WORKERS, Server, peers, tokensvc
from benchmarks.users import OK, call_of_vendor, forgeries, logins

PROBES: Final = 50
PROBED_WITHIN_S: Final = 5.0
HANG_S: Final = 5.0
CROWD: Final = 1_000
"""Connections at once while the vendor hangs, and at most while there is too much to do."""
STORM: Final = 256
STORM_LATENCY_S: Final = 0.08
OVERLOAD: Final = 3
FEW_USERS: Final = 100
STARTS: Final = 5
QUOTA_PER_S: Final = 333


def own_cost(bench: Bench) -> None:
    """Measure CPU and logins a second of tokensvc alone, on both limiters."""
    side_by_side(bench, checkouts(bench))


def checkouts(bench: Bench) -> list[Server]:
    """Return tokensvc on each limiter; where another checkout is beside it, both of each."""
    own = [bench.own(), bench.own_on_redis()]
    if not bench.plan.beside:
        return own
    command = (str(bench.plan.beside / ".venv/bin/tokensvc"),)
    beside = [
        tokensvc(bench.folder, command=command, redis_url=url) for url in ("", bench.redis_url)
    ]
    return [*own, *(replace(server, name=f"{server.name}, beside") for server in beside)]


def the_field(bench: Bench) -> None:
    """Measure CPU and logins a second of tokensvc and all its peers, side by side."""
    found = peers(bench.folder)
    for server in found:
        if server.missing:
            bench.notes.remark(f"{server.name} was left out: {server.missing}.")
    able = [server for server in found if not server.missing]
    side_by_side(bench, [bench.own(), bench.own_on_redis()], able)


def side_by_side(bench: Bench, own: Sequence[Server], others: Sequence[Server] = ()) -> None:
    """Measure all of them by turns; the others go on without one of them that does not answer.

    Raises NoAnswerError where one of our own does not.
    """
    able = list(others)
    for number in range(1, bench.plan.rounds + 1):
        for server in own:
            _measure(bench, server)
        for server in tuple(able):
            try:
                _measure(bench, server)
            except NoAnswerError as error:
                able.remove(server)
                print(f"  {error}", flush=True)
                bench.notes.remark(
                    f"{server.name} was left out from round {number} on: it does not answer."
                )


def _measure(bench: Bench, server: Server) -> None:
    with bench.running(server) as process:
        tally, figures = bench.closed_loop(process)
    bench.notes.note(server.name, **figures)
    if tally.errors:
        bench.notes.remark(f"{server.name} answered wrongly: {dict(tally.errors)}.")


def storm(bench: Bench) -> None:
    """Ask on 256 connections, while the vendor takes 80 ms."""
    for _ in range(bench.plan.rounds):
        with bench.running(bench.own()) as process:
            bench.vendor.behaves(latency_s=STORM_LATENCY_S)
            tally, _ = bench.closed_loop(process, connections=STORM)
        bench.notes.note(
            OWN,
            storm_per_s=tally.per_s,
            storm_p99_ms=tally.ms(0.99),
            storm_errors=tally.wrong,
            storm_refused=len(tally.refused_s),
        )


def latency(bench: Bench) -> None:
    """Measure what one connection waits for beyond the vendor's own time."""
    direct = cycle([call_of_vendor("user-1")])
    for _ in range(bench.plan.rounds):
        with bench.running(bench.own()) as process:
            directly = Load(bench.vendor.process.port, direct, tls=bench.vendor.tls)
            through = Load(process.port, bench.asks)
            for load in (directly, through):
                run(_kept_up(bench, load, 1))
        vendors_ms, all_ms = directly.tally.ms(0.5), through.tally.ms(0.5)
        bench.notes.note(OWN, added_ms=all_ms - vendors_ms, vendors_ms=vendors_ms)


async def _kept_up(bench: Bench, load: Load, connections: int) -> None:
    load.start(connections)
    await measured(load, bench.plan.seconds, bench.plan.warm_s, lambda: 0.0)


def hang(bench: Bench) -> None:
    """Let the vendor hang for 5 s under 1,000 connections, and probe the health."""
    for _ in range(bench.plan.rounds):
        with bench.running(bench.own()) as process:
            probes, wrong = run(_probed(bench, process))
        in_time_s = [took_s for status, took_s in probes if status == OK]
        bench.notes.note(
            OWN,
            probes_answered=len(in_time_s),
            probe_p50_ms=percentile(in_time_s, 0.5) * 1000,
            probe_p99_ms=percentile(in_time_s, 0.99) * 1000,
            hang_errors=wrong,
        )


async def _probed(bench: Bench, process: Process) -> tuple[list[tuple[int, float]], int]:
    load = Load(process.port, bench.asks).start(CROWD)
    await asyncio.sleep(bench.plan.warm_s + 1)
    await asyncio.to_thread(bench.vendor.behaves, hang_s=HANG_S)
    async with asyncio.TaskGroup() as group:
        probes = []
        for _ in range(PROBES):
            probes.append(group.create_task(probe(process.port, "/livez", PROBED_WITHIN_S)))
            await asyncio.sleep(HANG_S / PROBES)
    await load.stop()
    return [task.result() for task in probes], load.tally.wrong


def overload(bench: Bench) -> None:
    """Ask for three times as many logins as 64 connections get, at a steady rate."""
    for _ in range(bench.plan.rounds):
        with bench.running(bench.own()) as process:
            tally, _ = bench.closed_loop(process)
            most, _ = bench.closed_loop(process, connections=STORM)
            load = Load(process.port, bench.asks, per_s=OVERLOAD * tally.per_s)
            run(_kept_up(bench, load, CROWD))
        served, refused_s = load.tally, load.tally.refused_s
        bench.notes.note(
            OWN,
            capacity_per_s=tally.per_s,
            most_per_s=most.per_s,
            offered_per_s=OVERLOAD * tally.per_s,
            served_per_s=served.per_s,
            served_part=served.per_s / tally.per_s,
            shed_per_s=len(refused_s) / served.seconds,
            shed_p50_ms=percentile(refused_s, 0.5) * 1000,
            shed_p99_ms=percentile(refused_s, 0.99) * 1000,
            served_p99_ms=served.ms(0.99),
            overload_unsent=load.unsent,
            overload_errors=served.wrong,
        )


def refused(bench: Bench) -> None:
    """Send session tokens that somebody else has signed."""
    forged = forgeries(FEW_USERS)
    for _ in range(bench.plan.rounds):
        with bench.running(bench.own()) as process:
            _, figures = bench.closed_loop(process, forged)
        bench.notes.note(
            OWN,
            refused_per_s=figures["per_s"],
            refused_cpu_us=figures["cpu_us"],
            refused_errors=figures["errors"],
        )


def live_users(bench: Bench) -> None:
    """Compare a worker that counts 100 users with one that counts 100,000."""
    server = bench.own(TOKENSVC_SERVER__WORKERS="1")
    few, many = logins(FEW_USERS), logins(bench.plan.live_users, tokens_each=1)
    with bench.running(server) as of_few, bench.running(server) as of_many:
        run(_filled(Load(of_many.port, many), bench.plan.live_users))
        for _ in range(bench.plan.rounds):
            _, cheap = bench.closed_loop(of_few, few)
            _, dear = bench.closed_loop(of_many, many)
            bench.notes.note(
                OWN,
                few_users_cpu_us=cheap["cpu_us"],
                many_users_cpu_us=dear["cpu_us"],
                users_ratio=dear["cpu_us"] / cheap["cpu_us"],
                users_errors=cheap["errors"] + dear["errors"],
            )


async def _filled(load: Load, users: int) -> None:
    load.start(CONNECTIONS)
    while len(load.tally.good_s) < users:  # noqa: ASYNC110 (nobody would set an event)
        await asyncio.sleep(0.1)
    await load.stop()


def footprint(bench: Bench) -> None:
    """Weigh the memory after some load, and time the start."""
    for number in range(max(STARTS, bench.plan.rounds)):
        with bench.running(bench.own()) as process:
            bench.notes.note(OWN, ready_after_s=process.ready_after_s)
            if number < bench.plan.rounds:
                bench.closed_loop(process)
                bench.notes.note(OWN, worker_mb=process.memory_mb() / WORKERS)


def soak(bench: Bench) -> None:
    """Spend the vendor's whole quota, 333 logins a second, for ten minutes."""
    with bench.running(bench.own()) as process:
        load = Load(process.port, bench.asks, per_s=QUOTA_PER_S)
        sizes_mb = run(_soaked(load, process, bench.plan))
    tenth = max(1, len(sizes_mb) // 10)
    first, last = (
        statistics.median(part) for part in (sizes_mb[tenth : 2 * tenth], sizes_mb[-tenth:])
    )
    bench.notes.note(
        OWN,
        soak_s=bench.plan.soak_s,
        soak_errors=load.tally.wrong + len(load.tally.refused_s),
        soak_refused=len(load.tally.refused_s),
        soak_p99_ms=load.tally.ms(0.99),
        soak_growth_percent=(last / first - 1) * 100,
    )


async def _soaked(load: Load, process: Process, plan: Plan) -> list[float]:
    load.start(STORM)
    await asyncio.sleep(plan.warm_s)
    load.count_anew()
    sizes_mb, until = [], time.monotonic() + plan.soak_s
    while time.monotonic() < until:
        await asyncio.sleep(plan.soak_s / 100)
        sizes_mb.append(process.memory_mb())
    await load.stop()
    return sizes_mb


SCENARIOS: Final[Mapping[str, Callable[[Bench], None]]] = {
    "field": the_field,
    "storm": storm,
    "latency": latency,
    "hang": hang,
    "overload": overload,
    "refused": refused,
    "users": live_users,
    "footprint": footprint,
    "cost": own_cost,
    "soak": soak,
}
"""All of them, by the names they are asked for by."""

ON_REQUEST: Final = frozenset({"cost", "soak"})
"""The field has the cost too, and the soak takes long."""
