"""Receiving: a webhook's delivery in, its events on disk out."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from tokensvc.domain.accounts import EventKind, UserEvent
from tokensvc.domain.audit import Notify, OperationalEvent
from tokensvc.domain.deliveries import Delivery, Fact, Heading, Opened, Sender
from tokensvc.domain.errors import DeliveryConflictError, UidNotAllowedError
from tokensvc.domain.model import Profile, Uid
from tokensvc.domain.ports import Inbox
from tokensvc.domain.profiles import ClaimPath, ProfileClaims, claim_at
from tokensvc.domain.uids import UidRule

_SUSPENSIONS: Final = frozenset({EventKind.SUSPENDED, EventKind.UNSUSPENDED})


@dataclass(frozen=True, slots=True)
class Identity:
    """How a source's users are named: by the rule of the issuer of their session tokens."""

    uid_rule: UidRule
    uid_claim: ClaimPath
    profile_claims: ProfileClaims = field(default_factory=ProfileClaims)

    def uid_of(self, fact: Fact) -> Uid:
        """Return the uid of the fact's user, or raise `UidNotAllowedError`.

        A database may number its users; a session token spells such a number as text.
        """
        subject = claim_at(self.uid_claim, fact.claims)
        if isinstance(subject, int) and not isinstance(subject, bool):
            subject = str(subject)
        if not isinstance(subject, str) or not subject:
            raise UidNotAllowedError("uid_claim_malformed")
        return self.uid_rule(subject)

    def profile_of(self, fact: Fact) -> tuple[Profile | None, tuple[str, ...]]:
        """Return the profile that the fact tells, if it does, and which claims do not fit."""
        return self.profile_claims.read(fact.claims) if fact.tells_profile else (None, ())


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a delivery: events stored, and events that are of no use."""

    stored: int
    ignored: int
    uid: Uid | None = None
    """Whom it is about, if it is about one user."""
    dropped_claims: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Receiver:
    """Takes in what one source delivers."""

    source: str
    sender: Sender
    identity: Identity
    inbox: Inbox
    notify: Notify
    suspends: bool = True
    """Whether this source has a say in who is suspended."""

    def admit(self, heading: Heading) -> bool:
        """Return whether *heading* alone proves the sender.

        Raises `DeliveryRefusedError` if the body need not be waited for.
        """
        return self.sender.admit(heading)

    def receive(self, delivery: Delivery) -> Receipt:
        """Store the facts of *delivery*; when this returns they are on disk.

        Raises `DeliveryRefusedError`, `DeliveryConflictError` and
        `StorageUnavailableError`; then nothing is stored.
        """
        opened = self._within_its_say(self.sender.open(delivery))
        reasons = list(opened.not_understood)
        dropped: list[str] = []
        events: dict[str, tuple[UserEvent, bytes]] = {}
        for event, content_hash in self._events(opened, reasons, dropped):
            # Of two events of one id the first one counts: the inbox has room for one.
            events.setdefault(event.event_id, (event, content_hash))
        stored = self._put(tuple(events.values()))
        ignored = opened.ignored + len(reasons)
        self._tell(opened.ignored, reasons)
        uids = {event.uid for event, _ in events.values()}
        return Receipt(
            stored=stored,
            ignored=ignored,
            uid=uids.pop() if len(uids) == 1 else None,
            dropped_claims=tuple(dict.fromkeys(dropped)),
        )

    def _within_its_say(self, opened: Opened) -> Opened:
        """Leave out what this source has no say in."""
        if self.suspends:
            return opened
        facts = tuple(fact for fact in opened.facts if fact.kind not in _SUSPENSIONS)
        left_out = len(opened.facts) - len(facts)
        return replace(opened, facts=facts, ignored=opened.ignored + left_out)

    def _events(
        self, opened: Opened, reasons: list[str], dropped: list[str]
    ) -> Iterator[tuple[UserEvent, bytes]]:
        for fact in opened.facts:
            try:
                uid = self.identity.uid_of(fact)
            except UidNotAllowedError as error:
                reasons.append(error.reason)
                continue
            profile, left_out = self.identity.profile_of(fact)
            dropped.extend(left_out)
            event = UserEvent(fact.kind, uid, fact.version, self.source, fact.event_id, profile)
            yield event, fact.content_hash

    def _put(self, events: Sequence[tuple[UserEvent, bytes]]) -> int:
        if not events:
            return 0
        try:
            return self.inbox.put_each(events)
        except DeliveryConflictError:
            self.notify(
                OperationalEvent("delivery_conflict", {"source": self.source}, is_alarm=True)
            )
            raise

    def _tell(self, ignored: int, reasons: list[str]) -> None:
        if ignored:
            self.notify(
                OperationalEvent("event_ignored", {"source": self.source, "count": ignored})
            )
        for reason, count in Counter(reasons).items():
            self.notify(
                OperationalEvent(
                    "event_not_understood",
                    {"source": self.source, "reason": reason, "count": count},
                )
            )
