"""A disk that fails beneath SQLite: what was not synced is not acknowledged."""

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from tests.databases import a_sqlite_database
from tests.faults.nursery import ROOT, environment
from tests.faults.rows import Row
from tokensvc.adapters.database import Database
from tokensvc.adapters.inbox import SQLInbox

pytestmark = pytest.mark.skipif(
    shutil.which("strace") is None, reason="strace was not found; get it with: apt install strace"
)
DISK_FAILS = Row("SQLite", "the disk fails to sync (EIO)", 503, "storage_unavailable", "disk_error")
DISK_FULL = Row("SQLite", "the disk is full (ENOSPC)", 503, "storage_unavailable", "disk_full")
ROWS: Final = (DISK_FAILS, DISK_FULL)
PUTS: Final = 60
INJECTED: Final = "INJECTED"
_ENDS_IN_SUCCESS: Final = re.compile(r"\bf(data)?sync\(.*= 0$|f(data)?sync resumed>.*= 0$")


def put_under(folder: Path, injection: str) -> tuple[Database, Sequence[str], Sequence[str]]:
    """Put with *injection* in the system calls; return database, ledger and trace."""
    url = a_sqlite_database(folder / "tokensvc.db")
    ledger, trace = folder / "ledger", folder / "trace"
    subprocess.run(  # noqa: S603 (our own command)
        [
            *(shutil.which("strace") or "", "-f", "-qq", "-s", "64", "-o", str(trace)),
            *("-e", "trace=write,fsync,fdatasync,pwrite64", "-e", f"inject={injection}"),
            *(sys.executable, "-m", "tests.faults.soak_child"),
            *("try", url, str(ledger), "app", str(PUTS)),
        ],
        cwd=ROOT,
        env={**environment(), "PYTHONDONTWRITEBYTECODE": "1"},
        check=True,
        timeout=100,
    )
    return Database(url), ledger.read_text().splitlines(), trace.read_text().splitlines()


def numbers(ledger: Sequence[str], kind: str) -> list[int]:
    return [int(line.split()[2]) for line in ledger if line.startswith(kind)]


def stored(database: Database) -> set[int]:
    """Return what a fresh process finds, as after a crash."""
    inbox = SQLInbox(database)
    found: set[int] = set()
    while claim := inbox.claim(lease_s=60):
        found.add(claim.event.version)
        inbox.done(claim)
    database.close()
    return found


@pytest.mark.parametrize(
    ("row", "injection"),
    [
        (DISK_FAILS, "fsync,fdatasync:error=EIO:when=10..19"),
        (DISK_FAILS, "fsync,fdatasync:error=EIO:when=5+3"),
        (DISK_FULL, "pwrite64:error=ENOSPC:when=30..49"),
    ],
    ids=["for a while", "now and again", "full"],
)
def test_failing_disk(tmp_path: Path, row: Row, injection: str) -> None:
    """During the fault puts are refused for its reason; what was acknowledged is there after it."""
    database, ledger, trace = put_under(tmp_path, injection)

    acknowledged = numbers(ledger, "acknowledged")
    refused = [line.split() for line in ledger if line.startswith("refused")]
    assert any(INJECTED in line for line in trace)
    assert {words[3] for words in refused} == {row.operator}
    assert len(acknowledged) + len(refused) == PUTS
    assert set(acknowledged) <= stored(database)
    if ".." in injection:
        # Right after the fault, without a restart.
        assert max(acknowledged) == PUTS - 1 > max(int(words[2]) for words in refused)


def test_acknowledged_means_synced(tmp_path: Path) -> None:
    """Before each acknowledgement stands a sync of its own that succeeded."""
    _, _, trace = put_under(tmp_path, "fsync,fdatasync:error=EIO:when=4+4")

    syncs, acknowledged = 0, 0
    for line in trace:
        if _ENDS_IN_SUCCESS.search(line) and INJECTED not in line:
            syncs += 1
        elif '"acknowledged ' in line:
            assert syncs > 0
            syncs, acknowledged = 0, acknowledged + 1
        elif '"refused ' in line:
            syncs = 0
    assert acknowledged > PUTS / 4


def test_without_a_fault_nothing_is_refused(tmp_path: Path) -> None:
    """The same puts on a disk that works are all acknowledged."""
    database, ledger, _ = put_under(tmp_path, "fsync:error=EIO:when=60000")

    assert numbers(ledger, "acknowledged") == list(range(PUTS))
    assert stored(database) == set(range(PUTS))
