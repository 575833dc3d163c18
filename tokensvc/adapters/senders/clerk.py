"""Clerk: users of an instance, sent through Svix."""

from collections.abc import Iterator
from typing import Final

from tokensvc.adapters.senders.kind import ClaimNames, SenderKind, Terms
from tokensvc.adapters.senders.message import Message, named
from tokensvc.adapters.signatures.proof import Verifier
from tokensvc.adapters.signatures.standard_webhooks import StandardWebhooks
from tokensvc.domain.accounts import EventKind
from tokensvc.domain.deliveries import Fact

KINDS: Final = {
    "user.created": EventKind.CREATED,
    "user.updated": EventKind.UPDATED,
    "user.deleted": EventKind.DELETED,
}


def _verifier(terms: Terms) -> Verifier:
    return StandardWebhooks(terms.secrets, family="svix")


def _facts(message: Message) -> Iterator[Fact]:
    kind = KINDS.get(message.text("type"))
    if kind is None:
        return
    user = named(message.table("data"), "first_name", "last_name", otherwise=("username",))
    told_at = message.payload.get("timestamp")
    fact = message.fact(kind, user, told_at=told_at, updated_at=user.get("updated_at"))
    yield fact
    banned = user.get("banned")
    if kind is not EventKind.DELETED and isinstance(banned, bool):
        # Clerk has no event for a ban: it is told with the whole user, each time.
        yield message.suspension(fact, is_on=banned)


CLERK: Final = SenderKind(verifier=_verifier, facts=_facts, claims=ClaimNames(avatar="image_url"))
