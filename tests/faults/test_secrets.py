"""Faults of secret files: rotated, missing, empty, weak; nobody notices, but the operator."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.builders import OTHER_SECRET, SECRET, a_token
from tests.faults.rows import Row
from tests.rotating import a_file, a_rig


@dataclass(frozen=True, slots=True)
class Fault:
    """A row, how its fault is made, and which secret is in force then."""

    row: Row
    begin: Callable[[Path], object]
    in_force: str = SECRET

    def __str__(self) -> str:
        return self.row.fault


def a_row(fault: str, event: str = "secret_refused") -> Row:
    return Row("secret files", fault, 201, "ok", event)


FAULTS: Final = (
    Fault(
        a_row("rotated", "secret_reloaded"),
        lambda folder: a_file(folder, "secret", OTHER_SECRET),
        in_force=OTHER_SECRET,
    ),
    Fault(a_row("missing"), lambda folder: (folder / "secret").unlink()),
    Fault(a_row("empty"), lambda folder: a_file(folder, "secret", "")),
    Fault(a_row("not UTF-8"), lambda folder: a_file(folder, "secret", b"\xff" * 64)),
    Fault(a_row("a placeholder"), lambda folder: a_file(folder, "secret", "change-me-" * 8)),
    Fault(a_row("against the key policy"), lambda folder: a_file(folder, "secret", "Zk3vQ8pLr2")),
)
ROWS: Final = tuple(fault.row for fault in FAULTS)


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_logins_go_on(tmp_path: Path, fault: Fault) -> None:
    """With the secret that is in force a login succeeds, and an event says what happened."""
    rig = a_rig(tmp_path)
    rig.look()

    fault.begin(tmp_path)
    rig.look()

    assert rig.status(a_token(key=fault.in_force)) == fault.row.status
    (event,) = rig.events()
    assert event["event"] == fault.row.operator
    assert event["alarm"] is (fault.row.operator == "secret_refused")


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_good_content_ends_it(tmp_path: Path, fault: Fault) -> None:
    """The next good content is in force at the next look, without a restart."""
    rig = a_rig(tmp_path)
    rig.look()
    fault.begin(tmp_path)
    rig.look()

    a_file(tmp_path, "secret", "nV2xH7qKt9Bw4Zc6Lr8Jd3Sf5Gy1PmAe")
    rig.look()

    assert rig.status(a_token(key="nV2xH7qKt9Bw4Zc6Lr8Jd3Sf5Gy1PmAe")) == 201
    assert rig.events()[-1]["event"] == "secret_reloaded"
