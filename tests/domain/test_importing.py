"""Importing: what becomes of each user of a batch, whatever CometChat answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from tests.builders import a_uid, a_user, an_event
from tests.fakes import FakeUserDirectory
from tests.fakes_sync import Clock, FakeAccounts, FakeInbox
from tokensvc.domain.account_book import AccountBook
from tokensvc.domain.accounts import Account, AccountState, EventKind, Flag, profile_hash
from tokensvc.domain.errors import (
    DirectoryMisconfiguredError,
    DirectoryUnavailableError,
    TokenServiceError,
)
from tokensvc.domain.importing import BATCH_USERS, Batch, Existing, Outcome, Result, UserImport
from tokensvc.domain.issuing import Provisioning
from tokensvc.domain.lifecycle import LifecyclePolicy
from tokensvc.domain.mending import Mending
from tokensvc.domain.model import ChatUser, Profile, Uid
from tokensvc.domain.operating import FAILURES, UserOperator
from tokensvc.domain.pacing import Pace, Patience
from tokensvc.domain.reconciling import Drift
from tokensvc.domain.syncing import UserSync
from tokensvc.domain.telling import Telling

CREATED = Result(Outcome.CREATED)
UPDATED = Result(Outcome.UPDATED)
VERSION = 1_700_000_000_000


@dataclass
class VendorDirectory(FakeUserDirectory):
    """A directory whose bulk answers get lost, or tell odd things of rows.

    *lost* are raised after the users were created, one each; *odd* codes are told of
    rows, whose users were created if the code is kept in *kept_all_the_same*.
    """

    has_bulk: bool = True
    lost: list[TokenServiceError] = field(default_factory=list)
    odd: dict[str, str] = field(default_factory=dict)
    kept_all_the_same: bool = False
    sent: list[str] = field(default_factory=list)
    """The uids of all creations that were asked for, in bulk or alone."""

    def import_users(self, users: Sequence[ChatUser]) -> Mapping[Uid, str]:
        if not self.has_bulk:
            raise DirectoryMisconfiguredError("ERR_API_NOT_FOUND")
        told = {user.uid: self.odd[user.uid] for user in users if user.uid in self.odd}
        kept = [user for user in users if user.uid not in told or self.kept_all_the_same]
        codes = {**super().import_users(kept), **told}
        if self.lost:
            raise self.lost.pop(0)
        return codes

    def add_user(self, user: ChatUser) -> None:
        self.sent.append(user.uid)
        super().add_user(user)


@dataclass
class Office:
    """Somebody who imports, with what they know of and what they have written down."""

    directory: VendorDirectory = field(default_factory=VendorDirectory)
    accounts: FakeAccounts = field(default_factory=FakeAccounts)
    inbox: FakeInbox = field(default_factory=FakeInbox)
    slept: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clock = Clock()
        ids = iter(range(1000))
        self.book = AccountBook(
            self.accounts, self.inbox, LifecyclePolicy(), self.clock, lambda: f"id-{next(ids)}"
        )

    def importer(self, **changes: Any) -> UserImport:
        good: dict[str, Any] = {
            "pace": Pace(60, self.clock, self.clock.pass_by),
            "patience": Patience(self.slept.append),
            "book": self.book,
            "version": VERSION,
            "provisioning": Provisioning(),
        }
        return UserImport(self.directory, **{**good, **changes})

    def know(self, uid: str, **changes: Any) -> None:
        self.accounts.save(Account(a_uid(uid), **changes))

    def account(self, uid: str) -> Account:
        account = self.accounts.find(a_uid(uid))
        assert account
        return account


def test_new_users() -> None:
    """They are created, and written down as told: the worker has nothing left to do."""
    office = Office()

    assert office.importer().send([a_user("ann"), a_user("bob")]) == [CREATED, CREATED]
    assert sorted(office.directory.users) == ["ann", "bob"]
    assert office.account("ann").sent_state is AccountState.ACTIVE
    assert office.account("ann").sent_profile_hash == profile_hash(a_user("ann").profile)
    assert office.account("ann").profile_version == VERSION


def test_gaps_are_filled_as_at_a_login() -> None:
    """What the list leaves out is what a first login would get; the account keeps the list's."""
    office = Office()
    importer = office.importer(provisioning=Provisioning(default_role="member"))

    importer.send([ChatUser(a_uid("ann"))])

    assert office.directory.users[a_uid("ann")].profile.role == "member"
    assert office.account("ann").profile == Profile()


