"""The worker: what becomes of events, and how it ends."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

import pytest

from tests.fakes import FakeUserDirectory, Notices
from tests.fakes_sync import Clock, FakeInbox
from tests.sync.situations import Situation, a_fact
from tokensvc.domain.accounts import AccountState, UserEvent
from tokensvc.domain.audit import OperationalEvent
from tokensvc.domain.errors import (
    DirectoryMisconfiguredError,
    DirectoryUnavailableError,
    StorageUnavailableError,
    TokenServiceError,
)
from tokensvc.domain.lifecycle import DAY_S
from tokensvc.domain.model import ChatUser, Profile
from tokensvc.domain.verdicts import Judge
from tokensvc.domain.working import EventWork, Housekeeping
from tokensvc.worker import Chore, Outage, Worker

LEASE_S: Final = 60.0


class Office:
    """An inbox and a worker's desk, over a situation."""

    def __init__(self, directory: FakeUserDirectory | None = None) -> None:
        self.situation = Situation(directory or FakeUserDirectory())
        self.inbox = FakeInbox(self.situation.clock)
        self.notices = Notices()
        self.work = EventWork(
            self.inbox, self.situation.sync(), Judge(lambda: 0.0), self.notices, LEASE_S
        )
        self.house = Housekeeping(
            self.inbox, self.situation.accounts, self.notices, self.situation.clock, 7 * DAY_S
        )

    def put(self, *events: UserEvent) -> None:
        for event in events:
            self.inbox.put([event], body_hash=b"")

    def work_off(self) -> None:
        while self.work.handle_next():
            pass

    def last_notice(self) -> OperationalEvent:
        return self.notices.events[-1]


def test_events_are_applied() -> None:
    """What is in the inbox comes true at CometChat, and is told of without what it says."""
    office = Office()
    office.put(a_fact("created", 1), a_fact("suspended", 2))

    office.work_off()

    assert office.inbox.status().done == 2
    assert office.situation.account().state is AccountState.SUSPENDED
    notice = office.last_notice()
    assert notice.name == "sync_event_applied"
    facts = {"number": 2, "uid": "alice", "kind": "suspended", "source": "app", "attempts": 1}
    assert notice.facts == facts


def test_nothing_to_do() -> None:
    """An empty inbox is said to be empty."""
    assert not Office().work.handle_next()


@pytest.mark.parametrize(
    ("error", "is_alarm"),
    [
        (DirectoryUnavailableError("timeout"), False),
        (DirectoryMisconfiguredError("AUTH_ERR_APIKEY_NOT_FOUND"), True),
    ],
)
def test_an_event_waits_for_cometchat(error: TokenServiceError, *, is_alarm: bool) -> None:
    """It is put off with the reason, and tried again when its time has come."""
    office = Office()
    office.situation.directory.failing = [error]
    office.put(a_fact("created"))
    office.work_off()
    notice = office.last_notice()
    assert (notice.name, notice.facts["reason"]) == ("sync_event_put_off", error.reason)
    assert notice.is_alarm == is_alarm
    assert not office.work.handle_next()

    office.situation.clock.pass_by(60)
    office.work_off()

    assert office.inbox.status().done == 1


def test_a_users_later_events_wait_and_other_users_do_not() -> None:
    """What is put off holds up its own user alone."""
    office = Office()
    office.situation.directory.failing = [DirectoryUnavailableError("timeout")]
    office.put(a_fact("created", 1), a_fact("updated", 2), a_fact("created", uid="bob"))

    office.work_off()

    assert [entry.state for entry in office.inbox.entries] == ["waiting", "waiting", "done"]


def test_a_refused_profile_is_buried_and_can_be_replayed() -> None:
    """After three tries it is put aside with an alarm; mended, a replay does the rest."""
    office = Office()
    office.situation.directory.refused_names = {"bad"}
    office.put(a_fact("created", profile=Profile(name="bad")))
    for _ in range(3):
        office.work_off()
        office.situation.clock.pass_by(60)
    (buried,) = office.inbox.buried()
    assert (buried.reason, buried.attempts) == ("ERR_BAD_REQUEST", 3)
    assert (office.last_notice().name, office.last_notice().is_alarm) == ("sync_event_buried", True)

    office.situation.directory.refused_names = set()
    office.inbox.replay(buried.number)
    office.work_off()

    assert office.situation.name_at_cometchat() == "bad"


class Broken(FakeUserDirectory):
    """A directory with a defect that quotes what it was given."""

    def add_user(self, user: ChatUser) -> None:
        raise ValueError(user.profile.name)


