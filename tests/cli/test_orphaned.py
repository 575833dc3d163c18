"""Orphaned processes: told to end, and made to where they do not."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

SCRIPT = """
import multiprocessing, os, signal, sys, time
from tokensvc.cli.orphaned import end_when_orphaned

def child():
    def ending(*_):
        print("told", flush=True)
        if sys.argv[1] == "obeys":
            os._exit(0)
    signal.signal(signal.SIGTERM, ending)
    end_when_orphaned(drain_s=0.5, notify=lambda _: None)
    print(os.getpid(), flush=True)
    while True:
        time.sleep(60)

multiprocessing.get_context("fork").Process(target=child).start()
signal.pause()
"""
ALONE = """
import threading
from tokensvc.cli.orphaned import end_when_orphaned

end_when_orphaned(drain_s=1, notify=print)
print(threading.active_count())
"""


@pytest.mark.parametrize("kind", ["obeys", "hangs"])
def test_an_orphan_ends_at_once_or_is_made_to(kind: str) -> None:
    """It has the time to drain that it was given, and no more."""
    with subprocess.Popen(  # noqa: S603 (our own script)
        [sys.executable, "-c", SCRIPT, kind], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout
        pid = parent.stdout.readline().strip()
        parent.kill()

        # The pipe is closed when its last writer is gone.
        assert parent.stdout.read() == "told\n"
        assert is_soon_gone(pid)


def test_one_without_a_parent_to_watch_goes_on() -> None:
    """A process that nobody has forked, as under another server, starts no thread for it."""
    done = subprocess.run(  # noqa: S603 (our own script)
        [sys.executable, "-c", ALONE],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )

    assert done.stdout == "1\n"


def is_soon_gone(pid: str) -> bool:
    ends_at = time.monotonic() + 10
    while time.monotonic() < ends_at:
        if not Path(f"/proc/{pid}").exists():
            return True
        threading.Event().wait(0.02)
    return False
