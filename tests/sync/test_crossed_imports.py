"""An import that crosses a fact, and is killed before it can write down what it did."""

from collections.abc import Mapping, Sequence

import pytest

from tests.builders import a_user, an_event
from tests.sync.towns import KilledError, Town
from tokensvc.adapters.cometchat_users import CometChatUsers
from tokensvc.domain.account_book import AccountBook
from tokensvc.domain.accounts import EventKind, UserEvent
from tokensvc.domain.importing import Existing, Outcome, UserImport
from tokensvc.domain.issuing import Provisioning
from tokensvc.domain.lifecycle import LifecyclePolicy
from tokensvc.domain.model import ChatUser, Profile, Uid
from tokensvc.domain.pacing import Pace, Patience
from tokensvc.domain.ports import UserDirectory

LIST_AGE_MS = 1000


def an_importer(town: Town, directory: UserDirectory) -> UserImport:
    return UserImport(
        directory=directory,
        provisioning=Provisioning(),
        pace=Pace(60, town.clock, town.clock.pass_by),
        patience=Patience(town.clock.pass_by),
        existing=Existing.UPDATE,
        book=AccountBook(town.accounts, town.inbox, LifecyclePolicy(), town.clock, town.new_id),
        version=int(town.clock() * 1000) - LIST_AGE_MS,
    )


def killed_while(town: Town, fact: UserEvent) -> None:
    """Import alice, and let the worker apply *fact* just before CometChat hears of the list."""

    class Crossed(CometChatUsers):
        def import_users(self, users: Sequence[ChatUser]) -> Mapping[Uid, str]:
            town.put(fact)
            while town.work():
                pass
            codes = super().import_users(users)
            if "ok" in codes.values():
                raise KilledError
            return codes

        def update_user(self, user: ChatUser) -> None:
            super().update_user(user)
            raise KilledError

    with pytest.raises(KilledError):
        an_importer(town, Crossed(town.directory.client)).send([a_user("alice", name="Listed")])


@pytest.mark.parametrize("shut_out", [EventKind.DELETED, EventKind.SUSPENDED])
def test_who_was_shut_out_does_not_stay_live(shut_out: EventKind) -> None:
    """The list made a user who had just been shut out; resumed, it has them ended."""
    town = Town()
    version = int(town.clock() * 1000)

    killed_while(town, an_event("shut-out", uid="alice", kind=shut_out, version=version))
    results = an_importer(town, town.directory).send([a_user("alice")], in_doubt=True)
    town.settle()

    assert [result.outcome for result in results] == [Outcome.FAILED]
    alice = town.at_cometchat("alice")
    assert alice
    assert alice.deactivated_at is not None


def test_newer_profile_stands() -> None:
    """The list wrote an older name over a newer one; resumed, it has the newer one told again."""
    town = Town()
    version = int(town.clock() * 1000)
    newer = an_event("new", uid="alice", version=version, profile=Profile(name="Newer"))

    killed_while(town, newer)
    results = an_importer(town, town.directory).send(
        [a_user("alice", name="Listed")], in_doubt=True
    )
    town.settle()

    assert [result.reason for result in results] == ["newer_known"]
    alice = town.at_cometchat("alice")
    assert alice
    assert alice.fields["name"] == "Newer"
