"""Users whom somebody has deactivated at CometChat itself: no name of theirs lets them in."""

import pytest

from tests.builders import a_uid, a_user
from tests.sync.situations import Situation, a_fact
from tests.sync.towns import Town
from tokensvc.domain.account_book import OPERATOR
from tokensvc.domain.accounts import unsure
from tokensvc.domain.issuing import Provisioning
from tokensvc.domain.model import Profile

ALICE = a_uid("alice")


@pytest.fixture
def situation() -> Situation:
    """Return one in which a moderator has deactivated Alice."""
    situation = Situation()
    situation.after("created")
    situation.directory.deactivate_user(ALICE)
    return situation


def test_a_new_name_is_no_way_back(situation: Situation) -> None:
    """What they look like now is noted, and they stay out."""
    assert situation.after("updated", profile=Profile("New")) == [
        *("update_user", "find_user", "add_user", "find_user")
    ]

    assert situation.name_at_cometchat() is None
    assert situation.account().profile == Profile("New")
    situation.after("updated", profile=Profile("Newer"))
    assert situation.name_at_cometchat() is None


def test_nor_is_one_of_somebody_who_was_not_known() -> None:
    """The first fact about a user finds them deactivated, and leaves them so."""
    situation = Situation()
    situation.directory.add_user(a_user())
    situation.directory.deactivate_user(ALICE)

    situation.after("created", "updated")

    assert situation.name_at_cometchat() is None


def test_what_they_look_like_is_told_when_they_are_back(situation: Situation) -> None:
    """Whoever is reactivated at CometChat looks as the app says from the next fact on."""
    situation.after("updated", profile=Profile("New"))
    situation.directory.reactivate_user(ALICE)
    assert situation.name_at_cometchat() != "New"

    situation.after("updated", profile=Profile("New"))

    assert situation.name_at_cometchat() == "New"


@pytest.mark.parametrize("kind", ["reactivated", "restored", "unsuspended"])
def test_a_fact_that_asks_for_it_lets_them_in(situation: Situation, kind: str) -> None:
    """The app says so, and not the user; a repetition of what it said before does not."""
    situation.after(kind, version=5)
    situation.after("updated", profile=Profile("New"))
    situation.after(kind, version=5)
    assert situation.name_at_cometchat() is None

    situation.after(kind)

    assert situation.name_at_cometchat() == "New"


@pytest.mark.parametrize(
    ("out", "back"),
    [("suspended", "unsuspended"), ("deactivated", "reactivated"), ("deleted", "restored")],
)
def test_whom_the_app_has_shut_out_it_lets_in(situation: Situation, out: str, back: str) -> None:
    """The last word is the app's, whoever has deactivated them before."""
    situation.after(out, "updated", back)

    assert situation.name_at_cometchat() is not None


def test_where_logins_reactivate_updates_do() -> None:
    """With reactivate_on_login nobody is kept out by a deactivation at CometChat."""
    situation = Situation(provisioning=Provisioning(reactivate_on_login=True))
    situation.after("created")
    situation.directory.deactivate_user(ALICE)

    situation.after("updated")

    assert situation.name_at_cometchat() is not None


@pytest.mark.parametrize("kind", ["deactivated", "restored"])
def test_what_a_command_was_overtaken_at_is_put_right(situation: Situation, kind: str) -> None:
    """A command that others have crossed leaves its fact, though the account has it already."""
    situation.after("restored")
    situation.directory.deactivate_user(ALICE)
    known = situation.account()
    situation.accounts.save(unsure(known))

    situation.sync().apply(a_fact(kind, 5, source=OPERATOR))

    assert situation.name_at_cometchat() is not None


@pytest.mark.parametrize("is_known", [True, False])
def test_a_moderated_user_in_town(*, is_known: bool) -> None:
    """From the login to the login: out before the new name, and after it."""
    town = Town()
    if is_known:
        assert town.login("alice", "Mallory")
    else:
        town.directory.add_user(a_user())
    town.settle()
    town.directory.deactivate_user(ALICE)
    assert not town.login("alice", "Mallory")

    town.put(a_fact("updated", int(town.clock() * 1000) + 1000))
    town.settle()

    assert not town.login("alice", "Mallory")
