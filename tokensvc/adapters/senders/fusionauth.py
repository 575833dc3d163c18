"""FusionAuth: events of a tenant, signed by a JWT that holds the body's hash."""

from collections.abc import Iterator
from typing import Final

from tokensvc.adapters.key_sets import KeyPolicyError, KeySet, key_from_secret
from tokensvc.adapters.senders.kind import ClaimNames, SenderKind, Terms
from tokensvc.adapters.senders.message import Message, named
from tokensvc.adapters.signatures.proof import TermsError, Verifier
from tokensvc.adapters.signatures.signed_jwt import BodyHashJWT, Signer
from tokensvc.domain.accounts import EventKind
from tokensvc.domain.deliveries import Fact

KINDS: Final = {
    "user.create": EventKind.CREATED,
    "user.update": EventKind.UPDATED,
    "user.delete": EventKind.DELETED,
    "user.deactivate": EventKind.DEACTIVATED,
    "user.reactivate": EventKind.REACTIVATED,
}
"""Each with `.complete` behind it too: after the transaction, and not in its midst."""


def _verifier(terms: Terms) -> Verifier:
    signer = terms.signer() if terms.key_sets else _shared(terms)
    return BodyHashJWT(signer, header="x-fusionauth-signature-jwt", encoding="base64")


def _shared(terms: Terms) -> Signer:
    if not terms.secrets:
        raise TermsError("needs secrets or a secrets_file, or options.jwks_file")
    algorithms = terms.algorithms or frozenset({"HS256"})
    key_sets: list[KeySet] = []
    try:
        key_sets += [key_from_secret(text.encode("utf-8"), algorithms) for text in terms.secrets]
    except KeyPolicyError as error:
        raise TermsError(str(error)) from None
    return Signer(key_sets, algorithms)


def _facts(message: Message) -> Iterator[Fact]:
    kind = KINDS.get(message.text("event", "type").removesuffix(".complete"))
    if kind is not None:
        parts = ("firstName", "lastName")
        user = named(message.table("event", "user"), *parts, otherwise=("fullName", "username"))
        yield message.fact(
            kind,
            user,
            told_at=message.table("event").get("createInstant"),
            updated_at=user.get("lastUpdateInstant"),
        )


FUSIONAUTH: Final = SenderKind(
    verifier=_verifier,
    facts=_facts,
    claims=ClaimNames(avatar="imageUrl"),
    id_path=("event", "id"),
    takes=frozenset({"jwks_file", "algorithms"}),
)