def test_a_defect_parks_one_user() -> None:
    """A defect is told without its text, and buried after five tries; the rest goes on."""
    office = Office(Broken())
    office.put(a_fact("created"), a_fact("suspended", uid="bob"))
    for _ in range(5):
        office.work_off()
        office.situation.clock.pass_by(900)

    assert [entry.state for entry in office.inbox.entries] == ["buried", "done"]
    assert {event.facts.get("reason") for event in office.notices.events} == {
        *("defect_ValueError", None)
    }


def test_a_lost_lease_is_told_and_nothing_else() -> None:
    """A worker that was too slow writes nothing down: the event is somebody else's."""

    class Slow(FakeUserDirectory):
        def add_user(self, user: ChatUser) -> None:
            super().add_user(user)
            office.situation.clock.pass_by(LEASE_S + 1)
            office.inbox.claim(lease_s=LEASE_S)

    office = Office(Slow())
    office.put(a_fact("created"))

    assert office.work.handle_next()

    assert office.notices.names() == ["sync_lease_lost"]
    assert office.inbox.status().leased == 1


def test_what_is_claimed_while_stopping_is_given_back() -> None:
    """A worker that is to stop begins nothing: the event is due again at once."""
    office = Office()
    office.put(a_fact("created"))

    assert office.work.handle_next(lambda: True)

    assert office.situation.directory.users == {}
    office.work_off()
    assert office.inbox.status().done == 1


def test_due_users_are_deleted_for_ever() -> None:
    """The reminder goes in once, however often the house is kept, and does its work."""
    office = Office()
    office.put(a_fact("created", 1), a_fact("deleted", 2), a_fact("created", uid="bob"))
    office.work_off()
    office.house.remind_of_deletions()
    assert len(office.inbox.entries) == 3

    office.situation.clock.pass_by(30 * DAY_S)
    office.house.remind_of_deletions()
    office.house.remind_of_deletions()
    office.work_off()
    office.house.remind_of_deletions()

    assert len(office.inbox.entries) == 4
    assert sorted(office.situation.directory.users) == ["bob"]
    assert office.situation.account().state is AccountState.DELETED


def test_done_events_are_forgotten_in_time() -> None:
    """They are kept for as long as a sender may repeat them."""
    office = Office()
    office.put(a_fact("created"))
    office.work_off()
    office.situation.clock.pass_by(DAY_S)
    office.house.forget_done()
    assert office.inbox.status().done == 1

    office.situation.clock.pass_by(6 * DAY_S + 1)
    office.house.forget_done()

    assert office.inbox.status().done == 0
    assert office.last_notice() == OperationalEvent("sync_events_forgotten", {"count": 1})


def test_heartbeat() -> None:
    """The worker says how much waits, and for how long."""
    office = Office()
    office.put(a_fact("created"))
    office.situation.clock.pass_by(12)

    office.house.beat()

    facts = {"waiting": 1, "leased": 0, "retrying": 0, "buried": 0, "oldest_s": 12.0}
    assert office.last_notice() == OperationalEvent("sync_heartbeat", facts)


@contextmanager
def running(worker: Worker, **options: Callable[[], bool]) -> Iterator[list[bool]]:
    """Run *worker* until the block ends, or it ends by itself; yields how it ended."""
    ended: list[bool] = []
    thread = threading.Thread(target=lambda: ended.append(worker.run(grace_s=5, **options)))
    thread.start()
    try:
        yield ended
    finally:
        worker.stop()
        thread.join(10)
        assert not thread.is_alive()


def until(condition: Callable[[], bool]) -> None:
    """Wait for other threads, ten seconds at most."""
    ends_at = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < ends_at
        threading.Event().wait(0.01)


def a_worker(office: Office, *chores: Chore, threads: int = 3) -> Worker:
    return Worker(office.work, chores, threads=threads, clock=time.monotonic, idle_s=0.01)


def test_threads_work_the_inbox_off() -> None:
    """Several threads share the events of many users, and each is done once."""
    office = Office()
    office.put(*(a_fact("created", uid=f"user-{number}") for number in range(50)))

    with running(a_worker(office)) as ended:
        until(lambda: office.inbox.status().done == 50)

    assert ended == [True]
    assert office.situation.directory.calls.count("add_user") == 50


