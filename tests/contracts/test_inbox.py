"""Inbox's promises, kept by the fake and on both engines alike."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest

from tests.builders import an_event
from tests.fakes_sync import Clock, FakeInbox
from tokensvc.adapters.database import Database
from tokensvc.adapters.inbox import SQLInbox
from tokensvc.domain.accounts import EventKind, UserEvent
from tokensvc.domain.errors import DeliveryConflictError, LeaseLostError
from tokensvc.domain.model import Profile
from tokensvc.domain.ports import (
    CLOCK_SLACK_S,
    LONGEST_PAUSE_S,
    SHUT_OUT_WITHIN_S,
    Claim,
    Inbox,
)

LEASE_S = 60.0
BODY, OTHER_BODY = b"a" * 32, b"b" * 32
EVERYTHING = Profile(
    name="Al\0ice \ud800 é",
    avatar="https://x.test/a.png",
    role="staff",
    tags=("a", "b"),
    metadata={"team": {"id": 7, "is_new": False}},
)


@dataclass
class Subject:
    """An inbox and the clock it goes by."""

    inbox: Inbox
    clock: Clock

    def put(self, *events: UserEvent, body: bytes = BODY) -> bool:
        return self.inbox.put(events, body_hash=body)

    def claim(self) -> Claim:
        claim = self.inbox.claim(lease_s=LEASE_S)
        assert claim is not None
        return claim

    def has_nothing_due(self) -> bool:
        return self.inbox.claim(lease_s=LEASE_S) is None

    def have_buried(self, *event_ids: str, uid: str = "alice") -> list[int]:
        """Have events that were given up; return their numbers."""
        self.put(*(an_event(event_id, uid) for event_id in event_ids))
        claims = []
        for _ in event_ids:
            claims.append(self.claim())
            self.inbox.bury(claims[-1], reason="poison")
        return [claim.number for claim in claims]


@pytest.fixture(params=["fake", "sqlite", "postgresql"])
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    """Give each promise to every implementation."""
    clock = Clock()
    if request.param == "fake":
        yield Subject(FakeInbox(clock), clock)
        return
    database = Database(request.getfixturevalue(f"{request.param}_url"))
    yield Subject(SQLInbox(database, now=clock), clock)
    database.close()


def ids(claims: Sequence[Claim]) -> list[str]:
    return [claim.event.event_id for claim in claims]


def test_what_is_put_is_claimed(subject: Subject) -> None:
    """An event comes out as it went in, whatever stands in its texts."""
    event = an_event("x\0 \\ \ud83d é" + "z" * 180, kind=EventKind.CREATED, profile=EVERYTHING)
    assert subject.put(event)

    claim = subject.claim()

    assert (claim.event, claim.attempts) == (event, 1)


def test_nothing_is_due_in_an_empty_inbox(subject: Subject) -> None:
    """Where nothing is, nothing is claimed, and every count is zero."""
    assert subject.has_nothing_due()
    status = subject.inbox.status()
    assert (status.waiting, status.leased, status.retrying, status.done) == (0, 0, 0, 0)
    assert status.oldest_waiting_at is None


def test_repetition_is_known(subject: Subject) -> None:
    """The same delivery again is told apart, and its events are there once."""
    subject.put(an_event("1"), an_event("2"))

    assert not subject.put(an_event("1"), an_event("2"))
    assert subject.inbox.status().waiting == 2


def test_other_body_is_a_conflict(subject: Subject) -> None:
    """The same id with another body stores nothing, not even what is new in it."""
    subject.put(an_event("1"))

    with pytest.raises(DeliveryConflictError):
        subject.put(an_event("2"), an_event("1", kind=EventKind.DELETED), body=OTHER_BODY)

    assert subject.inbox.status().waiting == 1


def test_what_is_new_beside_what_is_known(subject: Subject) -> None:
    """A known event does not cost the new one that came with it."""
    one, two = an_event("1"), an_event("2", "bob")
    subject.put(one)

    assert subject.inbox.put_each([(one, BODY), (two, OTHER_BODY)]) == 1
    assert subject.inbox.put_each([(one, BODY), (two, OTHER_BODY)]) == 0
    assert [subject.claim().event, subject.claim().event] == [one, two]


def test_another_content_beside_what_is_new(subject: Subject) -> None:
    """A known event with another content is a conflict, and nothing is stored with it."""
    subject.put(an_event("1"))

    with pytest.raises(DeliveryConflictError):
        subject.inbox.put_each([(an_event("2"), BODY), (an_event("1"), OTHER_BODY)])

    assert subject.inbox.status().waiting == 1


def test_ids_are_a_sources_own(subject: Subject) -> None:
    """Two sources may use the same id."""
    subject.put(an_event("1", source="app"))

    assert subject.put(an_event("1", source="other"), body=OTHER_BODY)


def test_repetition_within_a_delivery(subject: Subject) -> None:
    """Of two events with one id in one delivery the first is stored."""
    subject.put(an_event("1", version=1), an_event("2"), an_event("1", version=2))

    claim = subject.claim()
    assert (claim.event.event_id, claim.event.version) == ("1", 1)
    assert subject.inbox.status().waiting == 1


def test_what_was_done_stays_known(subject: Subject) -> None:
    """A repetition that comes after the event was applied is one all the same."""
    subject.put(an_event())
    subject.inbox.done(subject.claim())

    assert not subject.put(an_event())
    assert subject.has_nothing_due()


def test_events_of_a_user_keep_their_order(subject: Subject) -> None:
    """A user's events come in the order of their arrival, one at a time."""
    subject.put(an_event("3"))
    subject.put(an_event("1"), an_event("2"))
    claims = []
    for _ in range(3):
        claims.append(subject.claim())
        assert subject.has_nothing_due()
        subject.inbox.done(claims[-1])

    assert ids(claims) == ["3", "1", "2"]
    assert subject.has_nothing_due()


