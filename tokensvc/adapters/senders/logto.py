"""Logto: users of a tenant, signed over the body alone, so that only its content is new or old."""

from collections.abc import Iterator
from typing import Final

from tokensvc.adapters.senders.kind import ClaimNames, SenderKind, Terms
from tokensvc.adapters.senders.message import Message, NotUnderstoodError, named
from tokensvc.adapters.signatures.hex_hmac import HexHMAC
from tokensvc.adapters.signatures.proof import Verifier
from tokensvc.domain.accounts import EventKind
from tokensvc.domain.deliveries import Fact

KINDS: Final = {
    "User.Created": EventKind.CREATED,
    "PostRegister": EventKind.CREATED,
    "User.Data.Updated": EventKind.UPDATED,
    "User.Deleted": EventKind.DELETED,
}
SUSPENSION: Final = "User.SuspensionStatus.Updated"


def _verifier(terms: Terms) -> Verifier:
    return HexHMAC(terms.secrets, header="logto-signature-sha-256")


def _facts(message: Message) -> Iterator[Fact]:
    event = message.text("event")
    if event not in KINDS and event != SUSPENSION:
        return
    place = "user" if "user" in message.payload else "data"
    user = named(message.table(place), otherwise=("username",))
    told_at = message.payload.get("createdAt")
    if event == SUSPENSION:
        is_suspended = user.get("isSuspended")
        if not isinstance(is_suspended, bool):
            raise NotUnderstoodError("isSuspended_malformed")
        kind = EventKind.SUSPENDED if is_suspended else EventKind.UNSUSPENDED
        yield message.fact(kind, user, told_at=told_at)
    else:
        yield message.fact(KINDS[event], user, told_at=told_at, updated_at=user.get("updatedAt"))


LOGTO: Final = SenderKind(verifier=_verifier, facts=_facts, claims=ClaimNames(avatar="avatar"))