@pytest.mark.parametrize(
    ("existing", "result", "name"),
    [
        (Existing.FAIL, Result(Outcome.FAILED, "ERR_UID_ALREADY_EXISTS"), "Old"),
        (Existing.SKIP, Result(Outcome.SKIPPED), "Old"),
        (Existing.UPDATE, UPDATED, "Ann"),
    ],
)
@pytest.mark.parametrize("has_bulk", [True, False])
def test_existing_user(existing: Existing, result: Result, name: str, *, has_bulk: bool) -> None:
    """Whoever is there fails, stays as they are, or is updated: as it is wished."""
    office = Office(VendorDirectory(has_bulk=has_bulk))
    office.directory.users[a_uid("ann")] = a_user("ann", name="Old", role="default")

    assert office.importer(existing=existing).send([a_user("ann")]) == [result]
    assert office.directory.users[a_uid("ann")].profile.name == name


def test_fields_of_which_the_list_says_nothing() -> None:
    """An update leaves them as they are, and writes down what the user looks like now."""
    office = Office()
    office.directory.add_user(a_user("ann", name="Old", avatar="https://x.test/a"))

    importer = office.importer(existing=Existing.UPDATE, unsaid={"avatar", "role", "tags"})
    results = importer.send([a_user("ann", name="New")])

    looks = Profile(name="New", avatar="https://x.test/a", role="default")
    assert results == [UPDATED]
    assert office.directory.users[a_uid("ann")].profile == looks
    assert office.account("ann").sent_profile_hash == profile_hash(looks)


@pytest.mark.parametrize("has_bulk", [True, False])
def test_existing_user_of_the_same_looks(*, has_bulk: bool) -> None:
    """Without a doubt about an answer nobody who was there is taken for created."""
    office = Office(VendorDirectory(has_bulk=has_bulk))
    office.directory.users[a_uid("ann")] = a_user("ann")

    results = office.importer().send([a_user("ann")])

    assert results == [Result(Outcome.FAILED, "ERR_UID_ALREADY_EXISTS")]


def test_deactivated_user_is_not_brought_back() -> None:
    """An update finds nobody to update, and the import leaves it at that."""
    office = Office()
    office.directory.deactivate(a_user("ann"))

    results = office.importer(existing=Existing.UPDATE).send([a_user("ann")])

    assert results == [Result(Outcome.FAILED, "user_deactivated")]
    assert a_uid("ann") in office.directory.deactivated


def test_without_bulk_endpoint() -> None:
    """Each is created alone, and the endpoint is not asked again."""
    office = Office(VendorDirectory(has_bulk=False))
    importer = office.importer()

    assert importer.send([a_user("ann"), a_user("bob")]) == [CREATED, CREATED]
    assert importer.has_bulk is False
    assert office.directory.sent == ["ann", "bob"]


def test_lost_answer() -> None:
    """Whoever was created though the answer was lost is not sent again."""
    office = Office(VendorDirectory(lost=[DirectoryUnavailableError("timeout")]))

    assert office.importer().send([a_user("ann"), a_user("bob")]) == [CREATED, CREATED]
    assert office.directory.sent == ["ann", "bob"]


def test_busy() -> None:
    """429 is waited for as long as it says; nobody is looked up, for nobody was created."""
    office = Office()
    office.directory.failing = [
        DirectoryUnavailableError("ERR_TOO_MANY_REQUESTS", retry_after_s=58.0)
    ]

    assert office.importer().send([a_user("ann")]) == [CREATED]
    assert office.slept == [58.0]
    assert "find_user" not in office.directory.calls


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("code", ["ERR_EXCEPTION", "answer_without_row"])
def test_row_in_doubt(code: str, *, kept: bool) -> None:
    """A row whose answer leaves it open is sent alone; whoever is there counts as created."""
    office = Office(VendorDirectory(odd={"ann": code}, kept_all_the_same=kept))

    assert office.importer().send([a_user("ann"), a_user("bob")]) == [CREATED, CREATED]
    assert a_uid("ann") in office.directory.users


def test_row_in_doubt_of_somebody_else() -> None:
    """Whoever is there and looks otherwise was there before."""
    office = Office(VendorDirectory(odd={"ann": "ERR_EXCEPTION"}))
    office.directory.users[a_uid("ann")] = a_user("ann", name="Other")

    results = office.importer().send([a_user("ann")])

    assert results == [Result(Outcome.FAILED, "ERR_UID_ALREADY_EXISTS")]


@pytest.mark.parametrize("has_bulk", [True, False])
def test_after_a_crash(*, has_bulk: bool) -> None:
    """A batch that may have been sent is looked up first: nobody is created twice."""
    office = Office(VendorDirectory(has_bulk=has_bulk))
    office.importer().send([a_user("ann")])
    office.directory.sent.clear()

    results = office.importer().send([a_user("ann"), a_user("bob")], in_doubt=True)

    assert results == [CREATED, CREATED]
    assert office.directory.sent == ["bob"]
    assert sorted(office.directory.users) == ["ann", "bob"]


