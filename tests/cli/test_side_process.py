"""A process beside the server: it is there again when it ends, and ends with its server."""

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tokensvc.cli.side_process import SideProcess

WRITER = "import os, sys; open(sys.argv[1], 'a').write(f'{os.getpid()}\\n')"
LIVES = f"{WRITER}; import time; time.sleep(60)"


@contextmanager
def beside(script: str, file: Path, *, first_pause_s: float = 0.01) -> Iterator[SideProcess]:
    """Keep a script running that writes its number into *file* each time it starts."""
    process = SideProcess([sys.executable, "-c", script, str(file)], first_pause_s=first_pause_s)
    process.start()
    try:
        yield process
    finally:
        process.stop()


def starts(file: Path, *, at_least: int) -> list[str]:
    """Return the starts so far, once there are that many."""
    ends_at = time.monotonic() + 20
    while time.monotonic() < ends_at:
        found = file.read_text().splitlines() if file.exists() else []
        if len(found) >= at_least:
            return found
        threading.Event().wait(0.02)
    raise AssertionError("not started often enough")


def test_it_is_started_again(tmp_path: Path) -> None:
    """A process that ends has a successor."""
    with beside(WRITER, tmp_path / "starts"):
        assert len(set(starts(tmp_path / "starts", at_least=3))) >= 3


def test_it_ends_with_its_server(tmp_path: Path) -> None:
    """Once stopped the process is gone, and no other takes its place."""
    with beside(LIVES, tmp_path / "starts"):
        (pid,) = starts(tmp_path / "starts", at_least=1)
        assert Path(f"/proc/{pid}").exists()

    assert not Path(f"/proc/{pid}").exists()
    assert starts(tmp_path / "starts", at_least=1) == [pid]


def test_ctrl_c_is_for_the_server(tmp_path: Path) -> None:
    """What a terminal sends to all of the server's processes does not reach this one."""
    with beside(LIVES, tmp_path / "starts"):
        (pid,) = starts(tmp_path / "starts", at_least=1)

        assert os.getpgid(int(pid)) != os.getpgid(0)


def test_one_that_ends_at_once_is_not_started_all_the_time(tmp_path: Path) -> None:
    """Between two starts there is a pause, which the end of the server does not wait for."""
    began = time.monotonic()
    with beside(WRITER, tmp_path / "starts", first_pause_s=30.0):
        starts(tmp_path / "starts", at_least=1)

    assert time.monotonic() - began < 20
    assert len(starts(tmp_path / "starts", at_least=1)) == 1
