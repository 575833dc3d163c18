"""What the domain needs from outside, and what each failure means."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from tokensvc.domain.accounts import Account, UserEvent
from tokensvc.domain.model import AuthToken, ChatUser, Session, Uid

SHUT_OUT_WITHIN_S: Final = 60.0
"""How long at most a fact that shuts a user out waits until it is tried with what is before it."""


LONGEST_PAUSE_S: Final = 900.0
CLOCK_SLACK_S: Final = 300.0
"""What is held for longer than any pause or lease, and this, was held by a clock that was wrong."""


class SessionVerifier(Protocol):
    """Tells who is calling from the session token they carry."""

    def verify(self, unverified_token: str) -> Session:
        """Return what *unverified_token* proves.

        Raises `SessionExpiredError` for a token that is good but for its age,
        `SessionError` for any other that is refused, `UidNotAllowedError` for a
        good one whose subject cannot be a uid, and `KeysUnavailableError` while
        its issuer's keys are not at hand: nothing is known about the token then.
        Opens no connection, and waits for none.
        """


class ChatDirectory(Protocol):
    """CometChat's set of users.

    Every method may raise `DirectoryUnavailableError` (nothing is known to have
    happened; try later) and `DirectoryMisconfiguredError` (trying again does not
    help before an operator changes something).
    """

    def create_auth_token(self, uid: Uid) -> AuthToken:
        """Return a fresh auth token; the older ones stay valid.

        Raises `UserNotFoundError` if there is no such user or it is deactivated.
        """

    def create_user(self, user: ChatUser) -> AuthToken | None:
        """Create *user* and return its first auth token, if one came with the answer.

        Raises `UserExistsError` if the uid is taken, also by a deactivated user,
        and `UserQuotaReachedError` if there is no room for one more.
        """

    def reactivate_user(self, uid: Uid) -> None:
        """Make a deactivated user live again; for any other nothing happens."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A lease on one event: who holds it may write down what became of it."""

    number: int
    """The event's place in the order of arrival."""
    event: UserEvent
    attempts: int
    """How often it was claimed, this time included."""
    fence: int
    """Grows with each claim of the event: an older holder's verdict is refused."""


@dataclass(frozen=True, slots=True)
class BuriedEvent:
    """A dead letter, for an operator to look at."""

    number: int
    event: UserEvent
    attempts: int
    reason: str
    received_at: float
    buried_at: float


@dataclass(frozen=True, slots=True)
class RetriedEvent:
    """An event that has failed, and is to be tried again."""

    number: int
    event: UserEvent
    attempts: int
    reason: str
    received_at: float
    next_try_at: float


@dataclass(frozen=True, slots=True)
class InboxStatus:
    """How much is where; times are UNIX seconds, None where there is nothing."""

    waiting: int
    leased: int
    retrying: int
    buried: int
    done: int
    oldest_waiting_at: float | None


