"""Login facts: which logins tell something, and that none of them waits for it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.builders import a_session, a_uid
from tests.fakes import Notices
from tests.fakes_sync import FakeInbox
from tests.sync.situations import Situation, a_fact
from tokensvc.domain.accounts import Account, EventKind, UserEvent
from tokensvc.domain.audit import OperationalEvent
from tokensvc.domain.clocks import Clocks
from tokensvc.domain.login_facts import IDLE_S, KNOWN_FOR_S, PAUSE_S, LoginFacts
from tokensvc.domain.model import Login, Profile, Session, Uid

ALICE = a_uid("alice")


class Reception:
    """Where logins are noticed, over a situation and an inbox."""

    def __init__(self, **options: Any) -> None:
        self.situation = Situation()
        self.inbox = FakeInbox(self.situation.clock)
        self.notices = Notices()
        self.woken = 0
        self.facts = LoginFacts(
            self.inbox,
            self.situation.accounts,
            provisioning=self.situation.provisioning,
            clocks=Clocks(self.situation.clock, self.situation.clock),
            notify=self.notices,
            **{"watches_drift": True, **options},
        )
        self.facts.wake = self._wake

    def _wake(self) -> None:
        self.woken += 1

    def session(self, uid: str = "alice", **profile: Any) -> Session:
        """Return a session that was opened just now."""
        return replace(a_session(uid, **profile), issued_at=self.situation.clock())

    def login(self, uid: str = "alice", /, *, session: Session | None = None, **did: bool) -> None:
        """Let somebody log in a second later."""
        self.situation.clock.pass_by(1)
        self.facts.observe(Login(session or self.session(uid), **did))

    def told(self) -> list[UserEvent]:
        """Return what the inbox has been told so far."""
        self.facts.tell()
        return [entry.event for entry in self.inbox.entries]

    def kinds(self) -> list[EventKind]:
        return [event.kind for event in self.told()]


@pytest.fixture
def reception() -> Reception:
    return Reception()


def test_a_login_reads_nothing(reception: Reception) -> None:
    """Noticing a login asks no database, and calls whoever does."""
    reception.situation.accounts.fault = reception.inbox.fault = "database_gone"

    reception.login()

    assert reception.woken == 1


def test_new_users_are_told(reception: Reception) -> None:
    """A user created by their login is told as an update: a login never undoes a deletion."""
    reception.login(has_created=True)

    (event,) = reception.told()
    assert (event.kind, event.uid, event.source) == (EventKind.UPDATED, "alice", "login")
    assert event.version == int(reception.situation.clock()) * 1000
    assert event.profile == Profile(name="Alice")


def test_drift_is_told_once(reception: Reception) -> None:
    """Claims that differ from what was sent are told; the same ones again are not looked at."""
    reception.situation.after("created", profile=Profile(name="Old"), version=1)

    for _ in range(3):
        reception.login()
        reception.facts.tell()

    (event,) = reception.told()
    assert event.profile == Profile(name="Alice")
    assert reception.woken == 1


def test_what_was_sent_is_no_news(reception: Reception) -> None:
    """Claims that CometChat has are told to nobody."""
    reception.situation.after("created", profile=Profile(name="Alice"), version=1)

    reception.login()

    assert reception.told() == []


def test_old_claims_are_no_news(reception: Reception) -> None:
    """A session from before the app's newest word on the user says nothing new."""
    reception.situation.after("created", profile=Profile(name="New"), version=10**15)

    reception.login()

    assert reception.told() == []


def test_a_session_without_a_time_is_older_than_anything(reception: Reception) -> None:
    """A token without iat says what nobody has said, and changes nothing else."""
    timeless = replace(a_session(), issued_at=None)
    reception.login(session=timeless)
    (event,) = reception.told()
    assert (event.version, event.profile) == (0, Profile(name="Alice"))

    reception.situation.sync().apply(event)
    reception.situation.after("updated", profile=Profile(name="Newer"))
    reception.situation.clock.pass_by(KNOWN_FOR_S)
    reception.login(session=timeless)

    assert reception.told() == [event]


