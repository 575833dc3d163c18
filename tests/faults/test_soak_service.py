"""Processes are killed and CometChat fails while deliveries go on: what was acknowledged holds."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.soak import Verdict
from tests.faults.soak_service import ServiceVerdict, soak_service

KILLS = 25
"""On each engine."""


@pytest.mark.timeout(300)
def test_killed_service_loses_nothing(database_url: str, tmp_path: Path) -> None:
    """Each acknowledged event reaches CometChat in its user's order, and all end as they should."""
    verdict = soak_service(database_url, tmp_path / "ledger", KILLS)

    assert (verdict.ledger.lost, verdict.ledger.reordered) == ([], [])
    assert (verdict.wrong_endings, verdict.buried, verdict.tracebacks) == ({}, 0, [])
    assert verdict.is_good
    assert all(verdict.killed.values())
    assert verdict.ledger.acknowledged > KILLS


@pytest.mark.parametrize(
    "fault",
    [
        {"ledger": Verdict(2, 1, 0, lost=[("alice", 1)], reordered=[])},
        {"ledger": Verdict(2, 2, 0, lost=[], reordered=[("alice", 1, 0)])},
        {"wrong_endings": {"alice": ("active", "deleting")}},
        {"buried": 1},
        {"tracebacks": ["Traceback (most recent call last)"]},
    ],
    ids=["lost", "reordered", "wrong in the end", "buried", "broken"],
)
def test_each_fault_spoils_the_verdict(fault: dict[str, object]) -> None:
    """A soak is good where nothing at all went wrong."""
    good = ServiceVerdict(Verdict(2, 2, 0, [], []), {"worker-1": 1}, {}, 0, 0, 0, [])

    assert good.is_good
    assert not replace(good, **fault).is_good  # type: ignore[arg-type]  # (by their names)
