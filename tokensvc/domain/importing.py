"""Importing: many users at once, and for each of them what became of it."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from typing import Any, Final

from tokensvc.domain.account_book import NEWER_KNOWN, AccountBook, refusal
from tokensvc.domain.accounts import Account
from tokensvc.domain.errors import (
    DirectoryMisconfiguredError,
    DirectoryUnavailableError,
    ProfileRefusedError,
    UserExistsError,
    UserNotFoundError,
    UserQuotaReachedError,
)
from tokensvc.domain.issuing import Provisioning
from tokensvc.domain.model import ChatUser, Uid
from tokensvc.domain.pacing import Pace, Patience
from tokensvc.domain.ports import UserDirectory
from tokensvc.domain.reconciling import differences

BATCH_USERS: Final = 50
"""As many as one bulk request takes."""
BATCH_BYTES: Final = 240 * 1024
ROW_OVERHEAD_BYTES: Final = 1280
"""What an answer says of a user beside their profile."""
EXISTS: Final = "ERR_UID_ALREADY_EXISTS"
NO_BULK: Final = "ERR_API_NOT_FOUND"
NOTHING_WAS_DONE: Final = frozenset({"ERR_TOO_MANY_REQUESTS", "TOO_MANY_REQUEST", "bulkhead_full"})
"""After these nobody can have been created; after anything else somebody may have been."""
OF_ONE_USER: Final = frozenset({"ERR_ROLE_NOT_FOUND", "ERR_INVALID_UID"})
"""What is wrong with the set-up where one user logs in is wrong with one row of many here."""
IN_DOUBT: Final = frozenset(
    {
        *("ERR_EXCEPTION", "ERR_OPERATION_FAILED", "ERR_MISSION_FAILED", "ERR_BAD_ERROR_RESPONSE"),
        *("ERR_TOO_MANY_REQUESTS", "ERR_WS_USER_CREATION_FAILED"),
        *("answer_without_row", "row_not_understood"),
    }
)
"""What a row may be answered with that leaves open whether its user is there."""


class Existing(StrEnum):
    """What is done about a user who is at CometChat already."""

    FAIL = "fail"
    SKIP = "skip"
    UPDATE = "update"


class Outcome(StrEnum):
    """What became of one user."""

    CREATED = "created"
    UPDATED = "updated"
    DEACTIVATED = "deactivated"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one user, and with FAILED why, as a fixed word."""

    outcome: Outcome
    reason: str = ""