class Gate(FakeUserDirectory):
    """A directory that keeps a caller waiting until it is opened."""

    reached: threading.Event
    opened: threading.Event

    def add_user(self, user: ChatUser) -> None:
        self.reached.set()
        assert self.opened.wait(10)
        super().add_user(user)


def test_what_is_under_way_is_finished() -> None:
    """A worker that is stopped in the midst of an event finishes it, and begins no other."""
    gate = Gate()
    gate.reached, gate.opened = threading.Event(), threading.Event()
    office = Office(gate)
    office.put(a_fact("created"), a_fact("created", uid="bob"))
    worker = a_worker(office, threads=1)

    with running(worker) as ended:
        assert gate.reached.wait(10)
        worker.stop()
        gate.opened.set()

    assert ended == [True]
    assert [entry.state for entry in office.inbox.entries] == ["done", "waiting"]


def test_a_worker_that_hangs_is_not_waited_for_for_ever() -> None:
    """After the grace the process may end: the lease brings the event back."""
    gate = Gate()
    gate.reached, gate.opened = threading.Event(), threading.Event()
    office = Office(gate)
    office.put(a_fact("created"))
    worker = a_worker(office, threads=1)
    ended: list[bool] = []
    thread = threading.Thread(target=lambda: ended.append(worker.run(grace_s=0.05)))
    thread.start()
    assert gate.reached.wait(10)

    worker.stop()
    thread.join(10)
    gate.opened.set()

    assert ended == [False]


def test_an_orphan_ends() -> None:
    """A worker whose parent is gone ends by itself."""
    with running(a_worker(Office()), is_orphaned=lambda: True) as ended:
        until(lambda: ended == [True])


def test_chores_are_done_at_their_time_and_survive_failures() -> None:
    """Each is done at once and then every so often; one that fails is told and done again."""
    office = Office()
    done: list[str] = []

    def fail() -> None:
        done.append("failing")
        raise ValueError("a secret")

    chores = (Chore(fail, 0.0), Chore(lambda: done.append("rare"), 1000.0))
    with running(a_worker(office, *chores)):
        until(lambda: done.count("failing") >= 2)

    assert done.count("rare") == 1
    assert office.notices.events[0] == OperationalEvent(
        "sync_worker_failed", {"kind": "ValueError"}, is_alarm=True
    )


def test_a_worker_outlives_its_storage() -> None:
    """While the inbox cannot be asked the worker says so, and its threads are there afterwards."""
    office = Office()
    office.inbox.fault = "disk_full"
    with running(a_worker(office, threads=1)):
        until(lambda: bool(office.notices.events))
    notice = office.notices.events[0]

    assert (notice.name, notice.is_alarm) == ("sync_storage_unavailable", True)
    assert notice.facts == {"reason": "disk_full"}


def test_an_outage_is_told_once_with_its_end() -> None:
    """However many threads and chores meet it, there is one alarm, and one line when it is over."""
    office = Office()
    met: list[str] = []

    def look() -> None:
        try:
            office.inbox.status()
        except StorageUnavailableError:
            met.append("fault")
            if len(met) > 20:
                office.inbox.fault = None
            raise

    office.inbox.fault = "database_unreachable"
    with running(a_worker(office, *[Chore(look, 0.0)] * 12)):
        until(lambda: "sync_storage_back" in office.notices.names())

    assert office.notices.names() == ["sync_storage_unavailable", "sync_storage_back"]
    assert office.notices.events[-1].facts["seconds"]


def test_what_was_asked_before_ends_no_outage() -> None:
    """A slow answer from before the last failure says nothing about after it."""
    notices, now = Notices(), Clock()
    outage = Outage(notices, now)
    asked_at = now()
    now.pass_by(1)
    outage.goes_on("disk_full")

    outage.is_over(asked_at)
    assert notices.names() == ["sync_storage_unavailable"]

    outage.is_over(now())
    assert notices.names() == ["sync_storage_unavailable", "sync_storage_back"]


def test_the_claim_of_a_failing_storage_comes_back() -> None:
    """An event whose end cannot be written down is done again after its lease."""
    office = Office()
    office.put(a_fact("created"))

    class Failing(FakeUserDirectory):
        def add_user(self, user: ChatUser) -> None:
            super().add_user(user)
            office.inbox.fault = "disk_full"

    office.work = replace(office.work, sync=office.situation.sync(Failing()))
    with pytest.raises(TokenServiceError):
        office.work.handle_next()

    office.inbox.fault = None
    office.situation.clock.pass_by(LEASE_S)
    office.work_off()
    assert office.inbox.status().done == 1