def test_a_session_without_claims_is_no_news(reception: Reception) -> None:
    """Who says nothing about themselves has changed nothing, known or not; one look is enough."""
    silent = replace(a_session(name=None), issued_at=1.0)
    for _ in range(2):
        reception.login(session=silent)
        assert reception.told() == []
    reception.situation.after("created")
    reception.situation.clock.pass_by(KNOWN_FOR_S)
    reception.login(session=silent)

    assert (reception.told(), reception.woken) == ([], 2)


@pytest.mark.parametrize("watches_drift", [True, False])
def test_a_silent_login_that_should_not_have_been_is_told(*, watches_drift: bool) -> None:
    """A user shut out who got in is ended, though their token says nothing or nobody listens."""
    reception = Reception(watches_drift=watches_drift)
    situation = reception.situation
    situation.after("created", "deleted")
    situation.directory.reactivate_user(ALICE)

    reception.login(session=reception.session(name=None if watches_drift else "New"))

    (event,) = reception.told()
    assert event.profile is None
    situation.sync().apply(event)
    assert situation.name_at_cometchat() is None


def test_a_token_says_less_than_a_webhook(reception: Reception) -> None:
    """What the claims do not say is not told, and stays as the app has told it otherwise."""
    told = Profile("Old", "https://x.test/a", "staff", ("t",), {"a": 1, "b": 2})
    reception.situation.after("created", profile=told, version=1)

    reception.login(session=reception.session(metadata={"b": 3}))

    (event,) = reception.told()
    assert event.profile == Profile(name="Alice", metadata={"b": 3})
    reception.situation.sync().apply(event)
    at_cometchat = reception.situation.directory.users[ALICE].profile
    assert at_cometchat == replace(told, name="Alice", metadata={"a": 1, "b": 3})


@pytest.mark.parametrize("is_late", [True, False])
def test_a_login_does_not_undo_what_waits_or_comes_late(
    reception: Reception, *, is_late: bool
) -> None:
    """A picture from before the session is the app's to tell, before the login or after it."""
    situation = reception.situation
    situation.after("created", profile=Profile("Old", "https://x.test/old"))
    situation.clock.pass_by(10)
    told = a_fact("updated", int(situation.clock() * 1000), profile=Profile("New", "x://new"))
    reception.login(session=reception.session(name="New"))
    (login,) = reception.told()

    for event in (login, told) if is_late else (told, login):
        situation.sync().apply(event)

    assert situation.directory.users[ALICE].profile.avatar == "x://new"


def test_a_reactivation_is_told(reception: Reception) -> None:
    """A user brought back by their login is told as such, before what they look like."""
    reception.login(has_reactivated=True)

    assert reception.kinds() == [EventKind.REACTIVATED, EventKind.UPDATED]


@pytest.mark.parametrize("kind", ["suspended", "deactivated", "deleted"])
def test_a_login_that_should_not_have_been_is_told(reception: Reception, kind: str) -> None:
    """A token for somebody shut out is for the worker to end, whatever the claims and their age."""
    reception.situation.after("created", kind, profile=Profile(name="Alice"), version=10**15)

    reception.login()

    assert reception.kinds() == [EventKind.UPDATED]


def test_without_watching(reception: Reception) -> None:
    """With update_on_login off only creations and reactivations are told."""
    reception = Reception(watches_drift=False)

    reception.login()
    reception.login("bob", has_created=True)

    assert [event.uid for event in reception.told()] == ["bob"]