@pytest.mark.parametrize("has_bulk", [True, False])
def test_bad_row(*, has_bulk: bool) -> None:
    """What CometChat refuses of one user fails that user alone; so does the quota."""
    office = Office(VendorDirectory(has_bulk=has_bulk, max_users=1, refused_names={"Bad"}))

    results = office.importer().send([a_user("bad"), a_user("ann"), a_user("bob")])

    assert [result.reason for result in results] == [
        *("ERR_BAD_REQUEST", "", "ERR_PLAN_QUOTA_RESTRICTION")
    ]


def test_bad_key_ends_the_import() -> None:
    """What concerns all users is no failure of one."""
    office = Office()
    office.directory.failing = [DirectoryMisconfiguredError("AUTH_ERR_APIKEY_NOT_FOUND")]

    with pytest.raises(DirectoryMisconfiguredError):
        office.importer().send([a_user("ann")])


@pytest.mark.parametrize(
    ("known", "result"),
    [
        ({"deleted": Flag(is_on=True)}, Result(Outcome.FAILED, "account_deleting")),
        ({"suspended": Flag(is_on=True)}, Result(Outcome.FAILED, "account_suspended")),
        ({"whole_version": VERSION + 1}, Result(Outcome.SKIPPED, "newer_known")),
        ({"whole_version": VERSION}, CREATED),
    ],
)
def test_what_the_app_has_said(known: dict[str, Any], result: Result) -> None:
    """A list brings nobody back, and undoes nothing that is newer than itself."""
    office = Office()
    office.know("ann", **known)

    assert office.importer().send([a_user("ann")]) == [result]
    assert (a_uid("ann") in office.directory.users) == (result == CREATED)


def test_account_that_changes_meanwhile() -> None:
    """The fact waits in the inbox for the worker, which sees both."""
    office = Office()
    importer = office.importer()
    find = office.accounts.find

    @dataclass
    class Hasty(FakeAccounts):
        def find(self, uid: Uid) -> Account | None:
            found = find(uid)
            if self.reads == 0:
                office.know(uid, whole_version=VERSION - 5)
            self.reads += 1
            return found

        def save(self, account: Account) -> None:
            office.accounts.save(account)

    importer.book = AccountBook(
        Hasty(), office.inbox, LifecyclePolicy(), office.clock, lambda: "one"
    )

    assert importer.send([a_user("ann")]) == [CREATED]
    claim = office.inbox.claim(lease_s=1)
    assert claim
    assert (claim.event.source, claim.event.kind) == ("import", EventKind.UPDATED)


@pytest.mark.parametrize("shut_out", [EventKind.DELETED, EventKind.SUSPENDED])
def test_user_who_is_shut_out_meanwhile(shut_out: EventKind) -> None:
    """A deletion that crosses the creation wins: the worker finds the fact, and ends the user."""
    office = Office()
    telling = Telling(office.directory, Provisioning())
    sync = UserSync(office.accounts, telling, LifecyclePolicy(), office.clock)

    @dataclass
    class Crossed(VendorDirectory):
        def import_users(self, users: Sequence[ChatUser]) -> Mapping[Uid, str]:
            sync.apply(an_event(uid="ann", kind=shut_out, version=VERSION + 1))
            return super().import_users(users)

    office.directory = Crossed()
    assert office.importer().send([a_user("ann")]) == [CREATED]
    claim = office.inbox.claim(lease_s=1)
    assert claim

    UserSync(
        office.accounts, Telling(office.directory, Provisioning()), LifecyclePolicy(), office.clock
    ).apply(claim.event)

    assert a_uid("ann") in office.directory.deactivated


def test_batches() -> None:
    """Fifty fit, fewer where they are large; one alone always does."""
    small, large = Batch(), Batch()
    big = a_user("big", metadata={"x": "é" * 2400})
    for number in range(BATCH_USERS):
        assert small.takes(a_user(f"u{number}"))
        small.add(a_user(f"u{number}"))
    while large.takes(big):
        large.add(big)

    assert not small.takes(a_user("one-more"))
    assert 10 < len(large.users) < 20


@pytest.fixture
def operated() -> tuple[Office, UserOperator]:
    office = Office()
    office.importer().send([a_user("ann")])
    office.directory.create_auth_token(a_uid("ann"))
    return office, UserOperator(office.directory, office.book)


