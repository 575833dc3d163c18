"""The benchmark: tokensvc beside its peers on one fake vendor, written to benchmarks/RESULTS.md.

Run: make bench, or make bench ARGS="--only hang --rounds 1"
"""

import argparse
import gc
import resource
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import report
from benchmarks.arguments import checkout, count, duration
from benchmarks.bench import SECONDS, SOAK_S, Plan, a_bench
from benchmarks.endings import end_in_order
from benchmarks.machine import described
from benchmarks.scenarios import ON_REQUEST, SCENARIOS

HERE = Path(__file__).parent


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Return what was asked for, by the command line unless *words* are given."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only",
        action="append",
        choices=SCENARIOS,
        help="a scenario, several times for several; the rest is left out, and nothing is written",
    )
    parser.add_argument("--soak", action="store_true", help="the soak too, at the end: 10 minutes")
    parser.add_argument("--seconds", type=duration, help="of each measurement; 6, for the soak 600")
    parser.add_argument("--rounds", type=count, default=3, help="of each scenario; 3")
    parser.add_argument("--users", type=count, default=100_000, help="live users at most; 100000")
    parser.add_argument("--plain", action="store_true", help="let the vendor speak HTTP, not HTTPS")
    parser.add_argument("--beside", type=checkout, help="another checkout, for the scenario cost")
    parser.add_argument("--out", type=Path, help="where to write the results even so")
    return parser.parse_args(words)


def main() -> None:
    """Measure, and print or write what was found."""
    chosen = arguments()
    names = chosen.only or [name for name in SCENARIOS if name not in ON_REQUEST]
    names += ["soak"] if chosen.soak and "soak" not in names else []
    plan = Plan(
        chosen.seconds or SECONDS,
        chosen.rounds,
        live_users=chosen.users,
        soak_s=chosen.seconds or SOAK_S,
        beside=chosen.beside,
    )
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    began_at = time.monotonic()
    with (
        tempfile.TemporaryDirectory() as folder,
        a_bench(plan, Path(folder), speaks_tls=not chosen.plain) as bench,
    ):
        gc.freeze()
        for name in names:
            print(f"{name}: {(SCENARIOS[name].__doc__ or '').strip()}", flush=True)
            SCENARIOS[name](bench)
        notes = bench.notes
    out = chosen.out or (None if chosen.only else HERE)
    page = report.written(
        notes, plan, described(), speaks_tls=not chosen.plain, has_plot=out is not None
    )
    print(f"\n{page}\n{time.monotonic() - began_at:.0f} s in all")
    if out:
        files = report.write(page, notes, out)
        print(f"Written: {', '.join(files) or 'nothing, for no goal was measured'}")


if __name__ == "__main__":
    end_in_order()
    main()
