"""The benchmark's load: what it counts, and what it must not leave out."""

import asyncio
import math
from itertools import cycle
from pathlib import Path

import pytest

from benchmarks.bench import run
from benchmarks.load import Load, measured, percentile
from benchmarks.users import call_of_vendor
from benchmarks.vendor import a_vendor


@pytest.mark.parametrize(
    ("durations", "part", "expected"),
    [
        ([0.01] * 49 + [5.0], 0.99, 5.0),
        ([0.01] * 49 + [5.0], 0.5, 0.01),
        ([0.01] * 99 + [5.0], 0.99, 0.01),
        ([3.0, 1.0, 2.0], 0.5, 2.0),
        ([3.0, 1.0, 2.0], 0.0, 1.0),
        ([3.0, 1.0, 2.0], 1.0, 3.0),
    ],
)
def test_percentiles_are_of_the_nearest_rank(
    durations: list[float], part: float, expected: float
) -> None:
    """The one slow probe of fifty is their 99th percentile, and not left out."""
    assert percentile(durations, part) == expected


def test_nothing_has_no_percentile() -> None:
    """A figure of nothing reaches no goal."""
    assert math.isnan(percentile([], 0.99))


def test_what_could_not_be_asked_is_counted(tmp_path: Path) -> None:
    """With one connection and a slow vendor most of what is due stays unsent."""
    asks = cycle([call_of_vendor("alice")])
    with a_vendor(tmp_path, speaks_tls=False) as vendor:
        vendor.behaves(latency_s=0.2)
        load = Load(vendor.process.port, asks, per_s=100)

        async def ask() -> None:
            load.start(1)
            await measured(load, 0.5, 0.0, lambda: 0.0)
            await asyncio.sleep(0)

        run(ask())

    assert load.unsent > 10
