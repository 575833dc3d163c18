"""Standard: your own backend, in the words and with the signature of Standard Webhooks."""

from collections.abc import Iterator
from typing import Final

from tokensvc.adapters.senders.kind import ClaimNames, SenderKind, Terms
from tokensvc.adapters.senders.message import Message
from tokensvc.adapters.signatures.proof import Verifier
from tokensvc.adapters.signatures.standard_webhooks import StandardWebhooks
from tokensvc.domain.accounts import EventKind
from tokensvc.domain.deliveries import Fact

KINDS: Final = {f"user.{kind}": kind for kind in EventKind}
"""An app that writes its own webhooks can say everything that there is to say."""


def _verifier(terms: Terms) -> Verifier:
    return StandardWebhooks(terms.secrets)


def _facts(message: Message) -> Iterator[Fact]:
    kind = KINDS.get(message.text("type"))
    if kind is not None:
        user = message.table("data")
        yield message.fact(
            kind,
            user,
            told_at=message.payload.get("timestamp"),
            updated_at=user.get("updated_at"),
        )


STANDARD: Final = SenderKind(
    verifier=_verifier,
    facts=_facts,
    claims=ClaimNames(avatar="picture", role="role", tags="tags"),
)
