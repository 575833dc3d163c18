"""Okta event hooks: batches of events behind a shared token, after a challenge by GET."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from tokensvc.adapters.senders.kind import ClaimNames, SenderKind, Terms
from tokensvc.adapters.senders.message import Message, NotUnderstoodError
from tokensvc.adapters.signatures.proof import Verifier
from tokensvc.adapters.signatures.shared_token import SharedToken
from tokensvc.domain.accounts import EventKind
from tokensvc.domain.deliveries import Fact
from tokensvc.domain.profiles import Claims, claim_at

KINDS: Final = {
    "user.lifecycle.create": EventKind.CREATED,
    "user.account.update_profile": EventKind.UPDATED,
    "user.lifecycle.suspend": EventKind.SUSPENDED,
    "user.lifecycle.unsuspend": EventKind.UNSUSPENDED,
    "user.lifecycle.deactivate": EventKind.DEACTIVATED,
    "user.lifecycle.activate": EventKind.REACTIVATED,
    "user.lifecycle.reactivate": EventKind.REACTIVATED,
    "user.lifecycle.delete": EventKind.DELETED,
}
"""Each with `.completed` behind it too."""


def _verifier(terms: Terms) -> Verifier:
    return SharedToken(
        terms.secrets,
        scheme=terms.options.get("scheme", "header"),
        header=terms.options.get("header", "authorization"),
    )


def _events(payload: Claims) -> Sequence[object]:
    events = claim_at(("data", "events"), payload)
    if not isinstance(events, list):
        raise NotUnderstoodError("events_malformed")
    return events


def _facts(message: Message) -> Iterator[Fact]:
    kind = KINDS.get(message.text("eventType").removesuffix(".completed"))
    if kind is not None:
        yield message.fact(kind, _user(message), told_at=message.payload.get("published"))


def _user(message: Message) -> Claims:
    targets = message.payload.get("target")
    for target in targets if isinstance(targets, list) else []:
        if isinstance(target, Mapping) and target.get("type") == "User":
            return target
    raise NotUnderstoodError("target_malformed")


OKTA: Final = SenderKind(
    verifier=_verifier,
    facts=_facts,
    events=_events,
    claims=ClaimNames(name="displayName"),
    id_path=("uuid",),
    takes=frozenset({"scheme", "header"}),
    challenge_header="x-okta-verification-challenge",
)
