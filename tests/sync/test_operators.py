"""Operators among everything else: what a command has said stands, whatever crosses it."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from tests.builders import a_uid, a_user, an_event
from tests.sync.towns import Fuse, KilledError, Town, Watched
from tokensvc.domain.account_book import OPERATOR, AccountBook
from tokensvc.domain.accounts import Account, AccountState, EventKind, unsure
from tokensvc.domain.errors import DirectoryUnavailableError
from tokensvc.domain.lifecycle import DAY_S, LifecyclePolicy
from tokensvc.domain.model import Profile, Uid
from tokensvc.domain.operating import ALREADY_GONE, FAILURES, GONE, STILL_SUSPENDED, UserOperator

ALICE = a_uid("alice")
AHEAD_MS = 240_000
"""A sender's clock is believed when it is five minutes ahead."""

Act = Callable[[UserOperator, Uid], str]


@pytest.fixture
def town() -> Town:
    """Return a town in which alice has logged in, and everybody knows of it."""
    town = Town()
    town.login(ALICE, "Alice")
    town.settle()
    return town


def operator_of(
    town: Town, fuse: Fuse | None = None, policy: LifecyclePolicy | None = None
) -> UserOperator:
    fuse = fuse or Fuse(0, lambda: None)
    accounts: Any = Watched(town.accounts, fuse)
    inbox: Any = Watched(town.inbox, fuse)
    book = AccountBook(accounts, inbox, policy or LifecyclePolicy(), town.clock, town.new_id)
    directory: Any = Watched(town.directory, fuse)
    return UserOperator(directory, book)


def a_worker_works(town: Town) -> Callable[[], None]:
    def crossed() -> None:
        town.work()

    return crossed


def account_of(town: Town) -> Account:
    account = town.accounts.find(ALICE)
    assert account
    return account


def now_ms(town: Town) -> int:
    return int(town.clock() * 1000)


@pytest.mark.parametrize(
    ("act", "state"),
    [
        (UserOperator.deactivate, AccountState.DEACTIVATED),
        (UserOperator.delete, AccountState.DELETING),
        (UserOperator.delete_for_ever, AccountState.DELETED),
    ],
)
def test_shut_out_after_a_restoration_by_a_clock_that_is_ahead(
    town: Town, act: Act, state: AccountState
) -> None:
    """What the operator has just done is newer than all that was known; nobody logs in again."""
    town.put(an_event("r", kind=EventKind.RESTORED, version=now_ms(town) + AHEAD_MS))
    town.settle()

    act(operator_of(town), ALICE)
    town.settle()

    assert account_of(town).state is state
    assert not town.login(ALICE, "Alice")


def test_restored_after_a_deletion_by_a_clock_that_is_ahead(town: Town) -> None:
    """The other way round too."""
    town.put(an_event("d", kind=EventKind.DELETED, version=now_ms(town) + AHEAD_MS))
    town.settle()

    operator_of(town).restore(ALICE)
    town.settle()

    assert account_of(town).state is AccountState.ACTIVE
    assert town.login(ALICE, "Alice")


def test_restored_with_what_was_said_meanwhile(town: Town) -> None:
    """Of somebody who is shut out nothing is told; whoever is restored looks as was said last."""
    operator = operator_of(town)
    operator.deactivate(ALICE)
    town.put(an_event("u", version=now_ms(town) + 1, profile=Profile(name="Alicia")))
    town.settle()

    operator.restore(ALICE)
    town.settle()

    there = town.at_cometchat(ALICE)
    assert there
    assert (there.deactivated_at, there.fields["name"]) == (None, "Alicia")


@pytest.mark.parametrize("act", [UserOperator.deactivate, UserOperator.delete])
def test_somebody_whom_cometchat_does_not_have(town: Town, act: Act) -> None:
    """They are shut out before they come, are told to be missing, and can be let in again."""
    bob, operator = a_uid("bob"), operator_of(town)

    assert "CometChat has no such user" in act(operator, bob)
    assert not town.login(bob, "Bob")

    assert operator.restore(bob) == "CometChat has no such user; remembered as restored"
    town.settle()
    assert town.login(bob, "Bob")


