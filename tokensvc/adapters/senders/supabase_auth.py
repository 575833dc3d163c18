"""Supabase Auth: the hook after a user was created.

Each retry has an id of its own, so that repetitions are known by their content;
and the answer is read: it must be 200 with JSON, or the sign-up waits for it.
"""

import re
from collections.abc import Iterator
from typing import Final

from tokensvc.adapters.senders.kind import ClaimNames, SenderKind, Terms
from tokensvc.adapters.senders.message import Message
from tokensvc.adapters.senders.supabase_profile import with_profile
from tokensvc.adapters.signatures.proof import Verifier
from tokensvc.adapters.signatures.standard_webhooks import StandardWebhooks
from tokensvc.domain.accounts import EventKind
from tokensvc.domain.deliveries import Fact

HOOK: Final = "after-user-created"
_BETWEEN_SECRETS: Final = re.compile(r", |\||,(?=v1a?,)")


def _split_secrets(text: str) -> list[str]:
    """Return the secrets in *text*, as Supabase joins them, each without its `v1,`."""
    parts = _BETWEEN_SECRETS.split(text)
    return [re.sub(r"^v1a?,", "", part.strip()) for part in parts]


def _verifier(terms: Terms) -> Verifier:
    return StandardWebhooks(terms.secrets, id_is_stable=False)


def _facts(message: Message) -> Iterator[Fact]:
    if message.text("metadata", "name") == HOOK:
        user = with_profile(message.table("user"))
        told_at = message.table("metadata").get("time")
        yield message.fact(
            EventKind.CREATED, user, told_at=told_at, updated_at=user.get("updated_at")
        )


SUPABASE_AUTH: Final = SenderKind(
    verifier=_verifier,
    facts=_facts,
    claims=ClaimNames(avatar="avatar_url"),
    split_secrets=_split_secrets,
    status=200,
)
