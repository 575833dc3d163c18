"""Stories: users whose lives are told by signed deliveries, and what CometChat hears of them."""

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final

import requests

from tests.builders import API_KEY, APP_ID, ISSUER, a_uid, an_environment
from tests.faults.soak_child import Ledger
from tests.web.signing import SOURCES
from tokensvc.adapters.accounts import SQLAccounts
from tokensvc.adapters.database import Database
from tokensvc.domain.accounts import AccountState
from tokensvc.emulator import EmulatorServer
from tokensvc.emulator.faults import Fault
from tokensvc.emulator.front import Request, Response
from tokensvc.emulator.server import Entry

SOURCE: Final = SOURCES["standard"]
CYCLE: Final = 8
DELETION, RESTORATION = 6, 7
"""Which events of each cycle are no profile."""
PAUSE_S: Final = 0.05
ANSWERED_WITHIN_S: Final = 5.0
DELIVERED_WITHIN_S: Final = 60.0
MOST_AHEAD: Final = 4
"""Events of one user that wait: what takes in is faster than what applies."""
CALL_S: Final = "0.5"
"""What a call to CometChat may take; a lease is twelve times as long."""
LATENCY_S: Final = "0.03"
OVERTAKEN: Final = "sync_event_overtaken"
Newest = Callable[[str], int]
"""Returns the newest event of a user that CometChat has heard of, or -1."""


def a_deployment(cometchat_url: str, database_url: str, **changes: str) -> dict[str, str]:
    """Return the variables of web processes and workers that share everything."""
    table = {"source": SOURCE.name, "sender": "standard", "secrets": [SOURCE.secret]}
    return an_environment(
        **{
            "TOKENSVC_COMETCHAT__BASE_URL": f"{cometchat_url}/v3",
            "TOKENSVC_COMETCHAT__TOTAL_TIMEOUT_S": CALL_S,
            "TOKENSVC_STORAGE__URL": database_url,
            "TOKENSVC_LIMITS__PER_WEBHOOK_SOURCE": "1000000 per minute",
            "TOKENSVC_SERVER__WORKERS": "1",
            "TOKENSVC_WORKER__LEASE_S": "1",
            "TOKENSVC_WORKER__THREADS": "2",
            "TOKENSVC_WEBHOOKS": json.dumps([{**table, "issuer": ISSUER}]),
            **changes,
        }
    )


@dataclass(frozen=True)
class Story:
    """One user's life: created, updated, deleted, restored, updated, and so on."""

    uid: str
    begins_ms: int = field(default_factory=lambda: int(time.time() * 1000) - 1_000_000)

    def body(self, number: int) -> bytes:
        """Return the event *number*, whose version says so too."""
        step = number % CYCLE
        kind = {DELETION: "deleted", RESTORATION: "restored"}.get(
            step, "updated" if number else "created"
        )
        user = {"id": self.uid}
        if kind in {"created", "updated"}:
            user["name"] = f"{self.uid} {number}"
        told = {"type": f"user.{kind}", "timestamp": self.begins_ms + number, "data": user}
        return json.dumps(told).encode()

    def number_of(self, version: int) -> int:
        """Return which event it is that has *version*."""
        return version - self.begins_ms

    def ending(self, last: int) -> tuple[AccountState, str]:
        """Return the state and the name that the events up to *last* lead to."""
        step = last % CYCLE
        state = AccountState.DELETING if step == DELETION else AccountState.ACTIVE
        return state, f"{self.uid} {last - max(0, step - DELETION + 1)}"


