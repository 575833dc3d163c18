"""A process of the soak: puts or claims until it is killed, and writes down what it may rely on.

python -m tests.faults.soak_child put URL LEDGER WHO UIDS
python -m tests.faults.soak_child claim URL LEDGER WHO
python -m tests.faults.soak_child try URL LEDGER WHO COUNT
"""

import os
import sys
import time
from pathlib import Path
from typing import Final

import psycopg  # noqa: F401 (loaded before the fork, so that lives are spent on work)

from tokensvc.adapters.database import Database
from tokensvc.adapters.engines import Waits
from tokensvc.adapters.inbox import SQLInbox
from tokensvc.domain.accounts import EventKind, UserEvent
from tokensvc.domain.errors import LeaseLostError, StorageUnavailableError
from tokensvc.domain.uids import parse_uid

LEASE_S: Final = 2.0
IDLE_S: Final = 0.005
PATIENCE_S: Final = 60.0


class Ledger:
    """A file that several processes add lines to; a line is there whole, and in its order."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, *words: object) -> None:
        """Add a line: what the process may be killed after, and not before."""
        os.write(self._descriptor, (" ".join(map(str, words)) + "\n").encode())


def put(inbox: SQLInbox, ledger: Ledger, who: str, uids: list[str], first: int) -> None:
    """Put event after event for each user, and write down each that was acknowledged."""
    number = first
    while True:
        for uid in uids:
            event = UserEvent(
                EventKind.UPDATED, parse_uid(uid), number, source=who, event_id=f"{uid}-{number}"
            )
            inbox.put([event], body_hash=b"%d" % number)
            ledger.write("acknowledged", uid, number)
        number += 1


def claim(inbox: SQLInbox, ledger: Ledger, who: str) -> None:
    """Claim event after event, write it down as applied, and then say that it is done."""
    while True:
        claimed = inbox.claim(lease_s=LEASE_S)
        if claimed is None:
            time.sleep(IDLE_S)
            continue
        ledger.write("applied", claimed.event.uid, claimed.event.version, claimed.fence, who)
        ledger.write("finishing", claimed.event.uid, claimed.event.version, claimed.fence, who)
        try:
            inbox.done(claimed)
        except LeaseLostError:
            ledger.write("fenced", claimed.event.uid, claimed.event.version, claimed.fence, who)


def try_to_put(inbox: SQLInbox, ledger: Ledger, who: str, count: int) -> None:
    """Put *count* events, and write down of each whether it was acknowledged or why not."""
    for number in range(count):
        event = UserEvent(
            EventKind.UPDATED, parse_uid("alice"), number, source=who, event_id=str(number)
        )
        try:
            inbox.put([event], body_hash=b"x")
        except StorageUnavailableError as error:
            ledger.write("refused", "alice", number, error.reason)
        else:
            ledger.write("acknowledged", "alice", number)


def first_unacknowledged(path: Path, uid: str) -> int:
    """Return the number to go on from: one that was stored and not acknowledged is put again."""
    if not path.exists():
        return 0
    lines = (line.split() for line in path.read_text().splitlines())
    known = [int(words[2]) for words in lines if words[:2] == ["acknowledged", uid]]
    return max(known, default=-1) + 1


def main(verb: str, url: str, path: str, who: str, *uids: str) -> None:
    """Run one process of the soak."""
    inbox = SQLInbox(Database(url, Waits(statement_timeout_s=PATIENCE_S)))
    ledger = Ledger(Path(path))
    ledger.write("ready", who)
    if verb == "put":
        first = min(first_unacknowledged(Path(path), uid) for uid in uids)
        put(inbox, ledger, who, list(uids), first)
    elif verb == "try":
        try_to_put(inbox, ledger, who, int(uids[0]))
    else:
        claim(inbox, ledger, who)


if __name__ == "__main__":
    main(*sys.argv[1:])
