"""Whatever arrives, in whatever order: everybody ends as the newest facts ask for."""

from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.builders import a_uid
from tests.sync.towns import LEASE_S, Fuse, KilledError, Town
from tokensvc.domain.accounts import LOGIN, Account, AccountState, EventKind, UserEvent
from tokensvc.domain.lifecycle import DAY_S
from tokensvc.domain.model import Profile

UIDS = ("alice", "bob", "carol", "dora", "eve", "frank")
USERS = st.sampled_from(UIDS)
KINDS = st.sampled_from([kind for kind in EventKind if kind is not EventKind.REACTIVATED])
SHOWN = {EventKind.CREATED, EventKind.UPDATED}
AVATARS = st.sampled_from([None, "https://x.test/a.png"])
STEPS = st.integers(2, 9)
"""The first step is the claim."""


class UsersInStep(RuleBasedStateMachine):
    """Facts come true, travel, and arrive; workers and CometChat fail meanwhile."""

    @initialize()
    def open_town(self) -> None:
        self.town = Town()
        self.facts: list[UserEvent] = []
        self.travelling: list[UserEvent] = []
        self.lost: set[str] = set()

    @rule(uid=USERS, kind=KINDS, avatar=AVATARS, source=st.sampled_from(["app", "import"]))
    def something_comes_true(self, uid: str, kind: EventKind, avatar: Any, source: str) -> None:
        """Say something of a user that is true from now on, and send it on its way."""
        number = len(self.facts)
        profile = Profile(name=f"{uid} {number}", avatar=avatar) if kind in SHOWN else None
        version = int(self.town.clock() * 1000)
        fact = UserEvent(kind, a_uid(uid), version, source, f"fact-{number}", profile)
        self.facts.append(fact)
        self.travelling.append(fact)

    @rule(place=st.integers(0, 30))
    def something_arrives(self, place: int) -> None:
        """One of the travelling facts arrives, not always the oldest."""
        if self.travelling:
            self.town.put(self.travelling.pop(place % len(self.travelling)))

    @rule(place=st.integers(0, 30))
    def something_is_told_again(self, place: int) -> None:
        """Tell a fact a second time, under another id."""
        if self.facts:
            old = self.facts[place % len(self.facts)]
            again = UserEvent(
                old.kind, old.uid, old.version, old.source, self.town.new_id(), old.profile
            )
            self.town.put(again)

    @rule(seconds=st.sampled_from([0.001, 1.0, LEASE_S, 900.0]))
    def time_passes(self, seconds: float) -> None:
        self.town.clock.pass_by(seconds)

    @rule()
    def a_month_passes(self) -> None:
        """Let deletions come due that were learnt of before."""
        self.town.clock.pass_by(30 * DAY_S)
        self.town.house.remind_of_deletions()

    @rule(uid=USERS, name=st.sampled_from(["From", "Login"]))
    def somebody_logs_in(self, uid: str, name: str) -> None:
        self.town.login(uid, f"{name} {uid}")

    @rule()
    def logins_are_told(self) -> None:
        self.town.tell_logins()

    @rule()
    def a_web_process_is_killed(self) -> None:
        """Lose what it had not told yet, until the same users log in again."""
        self.lost |= self.town.logged_in
        self.town.new_web_process()

    @rule(lost=st.lists(st.sampled_from(["nothing", "request", "answer"]), max_size=4))
    def cometchat_fails(self, lost: list[str]) -> None:
        self.town.http.lost[:] = lost

    @rule(count=st.integers(1, 4))
    def a_worker_works(self, count: int) -> None:
        for _ in range(count):
            self.town.work()

    @rule(steps=STEPS, is_after=st.booleans())
    def a_worker_is_killed(self, steps: int, *, is_after: bool) -> None:
        """Before or after any of its steps."""

        def killed() -> None:
            raise KilledError

        self.town.work(Fuse(steps, killed, is_after=is_after))

    @rule(steps=STEPS, uid=USERS, kind=KINDS)
    def a_login_comes_between(self, steps: int, uid: str, kind: EventKind) -> None:
        """Two steps of a worker, and is of the very user whom the worker is at."""
        self.something_comes_true(uid, kind, None, "app")
        self.town.put(self.travelling.pop())

        def crossed() -> None:
            self.town.login(self.town.working_on, f"Crossing {self.town.working_on}")

        self.town.work(Fuse(steps, crossed))

    @rule(steps=STEPS, uid=USERS, kind=KINDS, later=KINDS, count=st.integers(2, 6))
    def a_worker_sleeps_too_long(
        self, steps: int, uid: str, kind: EventKind, later: EventKind, count: int
    ) -> None:
        """Its lease runs out, others do what it was at and what came after, then it goes on."""
        self.something_comes_true(uid, kind, None, "app")
        self.town.put(self.travelling.pop())

        def overslept() -> None:
            self.town.clock.pass_by(LEASE_S)
            self.something_comes_true(self.town.working_on, later, None, "app")
            self.town.put(self.travelling.pop())
            for _ in range(count):
                self.town.work()

        self.town.work(Fuse(steps, overslept))

    def teardown(self) -> None:
        """Everything arrives in the end, and every fault is over."""
        for fact in self.travelling:
            self.town.put(fact)
        self.town.settle()
        for uid in sorted(self.lost):
            self.town.login(uid, f"Again {uid}")
        self.town.settle()
        told = [entry.event for entry in self.town.inbox.entries]
        for uid in UIDS:
            self.check(uid, [event for event in told if event.uid == uid])

    def check(self, uid: str, told: list[UserEvent]) -> None:
        account = self.town.accounts.accounts.get(a_uid(uid))
        if account is None:
            assert told == []
            return
        there = self.town.at_cometchat(uid)
        if account.purged_at is not None:
            assert account.state is AccountState.DELETED
            assert there is None
            return
        assert account.state is newest_state(told)
        assert account.profile == newest_profile(told)
        self.check_cometchat(account, there)

    def check_cometchat(self, account: Account, there: Any) -> None:
        if account.state is not AccountState.ACTIVE:
            assert there is None or there.deactivated_at is not None
        elif account.profile_version >= 0:
            assert (there.deactivated_at, there.fields["name"]) == (None, account.profile.name)
            assert there.fields.get("avatar") == account.profile.avatar
        else:
            assert there is None or there.deactivated_at is None


