"""Fakes: in-process doubles of the domain's ports, which hold state."""

import io
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tokensvc.domain.audit import OperationalEvent
from tokensvc.domain.errors import (
    ProfileRefusedError,
    TokenServiceError,
    UserExistsError,
    UserNotFoundError,
    UserQuotaReachedError,
)
from tokensvc.domain.model import AuthToken, ChatUser, Profile, Uid
from tokensvc.domain.ports import DirectoryUser


@dataclass
class FakeDirectory:
    """A directory in memory; `calls` are the operations it was asked for."""

    max_users: int | None = None
    users: dict[Uid, ChatUser] = field(default_factory=dict)
    deactivated: set[Uid] = field(default_factory=set)
    calls: list[str] = field(default_factory=list)
    token_with_user: bool = True

    def create_auth_token(self, uid: Uid) -> AuthToken:
        self.calls.append("create_auth_token")
        if uid not in self.users or uid in self.deactivated:
            raise UserNotFoundError("ERR_UID_NOT_FOUND")
        return self._token(uid)

    def create_user(self, user: ChatUser) -> AuthToken | None:
        self.calls.append("create_user")
        if user.uid in self.users:
            raise UserExistsError("ERR_UID_ALREADY_EXISTS")
        if self.max_users is not None and len(self.users) >= self.max_users:
            raise UserQuotaReachedError("ERR_PLAN_QUOTA_RESTRICTION")
        self.users[user.uid] = user
        return self._token(user.uid) if self.token_with_user else None

    def reactivate_user(self, uid: Uid) -> None:
        self.calls.append("reactivate_user")
        self.deactivated.discard(uid)

    def deactivate(self, user: ChatUser) -> None:
        """Have *user* in the directory, deactivated."""
        self.users[user.uid] = user
        self.deactivated.add(user.uid)

    def _token(self, uid: Uid) -> AuthToken:
        return AuthToken(uid, f"{uid}_1800000000{len(self.calls):030x}")


@dataclass
class Notices:
    """Keeps the operational events that it is told of."""

    events: list[OperationalEvent] = field(default_factory=list)

    def __call__(self, event: OperationalEvent) -> None:
        self.events.append(event)

    def names(self) -> list[str]:
        """Return what happened, in order."""
        return [event.name for event in self.events]


class WatchedLog(io.StringIO):
    """A log in memory that can be waited on."""

    def __init__(self) -> None:
        super().__init__()
        self._grown = threading.Condition()

    def write(self, text: str) -> int:
        with self._grown:
            written = super().write(text)
            self._grown.notify_all()
        return written

    def lines(self) -> list[dict[str, Any]]:
        """Return the whole lines so far."""
        whole = self.getvalue().rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines()]

    def wait_for(self, event: str, timeout_s: float) -> dict[str, Any]:
        """Return the first line of *event* as soon as it is there."""
        with self._grown:
            self._grown.wait_for(lambda: self._named(event), timeout_s)
            found = self._named(event)
        assert found, f"no {event} within {timeout_s} s: {self.getvalue()}"
        return found[0]

    def _named(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.lines() if line["event"] == event]


@dataclass
class FakeUserDirectory(FakeDirectory):
    """A directory in memory whose users can be changed, deactivated and deleted.

    *failing* is raised by the next calls, one each, before anything happens.
    """

    refused_names: set[str] = field(default_factory=set)
    failing: list[TokenServiceError] = field(default_factory=list)
    tokens: dict[Uid, set[str]] = field(default_factory=dict)

    def create_auth_token(self, uid: Uid) -> AuthToken:
        self._may_fail()
        return self._kept(super().create_auth_token(uid))

    def create_user(self, user: ChatUser) -> AuthToken | None:
        self._may_fail()
        self._demand_good(user)
        token = super().create_user(user)
        return self._kept(token) if token else None

    def reactivate_user(self, uid: Uid) -> None:
        self._may_fail()
        super().reactivate_user(uid)

    def find_user(self, uid: Uid) -> ChatUser | None:
        self._called("find_user")
        return None if uid in self.deactivated else self.users.get(uid)

    def list_users(self) -> Iterator[DirectoryUser]:
        self._called("list_users")
        for uid, user in [*self.users.items()]:
            yield DirectoryUser(user, is_deactivated=uid in self.deactivated)

    def add_user(self, user: ChatUser) -> None:
        self._called("add_user")
        self._demand_good(user)
        if user.uid in self.users:
            raise UserExistsError("ERR_UID_ALREADY_EXISTS")
        if self.max_users is not None and len(self.users) >= self.max_users:
            raise UserQuotaReachedError("ERR_PLAN_QUOTA_RESTRICTION")
        self.users[user.uid] = _with_role(user, None)

    def update_user(self, user: ChatUser) -> None:
        self._called("update_user")
        self._demand_good(user)
        if user.uid not in self.users or user.uid in self.deactivated:
            raise UserNotFoundError("ERR_UID_NOT_FOUND")
        self.users[user.uid] = _with_role(user, self.users[user.uid])

    def deactivate_user(self, uid: Uid) -> bool:
        self._called("deactivate_user")
        if uid in self.users:
            self.deactivated.add(uid)
        return uid in self.users

    def delete_user(self, uid: Uid) -> None:
        self._called("delete_user")
        self.users.pop(uid, None)
        self.deactivated.discard(uid)
        self.tokens.pop(uid, None)

    def flush_tokens(self, uid: Uid) -> None:
        self._called("flush_tokens")
        if uid not in self.deactivated:
            self.tokens.pop(uid, None)

    def import_users(self, users: Sequence[ChatUser]) -> Mapping[Uid, str]:
        self._called("import_users")
        return {user.uid: self._import(user) for user in users}

    def _import(self, user: ChatUser) -> str:
        try:
            self.add_user(user)
        except TokenServiceError as error:
            return error.reason
        return "ok"

    def _called(self, operation: str) -> None:
        self.calls.append(operation)
        self._may_fail()

    def _may_fail(self) -> None:
        if self.failing:
            raise self.failing.pop(0)

    def _demand_good(self, user: ChatUser) -> None:
        if user.profile.name in self.refused_names:
            raise ProfileRefusedError("ERR_BAD_REQUEST")

    def _kept(self, token: AuthToken) -> AuthToken:
        self.tokens.setdefault(token.uid, set()).add(token.value)
        return token


def _with_role(user: ChatUser, known: ChatUser | None) -> ChatUser:
    """Return *user* as the directory keeps them: what cannot be unset stays as it was."""
    before = known.profile if known else Profile(role="default")
    profile = replace(
        user.profile,
        name=user.profile.name or before.name,
        role=user.profile.role or before.role,
        tags=user.profile.tags or before.tags,
    )
    return replace(user, profile=profile)
