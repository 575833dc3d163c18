"""The state of the emulated vendor: apps, their keys, users, auth tokens and roles."""

import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from tokensvc.emulator import errors
from tokensvc.emulator.switches import Switches

Scope = Literal["fullAccess", "authOnly"]
SAMPLE_USERS: Final = {
    "cometchat-uid-1": "Andrew Joseph",
    "cometchat-uid-2": "George Alan",
    "cometchat-uid-3": "Nancy Grace",
    "cometchat-uid-4": "Susan Marie",
    "cometchat-uid-5": "John Paul",
}
DEFAULT_ROLE: Final = "default"


@dataclass
class User:
    """One user; times are UNIX seconds."""

    uid: str
    fields: dict[str, Any]
    created_at: int
    updated_at: int | None = None
    deactivated_at: int | None = None

    def public(self, *, with_tags: bool = True) -> dict[str, Any]:
        """Return the user object of answers: what is empty is left out, not null."""
        shown = {
            "uid": self.uid,
            **self.fields,
            "status": "offline",
            "createdAt": self.created_at,
            "updatedAt": self.updated_at,
            "deactivatedAt": self.deactivated_at,
        }
        if not with_tags:
            shown.pop("tags", None)
        return {name: value for name, value in shown.items() if value not in (None, [], {})}


@dataclass
class Token:
    """One auth token; an archived one is no longer valid."""

    value: str
    uid: str
    created_at: int
    archived: bool = False
    device: dict[str, Any] = field(default_factory=dict)

    def public(self) -> dict[str, Any]:
        """Return the token object of answers."""
        return {
            "uid": self.uid,
            "authToken": self.value,
            "createdAt": self.created_at,
            **self.device,
        }


@dataclass
class App:
    """One app of the vendor's dashboard."""

    app_id: str
    region: str
    keys: dict[str, Scope]
    users: dict[str, User] = field(default_factory=dict)
    tokens: dict[str, Token] = field(default_factory=dict)
    """All of them, archived ones too; changed through the methods below alone."""
    roles: dict[str, dict[str, Any]] = field(default_factory=dict)
    _valid: dict[str, dict[str, Token]] = field(default_factory=dict, repr=False)
    """The valid tokens by uid, oldest first: a token costs the same however many there are."""

    def live_user(self, spelled: str) -> User:
        """Return the user, or the one answer for unknown and deactivated ones."""
        user = self.users.get(spelled.lower())
        if user is None or user.deactivated_at is not None:
            raise errors.uid_unknown(spelled.lower())
        return user

    def tokens_of(self, uid: str) -> list[Token]:
        """Return the valid tokens of a user, newest first."""
        return [*self._valid.get(uid, {}).values()][::-1]

    def add_token(self, token: Token) -> None:
        """Take in a new token."""
        self.tokens[token.value] = token
        self._valid.setdefault(token.uid, {})[token.value] = token

    def archive(self, token: Token) -> None:
        """Keep a token, but no longer as a valid one."""
        token.archived = True
        del self._valid[token.uid][token.value]

    def end_token(self, token: Token) -> None:
        """Delete one valid token."""
        del self.tokens[token.value]
        del self._valid[token.uid][token.value]

    def forget(self, uid: str) -> None:
        """Delete a user for ever, tokens included; the uid is free again."""
        del self.users[uid]
        self.end_tokens(uid)

    def end_tokens(self, uid: str) -> None:
        """Delete every token of a user."""
        self._valid.pop(uid, None)
        self.tokens = {value: token for value, token in self.tokens.items() if token.uid != uid}


class World:
    """All apps, behind one lock. *now* is the clock, in UNIX seconds."""

    def __init__(self, switches: Switches, now: Callable[[], float]) -> None:
        self.switches = switches
        self.now = now
        self.apps: dict[str, App] = {}
        self._lock = threading.RLock()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Let nobody else in for the length of the block."""
        with self._lock:
            yield

    def add_app(
        self,
        app_id: str,
        *,
        region: str,
        api_key: str,
        auth_key: str | None = None,
        sample_users: bool = False,
    ) -> App:
        """Open an app with a fullAccess key, perhaps an authOnly key, and the default role."""
        keys: dict[str, Scope] = {api_key: "fullAccess"}
        if auth_key:
            keys[auth_key] = "authOnly"
        app = App(app_id, region, keys)
        app.roles[DEFAULT_ROLE] = {
            "role": DEFAULT_ROLE,
            "name": "Default Role",
            "createdAt": self.second(),
        }
        self.apps[app_id] = app
        for uid, name in (SAMPLE_USERS if sample_users else {}).items():
            self.create_user(app, uid, {"name": name})
        return app

    def app_named(self, app_id: str) -> App | None:
        """Return the app; host names, and so the ids within them, know no case."""
        names = {name.lower(): app for name, app in self.apps.items()}
        return names.get(app_id.lower())

    def second(self) -> int:
        """Return the time as answers carry it."""
        return int(self.now())

    def create_user(self, app: App, spelled: str, fields: dict[str, Any]) -> User:
        """Create a user under the lower-cased uid."""
        uid = spelled.lower()
        if uid in app.users:
            raise errors.uid_taken(uid)
        role = str(fields.get("role", DEFAULT_ROLE)).lower()
        if role not in app.roles:
            raise errors.role_unknown(role)
        if self.switches.max_users is not None and len(app.users) >= self.switches.max_users:
            raise errors.quota_reached()
        kept = {**fields, "role": role}
        user = User(uid, kept, kept.pop("createdAt", self.second()))
        app.users[uid] = user
        return user

    def mint_token(self, app: App, uid: str) -> Token:
        """Make a token, and archive the oldest of those that are too many."""
        created_at = self.second()
        value = f"{uid}_{created_at:010d}{secrets.token_hex(15)}"
        token = Token(value, uid, created_at)
        app.add_token(token)
        for old in app.tokens_of(uid)[self.switches.tokens_per_user :]:
            app.archive(old)
        return token
