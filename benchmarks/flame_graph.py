"""A flame graph of the login path: tokensvc under load, watched by py-spy.

Run: make profile, or make profile ARGS="--seconds 60 --out FILE"
"""

import argparse
import asyncio
import os
import signal
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from benchmarks.arguments import duration
from benchmarks.bench import CONNECTIONS, Plan, a_bench, run
from benchmarks.endings import end_in_order
from benchmarks.load import Load
from benchmarks.servers import BENCH_BIN

RATE_PER_S = 500
WRITTEN_WITHIN_S = 60.0
# Nearly all threads wait at any moment, and would fill the picture: only the one that has the
# interpreter is looked at. Nobody is stopped for it, or each look would hold up a whole worker.
LOOKS = ("--gil", "--nonblocking", "--rate", str(RATE_PER_S))


async def ask(load: Load, seconds: float) -> None:
    """Log in for so long."""
    load.start(CONNECTIONS)
    await asyncio.sleep(seconds)
    await load.stop()


def is_whole(picture: Path) -> bool:
    """Return whether it is there, to its end."""
    return picture.exists() and picture.read_text().rstrip().endswith("</svg>")


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(prog="make profile", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=duration, default=20, help="of load; 20")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/profile.svg"))
    chosen = parser.parse_args()
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.unlink(missing_ok=True)
    # It starts what it watches: to look at another's process it would need to be root.
    py_spy = (str(BENCH_BIN / "py-spy"), "record", "--subprocesses", *LOOKS)
    with (
        tempfile.TemporaryDirectory() as folder,
        a_bench(Plan(), Path(folder), speaks_tls=True) as bench,
    ):
        server = bench.own()
        watched = replace(
            server, words=(*py_spy, "--output", str(chosen.out.resolve()), "--", *server.words)
        )
        with bench.running(watched) as process:
            run(ask(Load(process.port, bench.asks), chosen.seconds))
            os.kill(process.pid, signal.SIGINT)
            deadline = time.monotonic() + WRITTEN_WITHIN_S
            while not is_whole(chosen.out):
                if time.monotonic() > deadline:
                    raise TimeoutError(process.log.read_text()[-2000:])
                time.sleep(0.1)
    print(f"Written: {chosen.out}")


if __name__ == "__main__":
    end_in_order()
    main()