def test_users_do_not_wait_for_each_other(subject: Subject) -> None:
    """While one user's event is leased, another's is due."""
    subject.put(an_event("1", "alice"), an_event("2", "alice"), an_event("3", "bob"))

    assert ids([subject.claim(), subject.claim()]) == ["1", "3"]
    assert subject.has_nothing_due()


def test_many_events_of_one_user_let_others_in(subject: Subject) -> None:
    """A user with many events does not use up the workers."""
    subject.put(*(an_event(f"a{number}", "alice") for number in range(10)))
    subject.put(an_event("b", "bob"))
    subject.inbox.done(subject.claim())

    assert ids([subject.claim(), subject.claim()]) == ["b", "a1"]


def test_event_put_behind_a_leased_one_waits(subject: Subject) -> None:
    """Nor is a newer one due that comes while an older one is worked on."""
    subject.put(an_event("1"))
    claim = subject.claim()
    subject.put(an_event("2"))

    assert subject.has_nothing_due()
    subject.inbox.done(claim)
    assert subject.claim().event.event_id == "2"


def test_retry_comes_back_in_its_time(subject: Subject) -> None:
    """An event that was given back is due again later, before the user's newer ones."""
    subject.put(an_event("1"), an_event("2"))
    subject.inbox.retry(subject.claim(), after_s=10, reason="busy")

    subject.clock.pass_by(9.9)
    assert subject.has_nothing_due()
    subject.clock.pass_by(0.2)
    claim = subject.claim()
    assert (claim.event.event_id, claim.attempts) == ("1", 2)


@pytest.mark.parametrize("kind", ["suspended", "deactivated", "deleted"])
def test_fact_that_shuts_out_ends_a_pause(subject: Subject, kind: str) -> None:
    """What is retried before it is due at once, and still comes first; no other fact does that."""
    subject.put(an_event("1"))
    subject.inbox.retry(subject.claim(), after_s=900, reason="busy")
    subject.put(an_event("2"), an_event("3", "bob", kind=EventKind(kind)))
    assert subject.claim().event.event_id == "3"
    assert subject.has_nothing_due()

    subject.put(an_event("4", kind=EventKind(kind)))

    claim = subject.claim()
    assert (claim.event.event_id, claim.attempts) == ("1", 2)


