"""The audit record: one per request, opened first and closed last."""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from tokensvc.domain.errors import CallerError, TokenServiceError
from tokensvc.domain.model import AuthToken, Session, TokenHeader

TOKEN_OPERATIONS: Final = frozenset({"create_auth_token", "create_user"})
"""The operations of CometChat that make an auth token."""


@dataclass(frozen=True, slots=True)
class VendorCall:
    """One request to CometChat: for which operation, how it ended, and how long it took."""

    operation: str
    outcome: str
    duration_s: float
    answer_lost: bool = False
    """Whether it was sent and never answered: then it may have been done all the same."""


@dataclass(slots=True)
class RequestRecord:
    """What is known of one request; `facts` is what its log line says.

    Holds no secret: tokens enter by their fingerprint, URLs not at all.
    """

    request_id: str
    started_at: float
    """UNIX seconds."""
    method: str
    route: str | None = None
    client_address: str | None = None
    user_agent: str | None = None
    issuer: str | None = None
    unverified_issuer: str | None = None
    """What a refused token claims to come from, where no such issuer is configured."""
    uid: str | None = None
    subject: str | None = None
    """Whom a proven token names that was refused: it may be no uid."""
    alg: str | None = None
    kid: str | None = None
    jti: str | None = None
    dropped_claims: tuple[str, ...] = ()
    token_fingerprint: str | None = None
    user_created: bool | None = None
    webhook_source: str | None = None
    events_stored: int | None = None
    events_ignored: int | None = None
    vendor_calls: list[VendorCall] = field(default_factory=list)
    outcome: str = "ok"
    reason: str | None = None
    status: int = 0
    verify_s: float | None = None
    duration_s: float = 0.0

    @property
    def vendor_s(self) -> float:
        """Seconds spent waiting for CometChat."""
        return sum(call.duration_s for call in self.vendor_calls)

    @property
    def orphaned_tokens(self) -> int:
        """How many auth tokens may have been made that nobody was handed."""
        return sum(
            call.answer_lost and call.operation in TOKEN_OPERATIONS for call in self.vendor_calls
        )

    def name_caller(self, session: Session) -> None:
        """Write down who is calling, now that it is proven."""
        self.issuer = session.issuer
        self.uid = session.user.uid
        self.jti = session.token_id
        self.dropped_claims = session.dropped_claims
        self._note_header(session.header)

    def name_failure(self, error: TokenServiceError) -> None:
        """Write down why there is no good answer."""
        self.outcome = error.code
        self.reason = error.reason or None
        if isinstance(error, CallerError) and error.unverified_header:
            self.issuer = error.issuer
            self.unverified_issuer = error.unverified_issuer
            self.subject, self.jti = error.subject, error.token_id
            self._note_header(error.unverified_header)

    def _note_header(self, header: TokenHeader) -> None:
        self.alg, self.kid = header.alg, header.kid


Observer = Callable[[RequestRecord], None]
"""Reads a closed record. One that raises does not break the answer."""


@dataclass(frozen=True, slots=True)
class OperationalEvent:
    """What an operator may have to know of beside the requests: a neighbour failed, or is back.

    *name* is a fixed word of ours; *facts* are short and hold nothing that a
    stranger wrote, no secret and no URL. An alarm is for a person to look at.
    """

    name: str
    facts: Mapping[str, str | int | float] = field(default_factory=dict)
    is_alarm: bool = False


Notify = Callable[[OperationalEvent], None]
"""Is told of operational events, from any thread. Never raises, and never waits."""


@dataclass(slots=True)
class Announcer:
    """Passes each event on to its *readers*, who may be known later than those who tell."""

    readers: tuple[Notify, ...] = ()

    def __call__(self, event: OperationalEvent) -> None:
        for notify in self.readers:
            notify(event)


@dataclass(frozen=True, slots=True)
class Fingerprinter:
    """Gives auth tokens the only name they have in logs: 16 hex digits of an HMAC."""

    log_key: Callable[[], bytes] = field(repr=False)
    """Asked at each use: the key may change while we run."""

    def of(self, token: AuthToken) -> str:
        """Return the fingerprint of *token*; without the key it cannot be guessed."""
        # Not hmac.digest: it lets go of the interpreter, for another thread to take its turn.
        return hmac.new(self.log_key(), token.value.encode(), hashlib.sha256).hexdigest()[:16]
