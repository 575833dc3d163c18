"""Stytch: users of a consumer project, sent through Svix."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from tokensvc.adapters.senders.kind import ClaimNames, SenderKind, Terms
from tokensvc.adapters.senders.message import Message, named
from tokensvc.adapters.signatures.proof import Verifier
from tokensvc.adapters.signatures.standard_webhooks import StandardWebhooks
from tokensvc.domain.accounts import EventKind
from tokensvc.domain.deliveries import Fact
from tokensvc.domain.profiles import Claims

KINDS: Final = {
    "CREATE": EventKind.CREATED,
    "UPDATE": EventKind.UPDATED,
    "DELETE": EventKind.DELETED,
}


def _verifier(terms: Terms) -> Verifier:
    return StandardWebhooks(terms.secrets, family="svix")


def _facts(message: Message) -> Iterator[Fact]:
    kind = KINDS.get(message.text("action").upper())
    if kind is None or message.text("object_type").lower() != "user":
        return
    user = message.payload.get("user")
    profile = _profile(user) if isinstance(user, Mapping) else None
    if profile is None and kind is EventKind.UPDATED:
        # Who it was and nothing else: there is nothing to bring in step.
        return
    # The id beside the action is whom it is about, whatever stands inside of the user.
    told = {**(profile or {}), "id": message.text("id")}
    fact = message.fact(kind, told, told_at=message.payload.get("timestamp"))
    yield replace(fact, tells_profile=fact.tells_profile and profile is not None)


def _profile(user: Claims) -> Claims:
    name = user.get("name")
    if not isinstance(name, Mapping):
        return named(user)
    return {**user, "name": named(name, "first_name", "middle_name", "last_name")["name"]}


STYTCH: Final = SenderKind(
    verifier=_verifier, facts=_facts, claims=ClaimNames(), id_path=("event_id",)
)
