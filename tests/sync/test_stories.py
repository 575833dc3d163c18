"""What is read in the log of a story: a soak is judged by it."""

from pathlib import Path

from tests.faults.soak_child import Ledger
from tests.sync.stories import Story, Teller, overtaken

TOLD = '{"event": "sync_event_overtaken", "uid": "alice", "version": 104, "through_version": 110}\n'
APPLIED = '{"event": "sync_event_applied", "uid": "alice", "version": 1, "through_version": 200}\n'


def test_the_log_says_which_events_were_overtaken(tmp_path: Path) -> None:
    """From the one that failed up to the newest, which is told; half a line says nothing.

    A deletion and a restoration are told in any case.
    """
    teller = Teller(Story("alice", begins_ms=100), [], Ledger(tmp_path / "ledger"), lambda _: 0)

    events = overtaken([teller], [APPLIED + TOLD, TOLD[:-9]])

    assert events == {("alice", number) for number in (4, 5, 8, 9)}
