"""A nursery: a process that has loaded everything, and forks whoever is wanted at once.

    python -m tests.faults.nursery MODULE

reads a JSON list of words per line, forks a child that calls MODULE's `main` with
them, and answers with its process id.
"""

import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

ROOT: Final = Path(__file__).parents[2]


def environment() -> Mapping[str, str]:
    """Return what a child process of the tests needs to know."""
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}


@dataclass
class Nursery:
    """The process, seen from outside; ends with the block."""

    module: str

    def __enter__(self) -> Self:
        self._popen = subprocess.Popen(  # noqa: S603 (our own program)
            [sys.executable, "-m", "tests.faults.nursery", self.module],
            cwd=ROOT,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._popen.communicate(timeout=30)

    def fork(self, words: Sequence[str]) -> int:
        """Return the process id of a new child."""
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        self._popen.stdin.write(json.dumps(list(words)) + "\n")
        self._popen.stdin.flush()
        return int(self._popen.stdout.readline())


def serve(main: Callable[..., None]) -> None:
    """Fork a child for each line until there are no more."""
    # So that the dead are buried without being asked for.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in iter(sys.stdin.readline, ""):
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            main(*json.loads(line))
            os._exit(0)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve(importlib.import_module(sys.argv[1]).main)
