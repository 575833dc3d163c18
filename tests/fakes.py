"""Fakes: in-process doubles of the domain's ports, which hold state."""

import io
import json
import threading
from dataclasses import dataclass, field
from typing import Any

from tokensvc.domain.audit import OperationalEvent
from tokensvc.domain.errors import (
    UserExistsError,
    UserNotFoundError,
    UserQuotaReachedError,
)
from tokensvc.domain.model import AuthToken, ChatUser, Uid


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
