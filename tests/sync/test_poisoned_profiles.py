"""Profiles at which CometChat fails for ever: they keep nobody from being shut out."""

from typing import Final

import pytest

from tests.builders import a_uid
from tests.fakes import FakeUserDirectory
from tests.sync.situations import Situation, a_fact
from tests.sync.test_worker import Office
from tokensvc.domain.accounts import LOGIN, AccountState, UserEvent
from tokensvc.domain.errors import DirectoryMisconfiguredError, DirectoryUnavailableError
from tokensvc.domain.issuing import Provisioning
from tokensvc.domain.lifecycle import DAY_S
from tokensvc.domain.model import ChatUser, Profile, Uid
from tokensvc.domain.working import AGAIN_AND_AGAIN

ALICE: Final = a_uid("alice")
POISON: Final = Profile(name="poison")
ROLE: Final = "nobody"


class Poisoned(FakeUserDirectory):
    """A directory that fails at one name, and does not know one role."""

    def add_user(self, user: ChatUser) -> None:
        self._taste(user)
        super().add_user(user)

    def update_user(self, user: ChatUser) -> None:
        self._taste(user)
        super().update_user(user)

    def _taste(self, user: ChatUser) -> None:
        if user.profile.name == POISON.name:
            raise DirectoryUnavailableError("ERR_EXCEPTION")
        if user.profile.role == ROLE:
            raise DirectoryMisconfiguredError("ERR_ROLE_NOT_FOUND")


class Clinging(Poisoned):
    """A directory that ends no tokens."""

    def flush_tokens(self, uid: Uid) -> None:
        assert uid == ALICE
        raise DirectoryUnavailableError("ERR_EXCEPTION")


class Clinic(Office):
    """An office whose directory fails at some profiles; Alice is there, and has a token."""

    def __init__(self) -> None:
        super().__init__(Poisoned())
        self.have(a_fact("created", 1))
        self.situation.directory.create_auth_token(ALICE)

    def have(self, *events: UserEvent) -> None:
        """Put *events* in, and work for as long as something is due."""
        self.put(*events)
        self.work_off()

    def wait(self, seconds: float = 3600.0) -> None:
        """Let time pass, and what comes due in it be tried."""
        self.situation.clock.pass_by(seconds)
        self.work_off()

    def is_out(self) -> bool:
        """Return whether Alice cannot log in, and has no token left."""
        directory = self.situation.directory
        return directory.find_user(ALICE) is None and not directory.tokens.get(ALICE)

    def states(self) -> list[str]:
        return [entry.state for entry in self.inbox.entries]


@pytest.fixture
def clinic() -> Clinic:
    return Clinic()


@pytest.mark.parametrize("kind", ["suspended", "deactivated", "deleted"])
def test_a_fact_that_shuts_out_does_not_wait_behind_a_profile(clinic: Clinic, kind: str) -> None:
    """However long the profile has failed: the moment the fact is in, the user is out."""
    clinic.have(a_fact("updated", 2, profile=POISON))
    for _ in range(20):
        clinic.wait()
    assert not clinic.is_out()

    clinic.have(a_fact(kind, 3))

    assert clinic.is_out()
    assert clinic.states() == ["done", "done", "done"]
    assert clinic.situation.account().profile == POISON


def test_it_does_not_wait_behind_many(clinic: Clinic) -> None:
    """Nor where the user has changed their name again and again since."""
    names = [a_fact("updated", number, profile=POISON) for number in range(2, 50)]
    clinic.have(*names, a_fact("deleted", 100))

    assert clinic.is_out()


def test_a_better_profile_takes_its_place(clinic: Clinic) -> None:
    """A profile that came later is told instead of the one that fails."""
    clinic.have(a_fact("updated", 2, profile=POISON), a_fact("updated", 3))
    for _ in range(AGAIN_AND_AGAIN - 1):
        assert clinic.situation.name_at_cometchat() == "Alice 1"
        clinic.wait()

    assert clinic.situation.name_at_cometchat() == "Alice 3"
    assert clinic.states() == ["done", "done", "done"]


