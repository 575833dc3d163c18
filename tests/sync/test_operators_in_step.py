"""Operators among everything else: commands and facts cross, and the newest word stands."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.builders import a_uid
from tests.sync.test_state_machine import KINDS, USERS, UsersInStep
from tests.sync.towns import Fuse, KilledError, Town, Watched
from tokensvc.domain.account_book import OPERATOR, AccountBook
from tokensvc.domain.accounts import Account, AccountState, EventKind, UserEvent
from tokensvc.domain.errors import DirectoryUnavailableError
from tokensvc.domain.lifecycle import LifecyclePolicy, last_word
from tokensvc.domain.model import Uid
from tokensvc.domain.operating import FAILURES, GONE, STILL_SUSPENDED, UserOperator

AHEAD_MS = 240_000
"""A sender's clock is believed when it is five minutes ahead."""
STEPS = st.integers(1, 6)

Act = Callable[[UserOperator, Uid], str]
ENDS: dict[Act, set[AccountState]] = {
    UserOperator.deactivate: {*AccountState} - {AccountState.ACTIVE},
    UserOperator.restore: {AccountState.ACTIVE},
    UserOperator.delete: {AccountState.DELETING, AccountState.DELETED},
    UserOperator.delete_for_ever: {AccountState.DELETED},
}
"""Where a user is after each command."""
ACTS = st.sampled_from([*ENDS])


class Notebook:
    """An account book that keeps what operators have said."""

    def __init__(self, town: Town, fuse: Fuse) -> None:
        self.told: list[UserEvent] = []
        self.gone: set[Uid] = set()
        self._now = town.clock
        accounts: Any = Watched(town.accounts, fuse)
        self._book = AccountBook(accounts, town.inbox, LifecyclePolicy(), town.clock, town.new_id)

    def find(self, uid: Uid) -> Account | None:
        return self._book.find(uid)

    def is_gone(self, known: Account | None) -> bool:
        return self._book.is_gone(known)

    def happened(self, known: Account | None, kind: EventKind, uid: Uid) -> Account:
        self._note(known, kind, uid)
        return self._book.happened(known, kind, uid)

    def wished(self, known: Account | None, kind: EventKind, uid: Uid) -> Account:
        self._note(known, kind, uid)
        return self._book.wished(known, kind, uid)

    def deleted_for_ever(self, known: Account | None, uid: Uid) -> None:
        self.gone.add(uid)
        self._book.deleted_for_ever(known, uid)

    def _note(self, known: Account | None, kind: EventKind, uid: Uid) -> None:
        version = last_word(known, kind, now=self._now())
        self.told.append(UserEvent(kind, uid, version, OPERATOR, ""))


class OperatorsInStep(UsersInStep):
    """What the other machine does, and commands that are killed, repeated and crossed."""

    def __init__(self) -> None:
        super().__init__()
        self.operated: list[UserEvent] = []
        self.gone: set[Uid] = set()

    @rule(uid=USERS, kind=KINDS)
    def a_clock_is_ahead(self, uid: str, kind: EventKind) -> None:
        """Tell what is true, with a version of a time that has not come."""
        self.something_comes_true(uid, kind, None, "app")
        fact = self.facts.pop()
        ahead = replace(fact, version=fact.version + AHEAD_MS)
        self.facts.append(ahead)
        self.travelling[-1] = ahead

    @rule(uid=USERS, act=ACTS, steps=STEPS, kind=KINDS, count=st.integers(1, 6))
    def an_operator_acts(self, uid: str, act: Act, steps: int, kind: EventKind, count: int) -> None:
        """Between two steps of the command a worker does something, perhaps to the same user."""
        self.something_comes_true(uid, kind, None, "app")
        self.town.put(self.travelling.pop())

        def crossed() -> None:
            for _ in range(count):
                self.town.work()

        self.operate(uid, act, Fuse(steps, crossed))

    @rule(uid=USERS, act=ACTS, steps=STEPS, is_after=st.booleans())
    def a_command_is_killed(self, uid: str, act: Act, steps: int, *, is_after: bool) -> None:
        """Before or after any of its steps; it is repeated, and what it says is so."""

        def killed() -> None:
            raise KilledError

        outcome = self.operate(uid, act, Fuse(steps, killed, is_after=is_after))
        assert outcome != GONE or self.state_of(uid) is AccountState.DELETED
        if outcome not in FAILURES:
            ends = {AccountState.SUSPENDED} if outcome == STILL_SUSPENDED else ENDS[act]
            assert self.state_of(uid) in ends

    def state_of(self, uid: str) -> AccountState:
        return self.town.accounts.accounts[a_uid(uid)].state

    def operate(self, uid: str, act: Act, fuse: Fuse) -> str:
        try:
            return self.act(uid, act, fuse)
        except (KilledError, DirectoryUnavailableError):
            self.town.http.lost.clear()
            return self.act(uid, act, Fuse(0, lambda: None))

    def act(self, uid: str, act: Act, fuse: Fuse) -> str:
        book: Any = Notebook(self.town, fuse)
        directory: Any = Watched(self.town.directory, fuse)
        try:
            return act(UserOperator(directory, book), a_uid(uid))
        finally:
            self.operated += book.told
            self.gone |= book.gone

    def check(self, uid: str, told: list[UserEvent]) -> None:
        super().check(uid, told + [event for event in self.operated if event.uid == uid])
        if uid in self.gone:
            assert self.town.accounts.accounts[a_uid(uid)].purged_at is not None


TestOperatorsInStep = OperatorsInStep.TestCase
TestOperatorsInStep.settings = settings(
    max_examples=100,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
