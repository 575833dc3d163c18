"""Accounts' promises, kept by the fake and on both engines alike."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.builders import a_uid
from tests.fakes_sync import Clock, FakeAccounts
from tokensvc.adapters.accounts import SQLAccounts
from tokensvc.adapters.database import Database
from tokensvc.domain.accounts import Account, AccountState, Flag
from tokensvc.domain.errors import AccountChangedError
from tokensvc.domain.model import Profile
from tokensvc.domain.ports import Accounts

ALICE = a_uid("alice")
CLOCK = Clock()
WHOLE = Account(
    uid=ALICE,
    whole=Profile("Al\0ice \ud800", "https://x.test/a", "staff", ("a", "b"), {"team": {"id": 7}}),
    whole_version=2**63 - 1,
    claims={"name": (2**63, "Al\0 \ud800"), "tags": (5, ["c"]), "metadata.team": (6, {"id": 8})},
    suspended=Flag(is_on=True, version=1),
    deactivated=Flag(is_on=False, version=2),
    deleted=Flag(is_on=True, version=3),
    purged_at=4.5,
    delete_at=5.5,
    sent_profile_hash="0123abcd",
    sent_state=AccountState.DELETING,
)


@pytest.fixture(params=["fake", "sqlite", "postgresql"])
def accounts(request: pytest.FixtureRequest) -> Iterator[Accounts]:
    """Give each promise to every implementation."""
    if request.param == "fake":
        yield FakeAccounts(CLOCK)
        return
    database = Database(request.getfixturevalue(f"{request.param}_url"))
    yield SQLAccounts(database, now=CLOCK)
    database.close()


def found(accounts: Accounts, uid: str = "alice") -> Account:
    account = accounts.find(a_uid(uid))
    assert account is not None
    return account


def test_nobody_is_found(accounts: Accounts) -> None:
    """Of whom nothing was said there is no account."""
    assert accounts.find(ALICE) is None


def test_several_are_found_at_once(accounts: Accounts) -> None:
    """Those that there are, each as it is found alone; of nobody, nothing."""
    for uid in ("alice", "bob", "carol"):
        accounts.save(Account(a_uid(uid), whole=Profile(name=uid)))

    several = accounts.find_each({a_uid("alice"), a_uid("carol"), a_uid("dora")})

    assert several == {uid: accounts.find(uid) for uid in (a_uid("alice"), a_uid("carol"))}
    assert accounts.find_each([]) == {}
    for count in range(1, 101):
        uids = [a_uid(f"user-{number}") for number in range(1, count)] + [a_uid("bob")]
        assert set(accounts.find_each(uids)) == {"bob"}


@pytest.mark.parametrize("account", [WHOLE, Account(ALICE)], ids=["whole", "empty"])
def test_account_comes_back_as_it_was(accounts: Accounts, account: Account) -> None:
    """Everything that is known of a user is kept; the storage adds when and how often."""
    accounts.save(account)

    assert found(accounts) == replace(account, revision=1, created_at=CLOCK(), updated_at=CLOCK())


def test_each_write_is_a_revision(accounts: Accounts) -> None:
    """A write of what was read last is taken, and the time of creation stays."""
    accounts.save(Account(ALICE))
    before = found(accounts)
    CLOCK.pass_by(10)
    accounts.save(replace(before, whole=Profile(name="Al")))

    after = found(accounts)

    assert (after.profile.name, after.revision) == ("Al", 2)
    assert (after.created_at, after.updated_at) == (CLOCK() - 10, CLOCK())


def test_stale_write_is_refused(accounts: Accounts) -> None:
    """Of two who have read the same revision the second one to write is told."""
    accounts.save(Account(ALICE))
    read = found(accounts)
    accounts.save(replace(read, whole=Profile(name="first")))

    with pytest.raises(AccountChangedError):
        accounts.save(replace(read, whole=Profile(name="second")))

    assert found(accounts).profile.name == "first"


def test_second_creation_is_refused(accounts: Accounts) -> None:
    """Nor do two who have found nothing both create an account."""
    accounts.save(Account(ALICE, whole=Profile(name="first")))

    with pytest.raises(AccountChangedError):
        accounts.save(Account(ALICE, whole=Profile(name="second")))

    assert found(accounts).profile.name == "first"


def test_write_of_what_is_not_there_is_refused(accounts: Accounts) -> None:
    """A revision of an account that never was is no account."""
    with pytest.raises(AccountChangedError):
        accounts.save(Account(ALICE, revision=3))

    assert accounts.find(ALICE) is None


def test_accounts_due_for_deletion(accounts: Accounts) -> None:
    """Those whose time has come are returned, the longest overdue first."""
    for uid, delete_at in (("a", 30.0), ("b", 10.0), ("c", None), ("d", 20.0), ("e", 20.5)):
        accounts.save(Account(a_uid(uid), delete_at=delete_at))

    assert [account.uid for account in accounts.due_for_deletion(now=20.0)] == ["b", "d"]
    assert [account.uid for account in accounts.due_for_deletion(now=99.0, limit=1)] == ["b"]