def test_tokens_end_with_a_deletion_that_fails_and_is_undone(clinic: Clinic) -> None:
    """However often ending them has failed: they are not kept by a restoration that came since."""
    clinic.situation.directory.__class__ = Clinging
    clinic.have(a_fact("deleted", 2), a_fact("restored", 3))
    for _ in range(AGAIN_AND_AGAIN):
        clinic.wait()
    clinic.situation.directory.__class__ = FakeUserDirectory

    clinic.wait()

    assert clinic.states() == ["done", "done", "done"]
    assert clinic.situation.name_at_cometchat() == "Alice 1"
    assert not clinic.situation.directory.tokens.get(ALICE)


@pytest.mark.parametrize("tries", [0, 1, 2, AGAIN_AND_AGAIN, 10])
def test_a_restoration_comes_before_a_deletion_for_ever(clinic: Clinic, tries: int) -> None:
    """Also one that came when the deletion was due, as long as CometChat has not done it."""

    class Keeping(Poisoned):
        def delete_user(self, uid: Uid) -> None:
            assert uid == ALICE
            raise DirectoryUnavailableError("ERR_EXCEPTION")

    clinic.have(a_fact("deleted", 2))
    clinic.situation.clock.pass_by(31 * DAY_S)
    clinic.house.remind_of_deletions()
    clinic.situation.directory.__class__ = Keeping
    for _ in range(tries):
        clinic.wait()
    clinic.put(a_fact("restored", 3))
    clinic.situation.directory.__class__ = FakeUserDirectory

    clinic.wait()

    assert clinic.situation.account().state is AccountState.ACTIVE
    assert clinic.situation.name_at_cometchat() == "Alice 1"
    assert not clinic.situation.directory.tokens.get(ALICE)


def test_what_a_suspended_user_got_ends_before_they_are_let_in(clinic: Clinic) -> None:
    """A login that has crossed the suspension may have a token: no later word lets it live."""
    clinic.have(a_fact("suspended", 2))
    clinic.situation.directory.tokens[ALICE] = {"crossed"}
    clinic.situation.directory.__class__ = Clinging
    clinic.have(a_fact("updated", 3, source=LOGIN), a_fact("unsuspended", 4))
    for _ in range(2 * AGAIN_AND_AGAIN):
        clinic.wait()
    clinic.situation.directory.__class__ = FakeUserDirectory

    clinic.wait()

    assert clinic.situation.name_at_cometchat() is not None
    assert not clinic.situation.directory.tokens.get(ALICE)


def test_an_old_suspension_lets_in_nobody_whom_a_moderator_has_shut_out(clinic: Clinic) -> None:
    """It says nothing new; and what comes behind it is a profile, which lets nobody in."""
    directory = clinic.situation.directory
    clinic.have(a_fact("unsuspended", 9))
    directory.deactivate_user(ALICE)
    clinic.have(a_fact("updated", 11))
    directory.failing = [DirectoryUnavailableError("ERR_EXCEPTION")] * AGAIN_AND_AGAIN
    clinic.have(a_fact("suspended", 3), a_fact("updated", 12))

    for _ in range(AGAIN_AND_AGAIN):
        clinic.wait()

    assert directory.find_user(ALICE) is None
    assert set(clinic.states()) == {"done"}


def test_what_is_overtaken_is_told_to_the_operator(clinic: Clinic) -> None:
    """What CometChat never hears of by itself is in the log, with the reason."""
    clinic.have(a_fact("updated", 2, profile=POISON), a_fact("updated", 3), a_fact("suspended", 4))

    (notice,) = (n for n in clinic.notices.events if n.name == "sync_event_overtaken")
    facts = {"number": 2, "uid": "alice", "kind": "updated", "source": "app", "attempts": 1}
    why = {"reason": "ERR_EXCEPTION", "version": 2, "through_version": 4}
    assert notice.facts == {**facts, **why}


