"""WorkOS: users of AuthKit, or of directories, signed with a time in milliseconds."""

from collections.abc import Iterator
from typing import Final

from tokensvc.adapters.senders.kind import ClaimNames, SenderKind, Terms
from tokensvc.adapters.senders.message import Message, named
from tokensvc.adapters.signatures.hex_hmac import TimedHexHMAC
from tokensvc.adapters.signatures.proof import Verifier
from tokensvc.domain.accounts import EventKind
from tokensvc.domain.deliveries import Fact

KINDS: Final = {
    "created": EventKind.CREATED,
    "updated": EventKind.UPDATED,
    "deleted": EventKind.DELETED,
}
IN_A_DIRECTORY: Final = "dsync.user"


def _verifier(terms: Terms) -> Verifier:
    return TimedHexHMAC(terms.secrets, header="workos-signature")


def _facts(message: Message) -> Iterator[Fact]:
    # A person has one id as a user and another in a directory: a source takes one of the two.
    entity, _, action = message.text("event").rpartition(".")
    kind = KINDS.get(action)
    if kind is None or entity not in message.entities:
        return
    user = named(message.table("data"), "first_name", "last_name")
    told_at = message.payload.get("created_at")
    fact = message.fact(kind, user, told_at=told_at, updated_at=user.get("updated_at"))
    yield fact
    state = user.get("state") if entity == IN_A_DIRECTORY else None
    if kind is not EventKind.DELETED and isinstance(state, str):
        # "inactive" is who has left, or may not work any more.
        yield message.suspension(fact, is_on=state != "active")


WORKOS: Final = SenderKind(
    verifier=_verifier,
    facts=_facts,
    claims=ClaimNames(avatar="profile_picture_url"),
    id_path=("id",),
    takes=frozenset({"entities"}),
    entities=frozenset({"user"}),
)
