"""Metrics of several worker processes: any of them tells what all have counted."""

import os
import re
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import requests

from tests.builders import a_token, an_environment, bearer
from tests.cli.test_commands import run
from tests.processes import Process, serving
from tests.raw_server import an_answer, raw_server

TOKEN: Final = b'{"data": {"uid": "alice", "authToken": "alice_1"}}'
CHOSEN: Final = {
    "TOKENSVC_LIMITS__PER_USER": "100000 per minute",
    "TOKENSVC_HTTP__METRICS": "true",
    "TOKENSVC_SERVER__WORKERS": "2",
}


def login(process: Process) -> int:
    return requests.post(
        f"{process.url}/v1/auth-tokens", headers=bearer(a_token()), timeout=30
    ).status_code


def logins_counted(process: Process) -> int:
    """Return how many logins a worker says there were, in all of them."""
    text = requests.get(f"{process.url}/metrics", timeout=10).text
    found = re.findall(r'tokensvc_requests_total\{.*status="201"\} (\d+)', text)
    return sum(map(int, found))


def test_workers_count_together(tmp_path: Path) -> None:
    """Each scrape meets one worker or the other, and says the same; the files go at the end."""
    (tmp_path / "tmp").mkdir()
    with (
        raw_server(an_answer(TOKEN)) as vendor,
        serving(tmp_path, vendor_url=vendor.url, TMPDIR=str(tmp_path / "tmp"), **CHOSEN) as process,
    ):
        with ThreadPoolExecutor(16) as pool:
            statuses = list(pool.map(lambda _: login(process), range(100)))
        scrapes = {logins_counted(process) for _ in range(20)}
        (folder,) = (tmp_path / "tmp").iterdir()
        mode = folder.stat().st_mode & 0o777
        counters = len(list(folder.glob("counter_*.db")))
        code = process.end()

    assert statuses == [201] * 100
    assert scrapes == {100}
    assert (mode, counters, code) == (0o700, 2, 0)
    assert list((tmp_path / "tmp").iterdir()) == []


def test_counts_outlive_a_worker(tmp_path: Path) -> None:
    """Workers that are replaced leave their counts: a counter never falls."""
    with (
        raw_server(an_answer(TOKEN)) as vendor,
        serving(tmp_path, vendor_url=vendor.url, **CHOSEN) as process,
    ):
        login(process)
        os.kill(process.popen.pid, signal.SIGHUP)
        while "Stopped old worker-2" not in process.stderr.read_text():
            assert process.popen.poll() is None
        login(process)

        assert logins_counted(process) == 2


def test_folder_that_is_none(tmp_path: Path) -> None:
    """A folder of the operator's own choice that is not there is a sentence, not a traceback."""
    chosen = an_environment(
        **CHOSEN, PROMETHEUS_MULTIPROC_DIR=str(tmp_path / "none"), TOKENSVC_SERVER__PORT="9"
    )

    done = run("serve", environ=chosen)

    assert done.returncode == 1
    assert "PROMETHEUS_MULTIPROC_DIR is no folder" in done.stderr
    assert "Traceback" not in done.stderr