def test_a_name_that_was_changed_back_is_told(clinic: Clinic) -> None:
    """What a failed try has told is not known, so that nothing is taken for told."""

    class AnswerLost(Poisoned):
        def update_user(self, user: ChatUser) -> None:
            super().update_user(user)
            if user.profile.name == "Other":
                raise DirectoryUnavailableError("timeout")

    directory = clinic.situation.directory
    directory.__class__ = AnswerLost
    clinic.have(
        a_fact("updated", 2, profile=Profile("Other")),
        a_fact("updated", 3, profile=Profile("Alice 1")),
    )
    assert clinic.situation.name_at_cometchat() == "Other"

    for _ in range(AGAIN_AND_AGAIN):
        clinic.wait()

    assert clinic.situation.name_at_cometchat() == "Alice 1"


def test_who_was_let_in_by_a_failed_try_is_shut_out_again(clinic: Clinic) -> None:
    """A restoration that lets in and then fails at the profile is undone by the next deletion."""
    clinic.have(a_fact("deleted", 2), a_fact("updated", 3, profile=POISON), a_fact("restored", 4))
    clinic.wait()
    assert not clinic.is_out()
    clinic.situation.directory.create_auth_token(ALICE)

    clinic.have(a_fact("deleted", 5))

    assert clinic.is_out()
    assert clinic.situation.account().state is AccountState.DELETING


def test_tokens_end_with_a_suspension_that_is_over(clinic: Clinic) -> None:
    """A suspension that was undone while it waited is not skipped: it is told in its turn."""
    clinic.have(a_fact("updated", 2, profile=POISON))
    clinic.have(a_fact("suspended", 3), a_fact("unsuspended", 4), a_fact("updated", 5))
    assert clinic.situation.directory.tokens.get(ALICE)
    clinic.situation.directory.__class__ = FakeUserDirectory

    clinic.wait()

    assert clinic.situation.name_at_cometchat() == "Alice 5"
    assert not clinic.situation.directory.tokens.get(ALICE)


def test_a_fact_that_is_older_does_not_win_by_that(clinic: Clinic) -> None:
    """Versions decide as ever: a suspension from before the newest word shuts nobody out."""
    clinic.have(a_fact("unsuspended", 9), a_fact("updated", 10, profile=POISON))

    clinic.have(a_fact("suspended", 3))

    assert not clinic.is_out()


def test_an_outage_buries_nothing(clinic: Clinic) -> None:
    """However long CometChat fails at all there is, it is told in the end."""
    clinic.have(a_fact("updated", 2, profile=POISON), a_fact("updated", 3, profile=POISON))
    for _ in range(50):
        clinic.wait()
    clinic.situation.directory.__class__ = FakeUserDirectory

    clinic.wait()

    assert clinic.states() == ["done", "done", "done"]
    assert clinic.situation.name_at_cometchat() == "poison"


def test_a_role_that_cometchat_does_not_know_is_put_aside(clinic: Clinic) -> None:
    """After three tries, with the fact written down; what comes next works."""
    clinic.have(a_fact("updated", 2, profile=Profile("New", role=ROLE)))
    for _ in range(2):
        clinic.wait()
    (buried,) = clinic.inbox.buried()
    assert (buried.reason, buried.attempts) == ("ERR_ROLE_NOT_FOUND", 3)
    assert clinic.situation.account().profile.role == ROLE

    clinic.have(a_fact("updated", 3))
    assert clinic.situation.name_at_cometchat() == "Alice 3"
    clinic.have(a_fact("suspended", 4))
    assert clinic.is_out()


def test_the_default_role_is_the_operators_to_mend() -> None:
    """Everybody waits for a `default_role` that CometChat does not know, with an alarm."""
    situation = Situation(Poisoned(), provisioning=Provisioning(default_role=ROLE))

    with pytest.raises(DirectoryMisconfiguredError) as caught:
        situation.after("created")

    assert type(caught.value) is DirectoryMisconfiguredError
    assert situation.accounts.accounts == {}


def test_a_uid_that_cometchat_refuses_is_put_aside(clinic: Clinic) -> None:
    """It is about one user, and no waiting makes it better."""
    clinic.situation.directory.failing = [DirectoryMisconfiguredError("ERR_INVALID_UID")] * 3
    clinic.have(a_fact("updated", 2))
    for _ in range(2):
        clinic.wait()

    assert [event.reason for event in clinic.inbox.buried()] == ["ERR_INVALID_UID"]