def test_fact_that_shuts_out_takes_no_lease_away(subject: Subject) -> None:
    """What is under way ends before anything else of its user begins; its pause is short then."""
    subject.put(an_event("1"))
    claim = subject.claim()
    subject.put(an_event("2", kind=EventKind.DELETED))

    assert subject.has_nothing_due()
    subject.inbox.retry(claim, after_s=900, reason="busy")
    subject.clock.pass_by(SHUT_OUT_WITHIN_S + 1)
    assert subject.claim().event.event_id == "1"


def test_what_waits_behind(subject: Subject) -> None:
    """Of each kind and source the newest fact is seen, the claimed one and others' are not."""
    subject.put(
        an_event("1", version=99),
        an_event("2", version=3, profile=EVERYTHING),
        an_event("3", version=2),
        an_event("4", source="login", version=1),
        an_event("5", kind=EventKind.DELETED),
        an_event("6", "bob"),
    )
    claim = subject.claim()

    behind = subject.inbox.behind(claim)

    assert sorted(event.event_id for event in behind) == ["2", "4", "5"]
    assert EVERYTHING in [event.profile for event in behind]


def test_what_is_retried_is_listed(subject: Subject) -> None:
    """By number, page by page, with why and until when; what is tried by now is not."""
    subject.put(an_event("1", "alice", profile=EVERYTHING), an_event("2", "alice"))
    subject.put(an_event("3", "bob"), an_event("4", "carol"))
    for seconds in (30, 20, 10):
        subject.inbox.retry(subject.claim(), after_s=seconds, reason=f"busy_{seconds}")

    listed = subject.inbox.retrying(limit=2)

    assert [event.event.event_id for event in listed] == ["1", "3"]
    first = listed[0]
    assert (first.attempts, first.reason, first.event.profile) == (1, "busy_30", EVERYTHING)
    assert (first.received_at, first.next_try_at) == (subject.clock(), subject.clock() + 30)
    (last,) = subject.inbox.retrying(after_number=listed[-1].number)
    assert last.event.uid == "carol"
    subject.clock.pass_by(11)
    subject.claim()
    assert [event.event.uid for event in subject.inbox.retrying()] == ["alice", "bob"]


def test_nothing_waits_behind(subject: Subject) -> None:
    """What was done or put aside is not behind anything."""
    subject.have_buried("1")
    subject.put(an_event("2"))

    assert not subject.inbox.behind(subject.claim())


@pytest.mark.parametrize("is_killed", [True, False], ids=["leased", "put off"])
def test_a_clock_that_was_ahead_holds_nobody_up(subject: Subject, *, is_killed: bool) -> None:
    """What was held by a clock that was an hour ahead is due when the clock is right."""
    subject.put(an_event())
    subject.clock.pass_by(3600)
    claim = subject.claim()
    if not is_killed:
        subject.inbox.retry(claim, after_s=1, reason="busy")
    subject.clock.pass_by(-3600)

    assert (subject.claim().attempts, subject.has_nothing_due()) == (2, True)


def test_clocks_that_differ_take_nothing_from_each_other(subject: Subject) -> None:
    """A machine that is some minutes ahead keeps its lease, and a pause is a pause."""
    subject.put(an_event("1", "alice"), an_event("2", "bob"))
    subject.clock.pass_by(CLOCK_SLACK_S)
    subject.claim()
    subject.inbox.retry(subject.claim(), after_s=10**6, reason="busy")

    subject.clock.pass_by(-CLOCK_SLACK_S)
    assert subject.has_nothing_due()
    subject.clock.pass_by(CLOCK_SLACK_S + LONGEST_PAUSE_S)
    assert sorted(ids([subject.claim(), subject.claim()])) == ["1", "2"]


