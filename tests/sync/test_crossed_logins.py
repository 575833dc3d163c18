"""Crossed logins: a first login that meets a deletion, in a process that is killed right after."""

from collections.abc import Collection, Mapping
from dataclasses import replace

import pytest

from tests.builders import a_session, an_event
from tests.sync.towns import Town
from tokensvc.domain.accounts import Account, AccountState, EventKind
from tokensvc.domain.errors import UserDeletedError
from tokensvc.domain.issuing import Provisioning, TokenIssuer
from tokensvc.domain.model import Profile, Session, Uid


class Crossing:
    """The accounts of a town, in which a deletion is carried out right after each look."""

    def __init__(self, town: Town) -> None:
        self._town = town

    def find(self, uid: Uid) -> Account | None:
        found = self._town.accounts.find(uid)
        self._town.put(an_event("deleted", kind=EventKind.DELETED))
        while self._town.work():
            pass
        return found

    def find_each(self, uids: Collection[Uid]) -> Mapping[Uid, Account]:
        raise NotImplementedError

    def save(self, account: Account) -> None:
        raise NotImplementedError

    def due_for_deletion(self, *, now: float, limit: int = 100) -> list[Account]:
        raise NotImplementedError


def a_login(town: Town, profile: Profile) -> Session:
    session = a_session()
    return replace(session, issued_at=town.clock(), user=replace(session.user, profile=profile))


@pytest.mark.parametrize("profile", [Profile(), Profile("Alice")], ids=["silent", "named"])
def test_the_next_login_of_a_crossed_one_ends_it(profile: Profile) -> None:
    """A deleted user who was made anew, and of whom nobody lived to tell, is found out."""
    town = Town()
    session = a_login(town, profile)
    TokenIssuer(town.directory, Provisioning(), Crossing(town), town.facts.observe).issue(session)
    town.new_web_process()
    account = town.accounts.find(session.user.uid)
    assert account is not None
    assert account.state is AccountState.DELETING
    issuer = TokenIssuer(town.directory, Provisioning(), town.accounts, town.facts.observe)

    assert issuer.issue(session).token
    town.settle()

    with pytest.raises(UserDeletedError):
        issuer.issue(session)
