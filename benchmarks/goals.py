"""Goals: what must be reached, what is aimed at, and whether it was."""

import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from benchmarks.notebook import OWN, OWN_ON_REDIS, Notebook

Figure = Callable[[Notebook], float | None]


@dataclass(frozen=True, slots=True)
class Goal:
    """One figure, the worst that it must be, and what it should be."""

    text: str
    figure: Figure
    must: float | None
    aim: float | None = None
    unit: str = ""
    is_most: bool = True
    """Whether the figure should be at most so much; otherwise at least."""

    def row(self, notes: Notebook) -> str | None:
        """Return the goal as a line of a table, or None if it was not measured."""
        measured = self.figure(notes)
        if measured is None:
            return None
        cells = [self.text, f"**{number(measured)}{self.unit}**"]
        for limit in (self.must, self.aim):
            cells += (
                ["", ""] if limit is None else [self._told(limit), self._verdict(measured, limit)]
            )
        return f"| {' | '.join(cells)} |"

    def _told(self, limit: float) -> str:
        return f"{'≤' if self.is_most else '≥'} {number(limit)}{self.unit}"

    def _verdict(self, measured: float, limit: float) -> str:
        reaches = operator.le if self.is_most else operator.ge
        return "yes" if reaches(measured, limit) else "**no**"


def number(value: float) -> str:
    """Return *value* with as many digits as say something."""
    if value >= 100:  # noqa: PLR2004 (three digits say enough)
        return f"{value:,.0f}"
    return f"{value:.3g}"


def of(name: str, server: str = OWN) -> Figure:
    """Return how to look up the median of a figure."""
    return lambda notes: notes.median(server, name)


def less_than(peer: str) -> Figure:
    """Return how many times as much CPU *peer* takes as tokensvc."""
    return lambda notes: notes.ratio(peer, OWN, "cpu_us")


def as_much_as(peer: str) -> Figure:
    """Return how many times as much CPU tokensvc takes as *peer*."""
    return lambda notes: notes.ratio(OWN, peer, "cpu_us")


def at_least(
    text: str, figure: Figure, must: float, aim: float | None = None, unit: str = ""
) -> Goal:
    """Return a goal that is reached from below."""
    return Goal(text, figure, must, aim, unit, is_most=False)


def wrong(notes: Notebook) -> float | None:
    """Return how many answers of tokensvc were wrong, in whatever was measured."""
    names = ("errors", "storm_errors", "refused_errors", "users_errors")
    counts = [sum(notes.figures[OWN][name]) for name in names if name in notes.figures[OWN]]
    return sum(counts) if counts else None


GOALS: Final = (
    Goal("CPU per login, memory limiter", of("cpu_us"), 750, 500, " µs"),
    Goal("CPU per login, Redis limiter", of("cpu_us", OWN_ON_REDIS), 900, 650, " µs"),
    at_least("less CPU than tutorial Flask", less_than("tutorial Flask"), 10, 16, "x"),
    at_least("less CPU than FastAPI + httpx", less_than("FastAPI + httpx"), 5.5, 8, "x"),
    at_least("less CPU than careful Flask", less_than("careful Flask"), 2.5, 3.8, "x"),
    at_least("less CPU than Express + undici", less_than("Express + undici"), 1.2, 1.8, "x"),
    Goal("CPU against Starlette + aiohttp", as_much_as("Starlette + aiohttp"), 1.9, 1.25, "x"),
    at_least("logins a second", of("per_s"), 2_000, 2_600),
    at_least("256 connections, 80 ms vendor: logins a second", of("storm_per_s"), 1_800, 2_600),
    Goal("256 connections, 80 ms vendor: p99", of("storm_p99_ms"), None, 300, " ms"),
    Goal("added latency at one connection, p50", of("added_ms"), 1.3, 0.9, " ms"),
    at_least("vendor hung: health probes answered of 50", of("probes_answered"), 50, 50),
    Goal("vendor hung: health probes, p99", of("probe_p99_ms"), 250, 50, " ms"),
    Goal("vendor hung: answers other than 201 and 503", of("hang_errors"), 0),
    at_least("3x overload: part of capacity served", of("served_part"), 0.9),
    Goal("3x overload: the rest refused within (p99)", of("shed_p99_ms"), 100, None, " ms"),
    Goal("3x overload: answers other than 201 and 503", of("overload_errors"), 0),
    at_least("refused tokens a second", of("refused_per_s"), 3_500, 6_000),
    Goal("CPU at 100,000 live users against 100", of("users_ratio"), 1.1, None, "x"),
    Goal("memory per worker (PSS)", of("worker_mb"), 90, 60, " MB"),
    Goal("cold start to ready", of("ready_after_s"), 1.5, 0.8, " s"),
    Goal("333 logins/s for 10 min: errors", of("soak_errors"), 0),
    Goal("333 logins/s for 10 min: growth of memory", of("soak_growth_percent"), 5, None, " %"),
    Goal("errors in the closed loops", wrong, 0),
)


def rows(notes: Notebook) -> Iterator[str]:
    """Yield the table of the goals that were measured."""
    found = [row for goal in GOALS if (row := goal.row(notes))]
    if found:
        yield "| | measured | must | reached | aim | reached |"
        yield "|---|---|---|---|---|---|"
        yield from found