def newest_state(told: list[UserEvent]) -> AccountState:
    """Return the state by the plain words of the rules, read from the whole history."""

    def newest(*kinds: EventKind) -> int:
        return max((event.version for event in told if event.kind in kinds), default=-1)

    if newest(EventKind.DELETED) > -1 and newest(EventKind.DELETED) >= newest(EventKind.RESTORED):
        return AccountState.DELETING
    if newest(EventKind.SUSPENDED) > -1 and newest(EventKind.SUSPENDED) >= newest(
        EventKind.UNSUSPENDED
    ):
        return AccountState.SUSPENDED
    undone = newest(EventKind.REACTIVATED, EventKind.RESTORED)
    off = newest(EventKind.DEACTIVATED)
    return AccountState.DEACTIVATED if off > -1 and off >= undone else AccountState.ACTIVE


def newest_profile(told: list[UserEvent]) -> Profile:
    """Return the profile of the newest fact that has one, with the names of newer logins."""
    shown = [(event.version, event.profile, event.source) for event in told if event.profile]
    wholes = [fact for fact in shown if fact[2] != LOGIN]
    whole = max(
        wholes,
        key=lambda fact: (fact[0], fact[1].name or "", fact[1].avatar or ""),
        default=(-1, Profile(), ""),
    )
    names = [(version, profile.name or "") for version, profile, source in shown if source == LOGIN]
    version, name = max(names, default=(-1, ""))
    return replace(whole[1], name=name) if version > whole[0] else whole[1]


TestUsersInStep = UsersInStep.TestCase
TestUsersInStep.settings = settings(
    max_examples=100,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
