"""Kinde: the whole body is a JWT, signed with a key of its JWKS."""

from collections.abc import Iterator
from typing import Final

from tokensvc.adapters.senders.kind import ClaimNames, SenderKind, Terms
from tokensvc.adapters.senders.message import Message, named
from tokensvc.adapters.signatures.proof import Verifier
from tokensvc.adapters.signatures.signed_jwt import BodyJWT
from tokensvc.domain.accounts import EventKind
from tokensvc.domain.deliveries import Fact

KINDS: Final = {
    "user.created": EventKind.CREATED,
    "user.updated": EventKind.UPDATED,
    "user.deleted": EventKind.DELETED,
}


def _verifier(terms: Terms) -> Verifier:
    return BodyJWT(terms.signer())


def _facts(message: Message) -> Iterator[Fact]:
    kind = KINDS.get(message.text("type"))
    if kind is None:
        return
    user = named(message.table("data", "user"), "first_name", "last_name")
    fact = message.fact(kind, user, told_at=message.payload.get("timestamp"))
    yield fact
    is_suspended = user.get("is_suspended")
    if kind is not EventKind.DELETED and isinstance(is_suspended, bool):
        yield message.suspension(fact, is_on=is_suspended)


KINDE: Final = SenderKind(
    verifier=_verifier,
    facts=_facts,
    claims=ClaimNames(avatar="picture"),
    id_path=("event_id",),
    takes=frozenset({"jwks_file", "algorithms", "audience"}),
)
