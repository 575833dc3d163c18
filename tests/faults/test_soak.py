"""Processes are killed in the middle of their work: nothing is lost, nothing is reordered."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.builders import an_event
from tests.faults.nursery import Nursery
from tests.faults.soak import Command, Fork, Soak, judge
from tests.faults.soak_child import Ledger
from tests.faults.soak_inbox import nothing_waits, soak_inbox
from tokensvc.adapters.database import Database
from tokensvc.adapters.engines import Waits
from tokensvc.adapters.inbox import SQLInbox

KILLS = 50
USERS = [f"user-{number}" for number in range(20)]
EVENTS_EACH = 10
THREADS, PROCESSES = 16, 4


@pytest.mark.timeout(300)
def test_killed_processes_lose_nothing(database_url: str, tmp_path: Path) -> None:
    """Fifty kills -9 at random moments: each acknowledged event is applied, in its order."""
    verdict = soak_inbox(database_url, tmp_path / "ledger", KILLS)

    assert (verdict.lost, verdict.reordered) == ([], [])
    assert verdict.acknowledged > KILLS


def test_judge_sees_what_is_wrong(tmp_path: Path) -> None:
    """A ledger of losses and of newer events before older ones is found out."""
    ledger = tmp_path / "ledger"
    ledger.write_text(
        "acknowledged a 1\nacknowledged a 2\nacknowledged a 3\n"
        "applied a 2 1\napplied a 1 1\napplied a 2 1\n"
    )

    verdict = judge(Soak(ledger, [], kills=0))

    assert verdict.lost == [("a", 3)]
    assert verdict.reordered == [("a", 2, 1)]
    assert (verdict.applied, verdict.repeated) == (2, 1)


def test_judge_excuses_what_was_overtaken_and_nothing_else(tmp_path: Path) -> None:
    """What is told in an event's stead has to be heard itself."""
    ledger = tmp_path / "ledger"
    ledger.write_text(
        "acknowledged a 1\nacknowledged a 2\nacknowledged a 3\nacknowledged b 1\n"
        "applied a 3 1\napplied a 2 1\napplied c 2 1\napplied c 1 1\n"
    )

    verdict = judge(Soak(ledger, [], kills=0), {("a", 1), ("a", 2)})

    assert verdict.lost == [("b", 1)]
    assert verdict.reordered == [("c", 2, 1)]


def test_judge_lets_fences_tell(tmp_path: Path) -> None:
    """What a holder does whose lease went to another one is no reordering."""
    ledger = tmp_path / "ledger"
    ledger.write_text("applied a 1 2\napplied a 2 1\napplied a 1 1\n")

    assert judge(Soak(ledger, [], kills=0)).reordered == []


def test_commands_are_killed_and_started_again(tmp_path: Path) -> None:
    """The harness drives any command that says when it is at work."""
    ledger = tmp_path / "ledger"
    script = f'echo "ready shell" >> {ledger}; exec sleep 60'
    soak = Soak(ledger, [Command("shell", ["/bin/sh", "-c", script])], kills=3)

    soak.run(lambda: True)

    assert soak.starts["shell"] == 4
    assert len(list(soak.lines("ready"))) >= 3


def test_many_claim_from_one_inbox(database_url: str, tmp_path: Path) -> None:
    """Sixteen threads and four processes: no event is out twice, nor two of one user."""
    database = Database(database_url, Waits(statement_timeout_s=60, pool_size=THREADS))
    inbox = SQLInbox(database)

    def fill() -> None:
        for number in range(EVENTS_EACH):
            events = [an_event(f"{uid}-{number}", uid, version=number) for uid in USERS]
            inbox.put(events, body_hash=b"%d" % number)

    lines = claim_all(inbox, database_url, tmp_path / "ledger", fill)

    for uid in USERS:
        of_user = [words for words in lines if words[1] == uid]
        assert [(words[0], int(words[2])) for words in of_user] == [
            (kind, number) for number in range(EVENTS_EACH) for kind in ("applied", "finishing")
        ]
        assert all(
            first[3:] == second[3:] for first, second in zip(*[iter(of_user)] * 2, strict=True)
        )
    # How many get a turn is for the machine to say; one alone would have shown nothing.
    assert len({words[4] for words in lines}) > 1
    assert inbox.status().done == EVENTS_EACH * len(USERS)
    database.close()


def claim_all(
    inbox: SQLInbox, url: str, path: Path, fill: Callable[[], None]
) -> Sequence[list[str]]:
    """Let threads and processes claim until nothing waits; return what they did, in order.

    Everybody is there before there is anything to claim: nobody does it all alone.
    """
    ledger = Ledger(path)
    together = threading.Barrier(THREADS, action=fill)

    def work(who: int) -> None:
        together.wait()
        while not nothing_waits(inbox):
            claim = inbox.claim(lease_s=60)
            if claim is not None:
                words = (claim.event.uid, claim.event.version, claim.fence, f"thread-{who}")
                ledger.write("applied", *words)
                ledger.write("finishing", *words)
                inbox.done(claim)

    with Nursery("tests.faults.soak_child") as nursery, ThreadPoolExecutor(THREADS) as pool:
        names = [f"process-{number}" for number in range(PROCESSES)]
        processes = [Fork(name, ["claim", url, str(path), name], nursery) for name in names]
        for process in processes:
            process.start()
        while path.read_text().count("ready") < PROCESSES:
            time.sleep(0.01)
        try:
            list(pool.map(work, range(THREADS)))
        finally:
            for process in processes:
                process.kill()
    return [
        words
        for line in path.read_text().splitlines()
        if (words := line.split())[0] in {"applied", "finishing", "fenced"}
    ]