def test_somebody_whom_nobody_knows(town: Town) -> None:
    """Without a database nothing is remembered; and nobody can be let in who was not shut out."""
    bob, operator = a_uid("bob"), operator_of(town)

    assert operator.restore(bob) in FAILURES
    assert replace(operator, book=None).delete(bob) in FAILURES
    assert town.login(bob, "Bob")


@pytest.mark.parametrize("is_after", [False, True])
@pytest.mark.parametrize("steps", range(1, 8))
def test_for_ever_though_the_command_is_killed(town: Town, steps: int, *, is_after: bool) -> None:
    """Nobody whom CometChat has lost is made again; and whoever it still has is shut out."""
    with suppress(KilledError):
        operator_of(town, Fuse(steps, killed, is_after=is_after)).delete_for_ever(ALICE)
    is_gone = town.at_cometchat(ALICE) is None
    has_begun = any(entry.event.source == OPERATOR for entry in town.inbox.entries)
    is_back = is_gone and town.login(ALICE, "Alice")
    town.settle()

    there = town.at_cometchat(ALICE)
    assert has_begun == ((steps, is_after) >= (2, True))
    assert not is_back
    assert there is None if is_gone else there
    assert there is None or (there.deactivated_at is not None) == has_begun


def test_for_ever_in_as_many_steps_as_it_takes(town: Town) -> None:
    """Looked up, wished for and written down, deleted, written down and told: nothing twice."""
    fuse = Fuse(0, lambda: None)

    operator_of(town, fuse).delete_for_ever(ALICE)

    assert -fuse.steps == 6


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_for_ever_though_a_worker_writes_meanwhile(town: Town, steps: int) -> None:
    """The tombstone is written all the same, and whom the worker made again is deleted again."""
    town.put(an_event("u", version=now_ms(town) + 1, profile=Profile(name="Alicia")))

    operator_of(town, Fuse(steps, a_worker_works(town), is_after=True)).delete_for_ever(ALICE)
    town.settle()
    gone = account_of(town)
    town.clock.pass_by(60)
    town.put(an_event("r", kind=EventKind.RESTORED, version=now_ms(town)))
    town.settle()

    assert (gone.state, gone.profile) == (AccountState.DELETED, Profile())
    assert account_of(town).state is AccountState.DELETED
    assert town.at_cometchat(ALICE) is None


