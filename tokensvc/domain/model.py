"""The nouns: who is signed in, who that is at CometChat, and what they are handed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NewType

Uid = NewType("Uid", str)
"""A CometChat user id. Only `uids.py` makes one, so holding one is proof that it is legal."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What a user looks like to others; whatever is absent is None or empty."""

    name: str | None = None
    avatar: str | None = None
    role: str | None = None
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class ChatUser:
    """One user of CometChat's directory."""

    uid: Uid
    profile: Profile = Profile()


@dataclass(frozen=True, slots=True)
class TokenHeader:
    """How a session token says it was signed."""

    alg: str | None = None
    kid: str | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """What a session token proves once it is verified.

    `dropped_claims` names the profile claims that CometChat would refuse and
    that are therefore left out; times are UNIX seconds.
    """

    issuer: str
    subject: str
    user: ChatUser
    expires_at: float
    header: TokenHeader = TokenHeader()
    token_id: str | None = None
    dropped_claims: tuple[str, ...] = ()
    issued_at: float | None = None

    @property
    def limit_key(self) -> str:
        """Whose allowance a request spends: never empty, one per user and issuer."""
        return f"{self.issuer}|{self.user.uid}"

    @property
    def version(self) -> int:
        """When it was issued, in milliseconds since 1970.

        What a token claims that does not say so may be of any time: it counts as older
        than whatever else is known.
        """
        return 0 if self.issued_at is None else int(self.issued_at * 1000)

    def is_newer_than(self, version: int) -> bool:
        """Return whether the token was issued after *version*."""
        return self.version > version


@dataclass(frozen=True, slots=True)
class AuthToken:
    """A CometChat auth token. Its value never reaches a log; its fingerprint may."""

    uid: Uid
    value: str

    def __repr__(self) -> str:
        return f"AuthToken(uid={self.uid!r})"


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A fresh auth token, and whether its user was created for it."""

    token: AuthToken
    user_created: bool


@dataclass(frozen=True, slots=True)
class Login:
    """A login that got a token, and what had to be done at CometChat for it."""

    session: Session
    has_created: bool = False
    has_reactivated: bool = False


LoginObserver = Callable[[Login], None]
"""Is told of logins. Never raises, and never waits."""