def test_lease_that_ran_out_is_claimed_again(subject: Subject) -> None:
    """Whoever holds an event for too long loses it to the next."""
    subject.put(an_event())
    first = subject.claim()
    subject.clock.pass_by(LEASE_S - 0.1)
    assert subject.has_nothing_due()
    subject.clock.pass_by(0.2)

    second = subject.claim()

    assert (second.number, second.attempts) == (first.number, 2)
    assert second.fence > first.fence


@pytest.mark.parametrize("verdict", ["done", "retry", "bury"])
def test_older_holder_is_fenced_off(subject: Subject, verdict: str) -> None:
    """What the loser of a lease says afterwards changes nothing."""
    subject.put(an_event())
    first = subject.claim()
    subject.clock.pass_by(LEASE_S + 1)
    second = subject.claim()

    with pytest.raises(LeaseLostError):
        give_verdict(subject.inbox, verdict, first)

    subject.inbox.done(second)
    assert subject.inbox.status().done == 1


@pytest.mark.parametrize("verdict", ["done", "retry", "bury"])
@pytest.mark.parametrize("before", ["done", "retry", "bury"])
def test_second_verdict_is_refused(subject: Subject, before: str, verdict: str) -> None:
    """A claim is good for one verdict."""
    subject.put(an_event())
    claim = subject.claim()
    give_verdict(subject.inbox, before, claim)

    with pytest.raises(LeaseLostError):
        give_verdict(subject.inbox, verdict, claim)


def test_late_verdict_counts_if_nobody_else_came(subject: Subject) -> None:
    """A lease that ran out unnoticed is no reason to do the work again."""
    subject.put(an_event())
    claim = subject.claim()
    subject.clock.pass_by(LEASE_S + 1)

    subject.inbox.done(claim)

    assert subject.has_nothing_due()


def give_verdict(inbox: Inbox, verdict: str, claim: Claim) -> None:
    if verdict == "done":
        inbox.done(claim)
    elif verdict == "retry":
        inbox.retry(claim, after_s=1, reason="busy")
    else:
        inbox.bury(claim, reason="poison")


def test_buried_event_holds_nobody_up(subject: Subject) -> None:
    """The next event of the same user is due."""
    subject.have_buried("1")
    subject.put(an_event("2"))

    assert subject.claim().event.event_id == "2"


def test_buried_events_are_shown(subject: Subject) -> None:
    """An operator sees what was buried, why and when, page by page."""
    numbers = subject.have_buried("1", "2", "3")

    first, second = subject.inbox.buried(limit=2)
    (third,) = subject.inbox.buried(after_number=second.number, limit=2)

    assert [letter.number for letter in (first, second, third)] == numbers
    assert (first.event, first.reason, first.attempts) == (an_event("1"), "poison", 1)
    assert (first.received_at, first.buried_at) == (subject.clock(), subject.clock())


def test_replayed_event_is_due_with_all_its_tries(subject: Subject) -> None:
    """A replayed event comes before the user's newer ones, as if it was new."""
    (number,) = subject.have_buried("1")
    subject.put(an_event("2"))

    assert subject.inbox.replay(number)

    claim = subject.claim()
    assert (claim.number, claim.attempts) == (number, 1)
    assert subject.inbox.buried() == []


def test_replayed_event_does_not_wait_for_a_newer_one_to_be_retried(subject: Subject) -> None:
    """What is older is due at once, also while a newer event of the user is put off."""
    (number,) = subject.have_buried("1")
    subject.put(an_event("2"))
    subject.inbox.retry(subject.claim(), after_s=600, reason="busy")

    subject.inbox.replay(number)

    assert subject.claim().number == number


def test_replayed_event_waits_for_the_one_that_is_leased(subject: Subject) -> None:
    """Two events of a user are never out at once, in whatever order they came."""
    (number,) = subject.have_buried("1")
    subject.put(an_event("2"))
    leased = subject.claim()

    subject.inbox.replay(number)

    assert subject.has_nothing_due()
    subject.inbox.done(leased)
    assert subject.claim().number == number


