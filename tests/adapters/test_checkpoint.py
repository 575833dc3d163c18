"""A checkpoint: what counts after a crash, and whom it belongs to."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tokensvc.adapters.checkpoint import Checkpoint, CheckpointError, Progress


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "users.csv.checkpoint"


def resumed(path: Path, work: str = "work") -> Progress:
    """Return how far the import has come by the file alone."""
    checkpoint = Checkpoint.resume(path, work)
    checkpoint.close()
    return checkpoint.progress


def test_goes_on_where_it_was(path: Path) -> None:
    """What was dealt with is known, and what was in flight; nobody else can read the file."""
    checkpoint = Checkpoint.begin(path, "work")
    checkpoint.sending(50)
    checkpoint.dealt_with(50, {"created": 49, "failed x": 1}, failed_bytes=70)
    checkpoint.sending(30)
    checkpoint.close()

    assert resumed(path) == Progress(50, 30, 70, {"created": 49, "failed x": 1})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("cut", range(1, 40))
def test_torn_line(path: Path, cut: int) -> None:
    """A line that was not written to its end says nothing, and later ones follow a whole one."""
    checkpoint = Checkpoint.begin(path, "work")
    checkpoint.dealt_with(50, {}, failed_bytes=0)
    checkpoint.sending(50)
    checkpoint.close()
    path.write_bytes(path.read_bytes()[:-cut])

    again = Checkpoint.resume(path, "work")
    assert again.progress == Progress(50)
    again.dealt_with(50, {}, failed_bytes=0)
    again.close()

    assert resumed(path).rows == 100


def test_first_line_torn(path: Path) -> None:
    """Before the first line was whole nothing had been sent."""
    Checkpoint.begin(path, "work").close()
    path.write_bytes(path.read_bytes()[:5])

    assert resumed(path) == Progress()
    assert resumed(path) == Progress()


def test_nothing_to_resume(path: Path) -> None:
    """To resume what never began is to begin."""
    assert resumed(path) == Progress()


def test_begins_once(path: Path) -> None:
    """A second import of the same file is told of the first."""
    Checkpoint.begin(path, "work").close()

    with pytest.raises(CheckpointError, match="--resume"):
        Checkpoint.begin(path, "work")


def test_other_work(path: Path) -> None:
    """It is bound to its file and options."""
    Checkpoint.begin(path, "work").close()

    with pytest.raises(CheckpointError, match="another file"):
        Checkpoint.resume(path, "other work")
    assert resumed(path) == Progress()


def test_in_use(path: Path) -> None:
    """Two imports of one file at the same time would send everybody twice."""
    checkpoint = Checkpoint.begin(path, "work")

    with pytest.raises(CheckpointError, match="in use"):
        Checkpoint.resume(path, "work")
    checkpoint.close()


WORK = b'{"work": "work"}\n'


@pytest.mark.parametrize(
    "content",
    [
        b"x\n",
        b"important\nvery important",
        b'[{"uid": "ann"}]',
        WORK + b'{"rows": -1}\n',
        WORK + b"[]\n",
        WORK + b'{"rows": true, "in_flight": 0, "failed_bytes": 0, "counts": {}}\n',
        WORK + b'{"rows": 1, "in_flight": 0.0, "failed_bytes": 0, "counts": {}}\n',
        WORK + b'{"rows": 1, "in_flight": 0, "failed_bytes": 0, "counts": {"created": "1"}}\n',
        WORK + b'{"rows": 1, "in_flight": 0, "failed_bytes": 0, "counts": {"created": 1e308}}\n',
    ],
)
def test_no_checkpoint(path: Path, content: bytes) -> None:
    """What is something else is not gone on from, and is left as it is."""
    path.write_bytes(content)

    with pytest.raises(CheckpointError, match="is no checkpoint"):
        Checkpoint.resume(path, "work")
    assert path.read_bytes() == content


FULL_DISK = """
import resource, sys
from pathlib import Path
from tokensvc.adapters.checkpoint import Checkpoint, CheckpointError

path = Path(sys.argv[1])
checkpoint = Checkpoint.begin(path, "work")
room = path.stat().st_size + 10
resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
try:
    checkpoint.sending(50)
except CheckpointError as error:
    print(error)
"""


def test_disk_with_room_for_a_part_of_a_line(path: Path) -> None:
    """What is not there to its end is no written line: the next step is not taken."""
    done = subprocess.run(  # noqa: S603 (our own code)
        [sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, check=True
    )

    assert b"cannot be written" in done.stdout
    assert resumed(path) == Progress()


def test_end(path: Path) -> None:
    """An import that came to its end leaves none."""
    checkpoint = Checkpoint.begin(path, "work")
    checkpoint.remove()
    checkpoint.close()

    assert not path.exists()


def test_place_that_cannot_be_written_to() -> None:
    """There is a sentence."""
    with pytest.raises(CheckpointError, match="cannot be written"):
        Checkpoint.begin(Path("/proc/no/such.checkpoint"), "work")