class Listener(EmulatorServer):
    """An emulated CometChat that writes into a ledger which event of a story it has heard.

    A name tells its number. A deactivation is that of the cycle of the newest number
    heard before, and so is a reactivation.
    """

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(app_id=APP_ID, api_key=API_KEY)
        # So that whoever is killed is in the middle of something.
        self._slow = Fault("latency", LATENCY_S)
        self.faults.order(self._slow)
        self._newest: dict[str, int] = {}
        self._ledger = ledger

    def fail_for(self, seconds: float) -> None:
        """Answer nothing but 503 for so long."""
        self.faults.clear()
        self.faults.order(Fault("status", "503", until=time.time() + seconds))
        self.faults.order(self._slow)

    def answer(self, request: Request) -> Response:
        # What one call changes is written down before another one changes anything.
        with self.world.locked():
            response = super().answer(request)
            if response.status < 300:
                for uid, number in self._heard(self.requests[-1]):
                    self._ledger.write("applied", uid, number, 0)
                    self._newest[uid] = max(number, self.newest_of(uid))
        return response

    def _heard(self, entry: Entry) -> Iterator[tuple[str, int]]:
        body: dict[str, Any] = entry.body or {}
        if "name" in body:
            uid, _, number = body["name"].partition(" ")
            yield uid, int(number)
        for member, step in (("uidsToDeactivate", DELETION), ("uidsToActivate", RESTORATION)):
            for uid in body.get(member, ()):
                yield uid, self.newest_of(uid) // CYCLE * CYCLE + step

    def newest_of(self, uid: str) -> int:
        """Return the newest event of the user that was heard of, or -1."""
        return self._newest.get(uid, -1)

    def has_of(self, uid: str) -> tuple[bool, str]:
        """Return whether the user is live, and their name."""
        user = self.world.apps[APP_ID].users[uid]
        return user.deactivated_at is None, user.fields["name"]


@dataclass
class Teller:
    """Tells one story to web processes, as senders do: again, until it is acknowledged."""

    story: Story
    urls: Sequence[str]
    ledger: Ledger
    newest_heard: Newest
    told: int = -1
    """The last event that was acknowledged."""
    stopping: threading.Event = field(default_factory=threading.Event)

    def tell(self, until: int | None = None) -> None:
        """Deliver event after event: to the end, or until it is told to stop."""
        with requests.Session() as session:
            while not self.stopping.is_set() and self.told != until:
                if self.told - self.newest_heard(self.story.uid) > MOST_AHEAD:
                    self.stopping.wait(PAUSE_S)
                else:
                    self._deliver(session, self.told + 1)

    def _deliver(self, session: requests.Session, number: int) -> None:
        """Deliver one event: whoever has begun does not stop before it is acknowledged."""
        deadline = time.monotonic() + DELIVERED_WITHIN_S
        attempt = number
        while not self._is_acknowledged(session, number, self.urls[attempt % len(self.urls)]):
            assert time.monotonic() < deadline, "it was not acknowledged in time"
            threading.Event().wait(PAUSE_S)
            attempt += 1
        self.told = number
        self.ledger.write("acknowledged", self.story.uid, number)

    def _is_acknowledged(self, session: requests.Session, number: int, url: str) -> bool:
        body, headers = SOURCE.deliver(
            self.story.body(number), message_id=f"{self.story.uid}-{number}", at=time.time()
        )
        place = f"{url}/v1/webhooks/{SOURCE.name}"
        try:
            answer = session.post(place, data=body, headers=headers, timeout=ANSWERED_WITHIN_S)
        except requests.RequestException:
            return False
        assert answer.status_code in {202, 503}, answer.text
        return answer.status_code == 202


def overtaken(tellers: Sequence[Teller], logs: Iterable[str]) -> set[tuple[str, int]]:
    """Return the profiles of which the workers' *logs* say that newer facts are told instead.

    What ends a user's tokens, and what lets them in again, nothing can take the place of.
    A line that was being written when its worker was killed may be cut.
    """
    stories = {teller.story.uid: teller.story for teller in tellers}
    events: set[tuple[str, int]] = set()
    for line in chain.from_iterable(log.splitlines() for log in logs):
        if OVERTAKEN in line and line.endswith("}"):
            facts = json.loads(line)
            number_of = stories[facts["uid"]].number_of
            numbers = range(number_of(facts["version"]), number_of(facts["through_version"]))
            events |= {
                (facts["uid"], number)
                for number in numbers
                if number % CYCLE not in {DELETION, RESTORATION}
            }
    return events


def endings(
    tellers: Sequence[Teller], listener: Listener, database: Database
) -> dict[str, tuple[object, object]]:
    """Return of each story that did not end as it should how it ended, and how it should."""
    accounts = SQLAccounts(database)
    wrong: dict[str, tuple[object, object]] = {}
    for teller in tellers:
        uid = teller.story.uid
        state, name = teller.story.ending(teller.told)
        account = accounts.find(a_uid(uid))
        ended = (account and (account.state, account.profile.name), listener.has_of(uid))
        wanted = ((state, name), (state is AccountState.ACTIVE, name))
        if ended != wanted:
            wrong[uid] = (ended, wanted)
    return wrong