def test_what_is_too_much_is_dropped_and_counted() -> None:
    """More logins than may wait are let go; the next one of the same user tells it again."""
    reception = Reception(max_waiting=2)
    for uid in ("alice", "bob", "carol", "dora"):
        reception.login(uid)

    assert [event.uid for event in reception.told()] == ["alice", "bob"]
    assert reception.notices.events == [OperationalEvent("login_facts_dropped", {"count": 2})]
    reception.login("dora")
    assert len(reception.told()) == 3


def test_logins_that_come_together_are_looked_up_together(reception: Reception) -> None:
    """A storm of logins asks the database now and then, and not for each of them."""
    for number in range(250):
        reception.login(f"user-{number}")

    events = reception.told()

    assert [event.uid for event in events] == [f"user-{number}" for number in range(250)]
    assert reception.situation.accounts.reads == 3


def test_a_user_is_looked_up_again_for_their_next_login(reception: Reception) -> None:
    """A worker may have ended the first of two sessions before the second one is told."""
    reception.situation.after("created", "suspended", profile=Profile(name="Alice"))
    put = reception.inbox.put
    reads: list[int] = []

    def put_and_apply(events: Sequence[UserEvent], *, body_hash: bytes) -> bool:
        reads.append(reception.situation.accounts.reads)
        is_new = put(events, body_hash=body_hash)
        for event in events:
            reception.situation.sync().apply(event)
        return is_new

    reception.inbox.put = put_and_apply  # type: ignore[method-assign]
    for _ in range(2):
        reception.login(has_created=True)

    assert len(reception.told()) == 2
    assert reads[1] > reads[0]


@pytest.mark.parametrize("store", ["inbox", "accounts"])
def test_logins_wait_for_the_storage(reception: Reception, store: str) -> None:
    """While the storage is away nothing is lost, and it is asked again after a pause."""
    broken = reception.inbox if store == "inbox" else reception.situation.accounts
    for uid in ("alice", "bob", "carol"):
        reception.login(uid)
    broken.fault = "database_gone"
    assert reception.facts.tell() == PAUSE_S

    broken.fault = None
    assert reception.facts.tell() == IDLE_S

    assert [event.uid for event in reception.told()] == ["alice", "bob", "carol"]


def test_who_was_told_before_the_storage_went_is_told_once(reception: Reception) -> None:
    """Of logins that were looked up together only those wait that were not told yet."""
    put = reception.inbox.put
    told: list[str] = []

    def put_one(events: Sequence[UserEvent], *, body_hash: bytes) -> bool:
        told.extend(event.uid for event in events)
        reception.inbox.fault = "database_gone" if told == ["alice", "bob"] else None
        return put(events, body_hash=body_hash)

    reception.inbox.put = put_one  # type: ignore[method-assign]
    for uid in ("alice", "bob", "carol"):
        reception.login(uid)

    assert (reception.facts.tell(), reception.facts.tell()) == (PAUSE_S, IDLE_S)
    assert told == ["alice", "bob", "bob", "carol"]


@pytest.mark.parametrize("is_read", [True, False])
def test_one_that_cannot_be_told_costs_no_other(reception: Reception, *, is_read: bool) -> None:
    """An account that nobody can read, or an event that cannot be put, is that user's alone."""
    accounts, put = reception.situation.accounts, reception.inbox.put

    def put_but_bob(events: Sequence[UserEvent], *, body_hash: bytes) -> bool:
        if events[0].uid == "bob":
            raise ZeroDivisionError
        return put(events, body_hash=body_hash)

    def find_but_bob(uid: Uid) -> None:
        if uid == "bob":
            raise ZeroDivisionError

    def find_none(_: object) -> dict[Uid, Account]:
        raise ZeroDivisionError

    if is_read:
        reception.inbox.put = put_but_bob  # type: ignore[method-assign]
    else:
        accounts.find_each = find_none  # type: ignore[method-assign,assignment]
        accounts.find = find_but_bob  # type: ignore[method-assign]
    for uid in ("alice", "bob", "carol"):
        reception.login(uid)

    with pytest.raises(ZeroDivisionError):
        reception.facts.tell()

    assert [event.uid for event in reception.told()] == ["alice", "carol"]