class Inbox(Protocol):
    """Events that survive a restart. Delivers at least once, and a user's events in their order.

    Every method may raise `StorageUnavailableError`.
    """

    def put(self, events: Sequence[UserEvent], *, body_hash: bytes) -> bool:
        """Store *events* of one delivery, as far as they are new; return whether one was.

        False means that they were stored before, by a delivery with the same
        *body_hash*; raises `DeliveryConflictError`, and stores nothing, if its body
        was another. When this returns, the events are on disk.
        """

    def put_each(self, events: Sequence[tuple[UserEvent, bytes]]) -> int:
        """Store those of *events* that are not known, and return how many that were.

        Beside each stands the hash of its content; raises `DeliveryConflictError`,
        and stores nothing, if the content of a known one was another. When this
        returns, the events are on disk.
        """

    def claim(self, *, lease_s: float) -> Claim | None:
        """Lease the next due event to this worker, if there is one.

        An event is due when no older one of its user is waiting, leased or being
        retried. A buried event holds nobody up. A lease that ran out is claimed again.
        A fact that shuts a user out ends the pause of what is retried before it. So does
        a clock that was ahead, `CLOCK_SLACK_S` at least, and is put right.
        """

    def behind(self, claim: Claim) -> Sequence[UserEvent]:
        """Return what waits behind the claimed event: the newest fact of each kind and source."""

    def done(self, claim: Claim) -> None:
        """Write down that the event was applied; raises `LeaseLostError`."""

    def retry(self, claim: Claim, *, after_s: float, reason: str) -> None:
        """Give the event back until *after_s* have passed; raises `LeaseLostError`.

        That is `LONGEST_PAUSE_S` at most or, where a fact that shuts the user out waits
        behind it, `SHUT_OUT_WITHIN_S`.
        """

    def bury(self, claim: Claim, *, reason: str) -> None:
        """Put the event aside for an operator; raises `LeaseLostError`."""

    def status(self) -> InboxStatus:
        """Return how much is where."""

    def retrying(self, *, after_number: int = 0, limit: int = 100) -> Sequence[RetriedEvent]:
        """Return the events whose pause is not over, by their number, *limit* at most."""

    def buried(self, *, after_number: int = 0, limit: int = 100) -> Sequence[BuriedEvent]:
        """Return dead letters by their number, *limit* at most."""

    def replay(self, number: int) -> bool:
        """Make a buried event due again; return whether there was one."""

    def drop(self, number: int) -> bool:
        """Forget a buried event for ever; return whether there was one."""

    def forget_done(self, *, before: float) -> int:
        """Delete what was done before *before* (UNIX seconds); return how many."""


class Accounts(Protocol):
    """What is known of each user. Every method may raise `StorageUnavailableError`."""

    def find(self, uid: Uid) -> Account | None:
        """Return the account, a tombstone too, or None."""

    def find_each(self, uids: Collection[Uid]) -> Mapping[Uid, Account]:
        """Return the accounts of *uids*, a few hundred at most, tombstones too."""

    def save(self, account: Account) -> None:
        """Write *account*, as it was read and then changed.

        Raises `AccountChangedError` if somebody else has written it since.
        """

    def due_for_deletion(self, *, now: float, limit: int = 100) -> Sequence[Account]:
        """Return accounts whose `delete_at` has come."""


@dataclass(frozen=True, slots=True)
class DirectoryUser:
    """A user as CometChat has them."""

    user: ChatUser
    is_deactivated: bool


class UserDirectory(ChatDirectory, Protocol):
    """CometChat's set of users, to keep it in step with the app's.

    All methods can be repeated after a lost answer.
    """

    def find_user(self, uid: Uid) -> ChatUser | None:
        """Return the live user, or None: there is none, or it is deactivated."""

    def list_users(self) -> Iterator[DirectoryUser]:
        """Yield all users, the deactivated ones too, page by page."""

    def add_user(self, user: ChatUser) -> None:
        """Create *user* without a token.

        Raises `UserExistsError` if the uid is taken, also by a deactivated user,
        `UserQuotaReachedError` if there is no room for one more, and
        `ProfileRefusedError` if CometChat refuses what the user looks like.
        """

    def update_user(self, user: ChatUser) -> None:
        """Make the user's profile this one; what is absent is unset where the vendor can.

        Role, tags and name cannot be unset at CometChat: where the profile has none
        they stay. Raises `UserNotFoundError` if there is no such user or it is
        deactivated, and `ProfileRefusedError`.
        """

    def deactivate_user(self, uid: Uid) -> bool:
        """Deactivate the user; return whether there is one.

        For one who is missing or deactivated nothing happens.
        """

    def delete_user(self, uid: Uid) -> None:
        """Delete the user for ever; for one who is missing nothing happens.

        When this raises, the user is deactivated, as far as that could still be done.
        """

    def flush_tokens(self, uid: Uid) -> None:
        """Make every auth token of the user invalid; for one who is missing nothing happens."""

    def import_users(self, users: Sequence[ChatUser]) -> Mapping[Uid, str]:
        """Create up to 50 users at once; return for each "ok" or the vendor's code.

        Raises `DirectoryMisconfiguredError` with reason `ERR_API_NOT_FOUND` where the
        bulk endpoint is not available.
        """