def test_for_ever_though_a_worker_shuts_out_meanwhile(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes between two requests of the command's, and is killed before it says so."""
    operator = operator_of(town)
    operator.delete(ALICE)
    send = town.http.send

    def crossed(method: str, path: str, *rest: Any) -> Any:
        answer = send(method, path, *rest)
        if (method, path) == ("PUT", "/users"):
            monkeypatch.undo()
            town.work(Fuse(4, killed, is_after=True))
        return answer

    monkeypatch.setattr(town.http, "send", crossed)
    operator.delete_for_ever(ALICE)
    town.settle()

    assert account_of(town).state is AccountState.DELETED
    assert town.at_cometchat(ALICE) is None


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("is_suspended", [False, True])
def test_a_restoration_that_comes_too_late_says_so(
    town: Town, steps: int, *, is_suspended: bool
) -> None:
    """Their time ran out between two steps of the command."""
    if is_suspended:
        town.put(an_event("s", kind=EventKind.SUSPENDED, version=now_ms(town)))
        town.settle()
    operator_of(town).delete(ALICE)
    town.clock.pass_by(30 * DAY_S - 1)

    def crossed() -> None:
        town.clock.pass_by(2)
        town.house.remind_of_deletions()
        town.work()

    outcome = operator_of(town, Fuse(steps, crossed)).restore(ALICE)
    town.settle()

    is_gone = account_of(town).state is AccountState.DELETED
    assert (outcome == GONE) == is_gone
    assert is_gone or steps > 1


def test_restored_anew_where_that_is_allowed(town: Town) -> None:
    """With allow_recreate a restoration makes somebody anew who was deleted for ever."""
    operator = operator_of(town, policy=LifecyclePolicy(allow_recreate=True))
    operator.delete_for_ever(ALICE)

    assert operator.restore(ALICE) not in FAILURES
    assert account_of(town).state is AccountState.ACTIVE


@pytest.mark.parametrize("act", [UserOperator.deactivate, UserOperator.delete])
def test_whoever_was_made_again_is_gone_in_the_end(town: Town, act: Act) -> None:
    """Shut out once more before the worker has deleted them once more, they do not stay so."""
    being_made_again(town)

    outcome = act(operator_of(town), ALICE)
    town.settle()

    assert outcome == ALREADY_GONE
    assert town.at_cometchat(ALICE) is None


def test_whoever_was_made_again_is_not_let_in(town: Town) -> None:
    """Nor restored, though CometChat has them until the worker comes to it."""
    being_made_again(town)

    outcome, there = operator_of(town).restore(ALICE), town.at_cometchat(ALICE)

    assert outcome in FAILURES
    assert there
    assert there.deactivated_at is not None
    town.settle()
    assert town.at_cometchat(ALICE) is None


def being_made_again(town: Town) -> None:
    """Delete alice for ever; somebody who is late makes her again, and says so."""
    operator_of(town).delete_for_ever(ALICE)
    town.directory.add_user(a_user())
    town.directory.deactivate_user(ALICE)
    town.accounts.save(unsure(account_of(town)))
    town.put(an_event("d", kind=EventKind.DELETED, version=now_ms(town)))


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5])
def test_what_the_app_has_taken_away_stays_so(town: Town, steps: int) -> None:
    """A picture that CometChat still shows is no news from elsewhere: it was told by us."""
    picture = Profile(name="Alice", avatar="https://app.example.test/a.png")
    town.put(an_event("u", version=now_ms(town) + 1, profile=picture))
    town.settle()
    operator_of(town).deactivate(ALICE)
    town.put(an_event("v", version=now_ms(town) + 2, profile=Profile(name="Alice")))

    operator_of(town, Fuse(steps, a_worker_works(town))).restore(ALICE)
    town.settle()

    there = town.at_cometchat(ALICE)
    assert there
    assert there.fields.get("avatar") is None


@pytest.mark.parametrize("is_after", [False, True])
@pytest.mark.parametrize("steps", range(1, 8))
def test_restored_though_the_command_is_killed(town: Town, steps: int, *, is_after: bool) -> None:
    """Said again, it is so: whom CometChat did not have yet is made."""
    bob = a_uid("bob")
    operator_of(town).deactivate(bob)
    town.put(an_event("c", uid=bob, version=now_ms(town), profile=Profile(name="Bob")))
    town.settle()

    with suppress(KilledError):
        operator_of(town, Fuse(steps, killed, is_after=is_after)).restore(bob)
    operator_of(town).restore(bob)
    town.settle()

    assert town.at_cometchat(bob)


def killed() -> None:
    raise KilledError


@pytest.mark.parametrize(
    "tries",
    [
        [["nothing", "nothing", "request"]],
        [["nothing", "answer"]],
        [["nothing", "answer", "request"], ["request"]],
    ],
)
def test_deleting_for_ever_while_cometchat_is_away(town: Town, tries: list[list[str]]) -> None:
    """Who has to be live to be deleted is shut out again, and is deleted by a later try."""
    operator = operator_of(town)
    operator.delete(ALICE)

    for lost in tries:
        town.http.lost = lost
        with pytest.raises(DirectoryUnavailableError):
            operator.delete_for_ever(ALICE)

    assert not town.login(ALICE, "Alice")
    assert town.at_cometchat(ALICE)
    operator.delete_for_ever(ALICE)
    assert town.at_cometchat(ALICE) is None


def test_somebody_suspended_can_be_kept_from_deletion(town: Town) -> None:
    """Their time does not run out; and they stay out until the app says otherwise."""
    operator = operator_of(town)
    town.put(an_event("s", kind=EventKind.SUSPENDED, version=now_ms(town) - 1))
    town.settle()
    operator.delete(ALICE)

    told = operator.restore(ALICE)
    town.settle()

    account = account_of(town)
    assert told == STILL_SUSPENDED
    assert (account.state, account.delete_at) == (AccountState.SUSPENDED, None)
    assert not town.login(ALICE, "Alice")
