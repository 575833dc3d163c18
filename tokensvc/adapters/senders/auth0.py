"""Auth0: Event Streams, which are CloudEvents behind a shared token."""

from collections.abc import Iterator
from typing import Final

from tokensvc.adapters.senders.kind import ClaimNames, SenderKind, Terms
from tokensvc.adapters.senders.message import Message
from tokensvc.adapters.signatures.proof import Verifier
from tokensvc.adapters.signatures.shared_token import SharedToken
from tokensvc.domain.accounts import EventKind
from tokensvc.domain.deliveries import Fact

OLDER_PREFIX: Final = "com.auth0."
KINDS: Final = {
    "user.created": EventKind.CREATED,
    "user.updated": EventKind.UPDATED,
    "user.deleted": EventKind.DELETED,
}


def _verifier(terms: Terms) -> Verifier:
    options = terms.options
    return SharedToken(
        terms.secrets,
        scheme=options.get("scheme", "bearer"),
        header=options.get("header", "authorization"),
    )


def _facts(message: Message) -> Iterator[Fact]:
    kind = KINDS.get(message.text("type").removeprefix(OLDER_PREFIX))
    if kind is None:
        return
    user = message.table("data", "object")
    told_at = message.payload.get("time")
    fact = message.fact(kind, user, told_at=told_at, updated_at=user.get("updated_at"))
    yield fact
    blocked = user.get("blocked")
    if kind is not EventKind.DELETED and isinstance(blocked, bool):
        yield message.suspension(fact, is_on=blocked)


AUTH0: Final = SenderKind(
    verifier=_verifier,
    facts=_facts,
    claims=ClaimNames(uid="user_id", avatar="picture"),
    id_path=("id",),
    takes=frozenset({"scheme", "header"}),
)