def test_replayed_event_takes_over_a_lease_that_ran_out(subject: Subject) -> None:
    """Then the holder of the newer event is fenced off, so that the lane has one master."""
    (number,) = subject.have_buried("1")
    subject.put(an_event("2"))
    # Claimed as often as the other will have been, so that the fences are the same.
    subject.inbox.retry(subject.claim(), after_s=0, reason="busy")
    newer = subject.claim()
    subject.inbox.replay(number)
    subject.clock.pass_by(LEASE_S + 1)
    older = subject.claim()

    with pytest.raises(LeaseLostError):
        subject.inbox.done(newer)

    assert (older.number, older.fence) == (number, newer.fence)
    assert subject.has_nothing_due()


def test_dropped_event_is_gone(subject: Subject) -> None:
    """A dropped event comes back neither by itself nor with a repetition."""
    (number,) = subject.have_buried("1")

    assert subject.inbox.drop(number)

    assert subject.inbox.buried() == []
    assert not subject.put(an_event("1"))
    assert subject.has_nothing_due()


def test_only_buried_events_are_replayed_or_dropped(subject: Subject) -> None:
    """What waits, is done, or never was, is not touched."""
    subject.put(an_event("1"), an_event("2", "bob"))
    done = subject.claim()
    subject.inbox.done(done)
    numbers = [done.number, done.number + 1, 4711]

    assert not any(subject.inbox.replay(number) for number in numbers)
    assert not any(subject.inbox.drop(number) for number in numbers)
    assert subject.inbox.status().waiting == 1


def test_status_counts_what_is_where(subject: Subject) -> None:
    """Each event is counted in one place."""
    subject.have_buried("0", uid="dave")
    arrived = subject.clock()
    subject.put(*(an_event(uid, uid) for uid in ("alice", "bob", "carol")), an_event("2", "bob"))
    subject.clock.pass_by(5)
    subject.inbox.done(subject.claim())
    subject.inbox.retry(subject.claim(), after_s=10, reason="busy")
    subject.claim()

    status = subject.inbox.status()

    assert (status.waiting, status.leased, status.retrying) == (1, 1, 1)
    assert (status.buried, status.done) == (1, 1)
    assert status.oldest_waiting_at == arrived


def test_expired_lease_is_not_counted_as_leased(subject: Subject) -> None:
    """Once its time is over, an event waits again."""
    subject.put(an_event())
    subject.claim()
    subject.clock.pass_by(LEASE_S + 1)

    status = subject.inbox.status()

    assert (status.waiting, status.leased) == (1, 0)


def test_old_done_events_are_forgotten(subject: Subject) -> None:
    """Only what was done before the time is deleted; then its id is new again."""
    subject.have_buried("4", uid="dave")
    subject.put(an_event("1"), an_event("2", "bob"), an_event("3", "carol"))
    subject.inbox.done(subject.claim())
    subject.clock.pass_by(100)
    subject.inbox.done(subject.claim())

    assert subject.inbox.forget_done(before=subject.clock() - 50) == 1

    status = subject.inbox.status()
    assert (status.done, status.waiting, status.buried) == (1, 1, 1)
    assert subject.put(an_event("1"))
    assert not subject.put(an_event("2", "bob"))


def test_clock_that_is_set_back_holds_nothing_up(subject: Subject) -> None:
    """What was put while the clock was an hour ahead is due after it was put right."""
    subject.put(an_event("1"), an_event("2"))
    subject.inbox.done(subject.claim())
    subject.clock.pass_by(-3600)

    assert subject.claim().event.event_id == "2"


@pytest.mark.parametrize("version", [2**63 - 1, -(2**63)])
def test_versions_of_64_bits(subject: Subject, version: int) -> None:
    """Any time that a sender can mean is kept."""
    subject.put(an_event(version=version))

    assert subject.claim().event.version == version