@dataclass(slots=True)
class UserImport:
    """Creates users at CometChat, in bulk where that can be done.

    *version* is how old the list is, in milliseconds since 1970. Without *book*
    nothing is known of who was deleted, and nothing is written down.
    """

    directory: UserDirectory
    provisioning: Provisioning
    pace: Pace
    patience: Patience
    existing: Existing = Existing.FAIL
    book: AccountBook | None = None
    version: int = 0
    unsaid: Collection[str] = ()
    """The fields of which the list says nothing: an update leaves them as they are."""
    has_bulk: bool = True
    """False once CometChat has said that there is no bulk endpoint."""
    _in_doubt: bool = field(default=False)

    def send(self, users: Sequence[ChatUser], *, in_doubt: bool = False) -> list[Result]:
        """Return what became of each of *users*, which are a batch at most.

        *in_doubt* says that they may have been sent before, by a process that did
        not live to see the answer: whoever is there and looks as they should is
        taken for created. Raises `DirectoryUnavailableError` when patience is at
        an end, `DirectoryMisconfiguredError`, and `StorageUnavailableError`.
        """
        known = {user.uid: self.find(user.uid) for user in users}
        results = {uid: result for uid in known if (result := self._refused(known[uid]))}
        raw = {user.uid: user for user in users if user.uid not in results}
        if in_doubt:
            self._doubt([user for user in users if user.uid in results], known)
        wanted = {uid: self.provisioning.complete(user) for uid, user in raw.items()}
        self._in_doubt = in_doubt
        for uid, code in self._created([*wanted.values()]).items():
            if code == EXISTS and self.existing is Existing.UPDATE:
                raw[uid] = self.patience.through(partial(self.with_unsaid, raw[uid]))
            results[uid] = self._result(self.provisioning.complete(raw[uid]), code)
            self.write_down(known[uid], raw[uid], results[uid])
        return [results[user.uid] for user in users]

    def find(self, uid: Uid) -> Account | None:
        """Return what is known of the user, before CometChat is told anything."""
        return self.book.find(uid) if self.book else None

    def write_down(self, known: Account | None, raw: ChatUser, result: Result) -> None:
        """Note what became of the user, if CometChat was told what they look like."""
        if self.book and result.outcome in {Outcome.CREATED, Outcome.UPDATED}:
            sent = self.provisioning.complete(raw)
            self.book.imported(known, raw.profile, sent, self.version)

    def _doubt(self, users: Sequence[ChatUser], known: Mapping[Uid, Account | None]) -> None:
        """Have CometChat told again of those whom it may have been told of before they changed."""
        for user in users:
            if self.book:
                self.book.may_be_imported(known[user.uid], user, self.version)

    def _refused(self, known: Account | None) -> Result | None:
        reason = refusal(known, self.version)
        outcome = Outcome.SKIPPED if reason == NEWER_KNOWN else Outcome.FAILED
        return Result(outcome, reason) if reason else None

    def _created(self, users: Sequence[ChatUser]) -> dict[Uid, str]:
        """Return for each user "ok" or why they were not created."""
        codes: dict[Uid, str] = {}
        if self.has_bulk:
            self.patience.through(lambda: self._create_rest(users, codes))
        for user in users:
            if codes.get(user.uid, "answer_without_row") in IN_DOUBT:
                codes[user.uid] = self._created_alone(user)
        return codes

    def _create_rest(self, users: Sequence[ChatUser], codes: dict[Uid, str]) -> None:
        """Send in bulk whoever has no code yet; fills *codes* as far as it comes."""
        if self._in_doubt:
            codes.update({user.uid: "ok" for user in users if self._is_there(user)})
            self._in_doubt = False
        rest = [user for user in users if user.uid not in codes]
        if not rest:
            return
        self.pace.wait()
        try:
            codes.update(self.directory.import_users(rest))
        except DirectoryUnavailableError as error:
            self._in_doubt = error.reason not in NOTHING_WAS_DONE
            raise
        except DirectoryMisconfiguredError as error:
            if error.reason != NO_BULK:
                raise
            self.has_bulk = False

    def _is_there(self, user: ChatUser) -> bool:
        found = self.directory.find_user(user.uid)
        return found is not None and not differences(found.profile, user.profile)

    def _created_alone(self, user: ChatUser) -> str:
        tries = 0

        def create() -> str:
            nonlocal tries
            tries += 1
            try:
                self.directory.add_user(user)
            except UserExistsError:
                may_be_ours = tries > 1 or self._in_doubt or self.has_bulk
                return "ok" if may_be_ours and self._is_there(user) else EXISTS
            except DirectoryMisconfiguredError as error:
                return _of_one_user(error)
            except UserQuotaReachedError as error:
                return error.reason
            return "ok"

        return self.patience.through(create)

    def _result(self, user: ChatUser, code: str) -> Result:
        if code == "ok":
            return Result(Outcome.CREATED)
        if code != EXISTS or self.existing is Existing.FAIL:
            return Result(Outcome.FAILED, code)
        if self.existing is Existing.SKIP:
            return Result(Outcome.SKIPPED)
        return self.patience.through(lambda: self.update(user))

    def with_unsaid(self, user: ChatUser) -> ChatUser:
        """Return *user* with what CometChat has where the list says nothing."""
        found = self.directory.find_user(user.uid) if self.unsaid else None
        if found is None:
            return user
        kept: dict[str, Any] = {name: getattr(found.profile, name) for name in self.unsaid}
        return replace(user, profile=replace(user.profile, **kept))

    def update(self, user: ChatUser) -> Result:
        """Make a user who is there look like this one, and bring nobody back."""
        try:
            self.directory.update_user(user)
        except UserNotFoundError:
            return Result(Outcome.FAILED, "user_deactivated")
        except DirectoryMisconfiguredError as error:
            return Result(Outcome.FAILED, _of_one_user(error))
        return Result(Outcome.UPDATED)


def _of_one_user(error: DirectoryMisconfiguredError) -> str:
    """Return the reason if it concerns one user; what concerns all of them goes on."""
    if isinstance(error, ProfileRefusedError) or error.reason in OF_ONE_USER:
        return error.reason
    raise error


@dataclass(slots=True)
class Batch:
    """Users for one request.

    The answer has every user in it, and is read up to 256 KB; whoever sends a batch
    must know that it is one request, or none of it could be told from all of it.
    """

    users: list[ChatUser] = field(default_factory=list)
    _bytes: int = field(default=0)

    def takes(self, user: ChatUser) -> bool:
        """Return whether *user* can go into the same request; an empty batch takes anybody."""
        fits = self._bytes + _weight(user) <= BATCH_BYTES
        return not self.users or (fits and len(self.users) < BATCH_USERS)

    def add(self, user: ChatUser) -> None:
        """Put *user* in."""
        self.users.append(user)
        self._bytes += _weight(user)


def _weight(user: ChatUser) -> int:
    profile = user.profile
    texts = [profile.name, profile.avatar, profile.role, [*profile.tags], dict(profile.metadata)]
    text = json.dumps(texts)
    return len(text) + text.count("/") + ROW_OVERHEAD_BYTES
