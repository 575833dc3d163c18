"""Supabase database webhooks: rows of a table, behind a header that you choose."""

from collections.abc import Iterator
from typing import Final

from tokensvc.adapters.senders.kind import ClaimNames, SenderKind, Terms
from tokensvc.adapters.senders.message import Message, milliseconds, moment
from tokensvc.adapters.senders.supabase_profile import with_profile
from tokensvc.adapters.signatures.proof import Verifier
from tokensvc.adapters.signatures.shared_token import SharedToken
from tokensvc.domain.accounts import EventKind
from tokensvc.domain.deliveries import Fact
from tokensvc.domain.profiles import Claims

KINDS: Final = {
    "INSERT": EventKind.CREATED,
    "UPDATE": EventKind.UPDATED,
    "DELETE": EventKind.DELETED,
}


def _verifier(terms: Terms) -> Verifier:
    options = terms.options
    return SharedToken(
        terms.secrets,
        scheme=options.get("scheme", "bearer"),
        header=options.get("header", "authorization"),
    )


def _facts(message: Message) -> Iterator[Fact]:
    kind = KINDS.get(message.text("type"))
    table = f"{message.text('schema')}.{message.text('table')}"
    if kind is None or table not in message.entities:
        return
    if kind is EventKind.DELETED:
        yield message.fact(kind, message.table("old_record"), told_at=None)
        return
    row = with_profile(message.table("record"))
    if row.get("deleted_at") is not None:
        # A soft delete of auth.users is an update.
        yield message.fact(EventKind.DELETED, row, told_at=row["deleted_at"])
        return
    yield message.fact(kind, row, told_at=None, updated_at=row.get("updated_at"))
    if "banned_until" in row and (kind is EventKind.UPDATED or row["banned_until"]):
        ban = EventKind.SUSPENDED if _is_banned(row, message) else EventKind.UNSUSPENDED
        yield message.fact(ban, row, told_at=row.get("updated_at"), aspect="suspension")


def _is_banned(row: Claims, message: Message) -> bool:
    """Return whether the ban lasts: an end that is past, or none, is no ban.

    An end that is no time is not over: PostgreSQL has `infinity`, and years of five digits.
    """
    end = row["banned_until"]
    if end is None or end == "-infinity":
        return False
    time = moment(end) if isinstance(end, str) else None
    end_ms = time.timestamp() * 1000 if time else milliseconds(end)
    return end_ms is None or end_ms > message.received_ms


SUPABASE_DB: Final = SenderKind(
    verifier=_verifier,
    facts=_facts,
    claims=ClaimNames(avatar="avatar_url"),
    takes=frozenset({"scheme", "header", "entities"}),
    entities=frozenset({"auth.users"}),
)