@pytest.mark.parametrize("forget", ["time", "room"])
def test_the_cache_is_bounded(forget: str) -> None:
    """Claims are looked at again after a while, or when too many others came since."""
    reception = Reception(max_known=2)
    reception.login("alice")
    reception.facts.tell()
    if forget == "time":
        reception.situation.clock.pass_by(KNOWN_FOR_S)
    else:
        reception.login("bob")
        reception.login("carol")
    reception.facts.tell()
    before = reception.situation.accounts.reads
    reception.login("alice")
    reception.facts.tell()

    assert reception.situation.accounts.reads == before + 1


def test_the_newest_are_known_however_they_are_kept() -> None:
    """Half of what there is room for at least: whoever was looked at among them costs no look."""
    reception = Reception(max_known=4)
    for uid in ("alice", "bob", "carol", "dave"):
        reception.login(uid)
        reception.facts.tell()
    before = reception.situation.accounts.reads

    for uid in ("alice", "bob", "carol", "dave"):
        reception.login(uid)
        reception.facts.tell()

    assert reception.situation.accounts.reads == before


def test_whoever_is_known_is_so_for_a_while() -> None:
    """Whatever came before them: half of the longest time at least."""
    reception = Reception()
    for uid, pause_s in (("bob", KNOWN_FOR_S - 10), ("alice", KNOWN_FOR_S / 2 - 10)):
        reception.login(uid)
        reception.facts.tell()
        reception.situation.clock.pass_by(pause_s)
    before = reception.situation.accounts.reads

    reception.login("alice")
    reception.facts.tell()

    assert reception.situation.accounts.reads == before


def test_what_was_known_of_a_user_gives_way_to_what_is() -> None:
    """Claims that come back after newer ones are looked at, however long both are kept."""
    reception = Reception(max_known=2)
    looks = []
    for name in ("One", "Two", "One"):
        before = reception.situation.accounts.reads
        reception.login(session=reception.session(name=name))
        reception.facts.tell()
        looks.append(reception.situation.accounts.reads - before)

    assert looks == [1, 1, 1]


def test_no_worker_no_flood(reception: Reception) -> None:
    """While no worker runs the same claims wait once, however often they are looked at."""
    for _ in range(3):
        reception.login()
        reception.facts.tell()
        reception.situation.clock.pass_by(KNOWN_FOR_S)

    assert len(reception.told()) == 1


def test_claims_that_come_back_are_told_again(reception: Reception) -> None:
    """A name that was changed and changed back is told three times, if a worker runs."""
    for name in ("One", "Two", "One"):
        reception.login(session=reception.session(name=name))
        reception.situation.sync().apply(reception.told()[-1])

    assert reception.situation.name_at_cometchat() == "One"


def test_a_session_is_ended_as_often_as_it_should_not_be(reception: Reception) -> None:
    """Somebody shut out who got in again and again is told each time, once a worker was there."""
    reception.situation.after("created", "suspended", profile=Profile(name="Alice"))

    for _ in range(3):
        reception.login(has_created=True)
        reception.situation.sync().apply(reception.told()[-1])

    assert len(reception.told()) == 3


def test_changed_claims_are_looked_at(reception: Reception) -> None:
    """The cache knows claims, not users."""
    reception.login(session=reception.session(name="One"))
    reception.facts.tell()
    reception.login(session=reception.session(name="Two"))

    assert [event.profile for event in reception.told()] == [Profile("One"), Profile("Two")]


def test_what_is_told_is_applied(reception: Reception) -> None:
    """From the login to CometChat: the new name is there."""
    reception.situation.sync().apply(a_fact("created", 1))
    reception.login(session=reception.session(name="Newer"))
    for event in reception.told():
        reception.situation.sync().apply(event)

    assert reception.situation.name_at_cometchat() == "Newer"