def test_deactivate_and_restore(operated: tuple[Office, UserOperator]) -> None:
    """The user is shut out, tokens and all, and let in again without the old ones."""
    office, operator = operated
    ann = a_uid("ann")

    operator.deactivate(ann)

    assert office.account("ann").state is AccountState.DEACTIVATED
    assert office.account("ann").sent_state is AccountState.DEACTIVATED
    assert ann in office.directory.deactivated

    office.clock.pass_by(1)
    office.directory.tokens[ann] = {"made between the flush and the deactivation"}
    operator.restore(ann)

    assert office.account("ann").state is AccountState.ACTIVE
    assert ann not in office.directory.deactivated
    assert not office.directory.tokens.get(ann)


def test_delete(operated: tuple[Office, UserOperator]) -> None:
    """The user is shut out, and due to be deleted for ever."""
    office, operator = operated

    operator.delete(a_uid("ann"))

    assert office.account("ann").state is AccountState.DELETING
    assert office.account("ann").delete_at == office.clock() + 30 * 86400
    assert a_uid("ann") in office.directory.deactivated


@pytest.mark.parametrize(
    ("delete_after_s", "outcome"),
    [
        (86400.0, "deleted; can be restored until 2027-01-16T08:00:00Z"),
        (None, "deleted; can be restored at any time"),
        (0.0, "deleted; the worker deletes them for ever at once"),
    ],
)
def test_how_long_a_deletion_can_be_undone(
    operated: tuple[Office, UserOperator], delete_after_s: float | None, outcome: str
) -> None:
    """It is said, as it is set; without a database nobody remembers it."""
    office, operator = operated
    book = replace(office.book, policy=LifecyclePolicy(delete_after_s))

    assert replace(operator, book=book).delete(a_uid("ann")) == outcome
    assert replace(operator, book=None).delete(a_uid("ann")).endswith("at any time")


def test_delete_for_ever(operated: tuple[Office, UserOperator]) -> None:
    """Nothing stays but the tombstone, which no restoration and no list undoes."""
    office, operator = operated
    ann = a_uid("ann")

    operator.delete_for_ever(ann)

    assert office.account("ann").state is AccountState.DELETED
    assert office.account("ann").profile == Profile()
    assert operator.restore(ann) in FAILURES
    assert office.importer().send([a_user("ann")])[0].reason == "account_deleted"


def test_suspended_user_is_not_restored(operated: tuple[Office, UserOperator]) -> None:
    """The app itself ends a suspension; an operator would undo what the app has said."""
    office, operator = operated
    known = office.account("ann")
    office.accounts.accounts[known.uid] = Account(known.uid, suspended=Flag(is_on=True))
    office.directory.deactivated.add(known.uid)

    assert operator.restore(known.uid) in FAILURES
    assert known.uid in office.directory.deactivated


def test_mending() -> None:
    """Different is updated, deactivated is let in without the old tokens, extra is shut out."""
    office = Office()
    for uid in ("ann", "bob", "eve"):
        office.directory.users[a_uid(uid)] = a_user(uid, name="Old")
        office.directory.tokens[a_uid(uid)] = {"old"}
    office.directory.deactivated.add(a_uid("bob"))
    mending = Mending(office.importer())

    assert mending.mend(Drift.DIFFERENT, a_user("ann")) == UPDATED
    assert mending.mend(Drift.DEACTIVATED, a_user("bob")) == UPDATED
    assert mending.deactivate(a_uid("eve")) == Result(Outcome.DEACTIVATED)
    assert office.directory.users[a_uid("bob")].profile.name == "Bob"
    assert office.directory.deactivated == {"eve"}
    assert [*office.directory.tokens] == ["ann"]
    assert office.account("eve").state is AccountState.DEACTIVATED


@pytest.mark.parametrize(
    "newer",
    [
        {"suspended": Flag(is_on=False, version=VERSION + 1)},
        {"deactivated": Flag(is_on=False, version=VERSION + 1)},
        {"created_at": VERSION / 1000 + 1},
    ],
)
def test_mending_of_a_newer_user(newer: dict[str, Any]) -> None:
    """Who came after the list, or was heard of since, is not shut out for not being on it."""
    office = Office()
    office.directory.users[a_uid("zoe")] = a_user("zoe")
    office.know("zoe", **newer)

    result = Mending(office.importer()).deactivate(a_uid("zoe"))

    assert result == Result(Outcome.SKIPPED, "newer_known")
    assert not office.directory.deactivated


def test_mending_of_a_suspended_user() -> None:
    """Whom the app has shut out stays shut out, list or no list."""
    office = Office()
    office.directory.deactivate(a_user("ann"))
    office.know("ann", suspended=Flag(is_on=True))

    result = Mending(office.importer()).mend(Drift.DEACTIVATED, a_user("ann"))

    assert result == Result(Outcome.FAILED, "account_suspended")
    assert a_uid("ann") in office.directory.deactivated
