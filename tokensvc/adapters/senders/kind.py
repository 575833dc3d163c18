"""What a sender is made of: how it signs, what it says, and where its claims stand."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from tokensvc.adapters.key_sets import KeySet
from tokensvc.adapters.senders.message import Message, NotUnderstoodError
from tokensvc.adapters.signatures.proof import Proof, TermsError, Verifier
from tokensvc.adapters.signatures.signed_jwt import Signer
from tokensvc.domain.deliveries import Delivery, Fact, Heading, Opened, hash_of
from tokensvc.domain.profiles import ClaimPath, Claims, claim_at
from tokensvc.domain.strict_json import JSONError, parse_json_object

MAX_BATCH: Final = 1000
"""Events in one delivery; those who batch send far fewer."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What is agreed with the sender of one source."""

    secrets: tuple[str, ...] = field(default=(), repr=False)
    key_sets: tuple[KeySet, ...] = field(default=(), repr=False)
    algorithms: frozenset[str] = frozenset()
    options: Mapping[str, str] = field(default_factory=dict)
    """`scheme`, `header`, `digest`, `audience`, as far as they are set."""
    entities: frozenset[str] = frozenset()
    """Which of the sender's kinds of records are users; empty where the default is meant."""

    def signer(self) -> Signer:
        """Return whose JWTs are believed."""
        if not self.key_sets:
            raise TermsError("needs options.jwks_file")
        return Signer(self.key_sets, self.algorithms, self.options.get("audience"))


@dataclass(frozen=True, slots=True)
class ClaimNames:
    """Where a sender's user has its id and profile; names, or JSON Pointers further in."""

    uid: str = "id"
    name: str | None = "name"
    avatar: str | None = None
    role: str | None = None
    tags: str | None = None


Reader = Callable[[Message], Iterable[Fact]]
"""Yields the facts of one event, none for an event of no use, or raises `NotUnderstoodError`."""


def _itself(text: str) -> Sequence[str]:
    return (text,)


@dataclass(frozen=True, slots=True)
class SenderKind:
    """One kind of sender."""

    verifier: Callable[[Terms], Verifier]
    """Raises `TermsError` if it cannot work on these terms."""
    facts: Reader
    claims: ClaimNames = ClaimNames()
    id_path: ClaimPath | None = None
    """Where an event has its own id, if it has one that stays over retries."""
    events: Callable[[Claims], Sequence[object]] | None = None
    """Splits a batch, if a delivery is one; raises `NotUnderstoodError`."""
    takes: frozenset[str] = frozenset()
    """Which options make sense for it."""
    entities: frozenset[str] = frozenset()
    split_secrets: Callable[[str], Sequence[str]] = _itself
    """Splits one text of the settings into the secrets in it."""
    status: int = 202
    """What a stored delivery is answered with."""
    challenge_header: str | None = None
    """Holds what a first GET must be answered with, where the sender asks for that."""

    def agree(self, terms: Terms) -> "WebhookSender":
        """Return the sender on these terms, or raise `TermsError`."""
        secrets = tuple(part for text in terms.secrets for part in self.split_secrets(text))
        verify = self.verifier(replace(terms, secrets=secrets))
        return WebhookSender(self, verify, terms.entities or self.entities)


@dataclass(frozen=True, slots=True)
class WebhookSender:
    """A sender with which terms are agreed: it opens deliveries."""

    kind: SenderKind
    verify: Verifier
    entities: frozenset[str]

    def admit(self, heading: Heading) -> bool:
        return self.verify.admit(heading)

    def open(self, delivery: Delivery) -> Opened:
        proof = self.verify(delivery)
        try:
            events = self._events(parse_json_object(proof.payload), proof)
        except JSONError:
            return Opened((), not_understood=("payload_malformed",))
        except NotUnderstoodError as error:
            return Opened((), not_understood=(error.reason,))
        facts: list[Fact] = []
        reasons: list[str] = []
        ignored = 0
        for event, content in events:
            try:
                told = tuple(self.kind.facts(self._message(event, content, proof, delivery)))
            except NotUnderstoodError as error:
                # One event that makes no sense spoils no other of its batch.
                reasons.append(error.reason)
            else:
                facts += told
                ignored += not told
        return Opened(tuple(facts), ignored, tuple(reasons))

    def _events(self, payload: Claims, proof: Proof) -> Sequence[tuple[object, bytes]]:
        """Return what is told, each event with its content.

        What comes alone is known by the very bytes; one of a batch by what it says,
        because it may come again beside others.
        """
        if self.kind.events is None:
            return [(payload, proof.payload)]
        batch = self.kind.events(payload)
        if len(batch) > MAX_BATCH:
            raise NotUnderstoodError("events_too_many")
        return [(event, json.dumps(event, sort_keys=True).encode("ascii")) for event in batch]

    def _message(self, event: object, content: bytes, proof: Proof, delivery: Delivery) -> Message:
        if not isinstance(event, Mapping):
            raise NotUnderstoodError("event_malformed")
        return Message(
            event,
            claim_at(self.kind.id_path, event) if self.kind.id_path else proof.event_id,
            hash_of(content),
            delivery.received_ms,
            self.entities,
        )
