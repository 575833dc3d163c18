"""An import of 100,000 users against the emulator with its limits lifted: time and memory.

Run: .venv/bin/python benchmarks/import_users.py [USERS]
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
from tests.cli.listed import a_desk, a_list  # noqa: E402 (found once the path is there)

USERS = 100_000
MEASURE = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:]).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""
"""Runs a command from a small process: a child begins with its parent's peak of memory."""
RUNS = {
    "dry run": ("import", "users.csv", "--dry-run"),
    "import": ("import", "users.csv", "--bulk-per-minute", "100000", "--without-database"),
}
"""No listing: the emulator takes longer for a page the more users it has, and would be measured."""


def main() -> None:
    """Print a table: seconds, rows a second and the peak of memory of each command."""
    users = int(sys.argv[1]) if len(sys.argv) > 1 else USERS
    print(f"{users:,} users      seconds   rows/s   peak MB   exit code")
    with tempfile.TemporaryDirectory() as folder, a_desk(Path(folder)) as desk:
        desk.write("users.csv", a_list(users))
        for name, words in RUNS.items():
            started = time.perf_counter()
            done = subprocess.run(  # noqa: S603 (our own command)
                [sys.executable, "-c", MEASURE, *desk.words(*words)],
                cwd=folder,
                env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **desk.environ},
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                check=False,
            )
            seconds = time.perf_counter() - started
            peak_mb = int(done.stdout.splitlines()[-1]) / 1024
            rate = users / seconds
            print(f"{name:<16}{seconds:9.1f}{rate:9.0f}{peak_mb:10.0f}{done.returncode:12}")


if __name__ == "__main__":
    main()
