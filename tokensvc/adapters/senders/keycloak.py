"""Keycloak with the keycloak-events extension: admin and user events of a realm."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from tokensvc.adapters.senders.kind import ClaimNames, SenderKind, Terms
from tokensvc.adapters.senders.message import Message, NotUnderstoodError, named
from tokensvc.adapters.signatures.hex_hmac import HexHMAC
from tokensvc.adapters.signatures.proof import TermsError, Verifier
from tokensvc.adapters.signatures.signed_jwt import BodyHashJWT
from tokensvc.domain.accounts import EventKind
from tokensvc.domain.deliveries import Fact
from tokensvc.domain.profiles import Claims
from tokensvc.domain.strict_json import JSONError, parse_json_object

BY_ADMIN: Final = {
    "admin.USER-CREATE": EventKind.CREATED,
    "admin.USER-UPDATE": EventKind.UPDATED,
    "admin.USER-DELETE": EventKind.DELETED,
}
BY_USER: Final = {
    "access.REGISTER": EventKind.CREATED,
    "access.DELETE_ACCOUNT": EventKind.DELETED,
}
"""UPDATE_PROFILE is missing: it tells what has changed, and not what the user looks like."""
_NAMES: Final = frozenset({"username", "firstName", "lastName"})
"""A change without any of them, by a script say, does not tell what the user looks like."""
_USER: Final = re.compile(r"users/([^/]+)")


def _verifier(terms: Terms) -> Verifier:
    if terms.key_sets:
        if "audience" not in terms.options:
            raise TermsError("needs options.audience beside options.jwks_file")
        return BodyHashJWT(terms.signer(), header="authorization", encoding="hex", must_expire=True)
    return HexHMAC(
        terms.secrets,
        header=terms.options.get("header", "x-keycloak-signature"),
        digest=terms.options.get("digest", "sha256"),
    )


def _facts(message: Message) -> Iterator[Fact]:
    event = message.text("type")
    if event in BY_ADMIN:
        yield from _told_by_admin(message, BY_ADMIN[event])
    elif event in BY_USER:
        yield _told_by_user(message, BY_USER[event])


def _told_by_admin(message: Message, kind: EventKind) -> Iterator[Fact]:
    """Yield what an admin did to a user, who is named in the path: `authDetails` is the admin."""
    match = _USER.fullmatch(message.text("resourcePath"))
    if match is None:
        # users/<id>/role-mappings and so on: not about the user as such.
        return
    told_at = message.payload.get("time")
    representation = None if kind is EventKind.DELETED else _representation(message)
    if representation is None:
        if kind is not EventKind.UPDATED:
            fact = message.fact(kind, {"id": match[1]}, told_at=told_at)
            yield replace(fact, tells_profile=False)
        return
    user = {
        **named(representation, "firstName", "lastName", otherwise=("username",)),
        "id": match[1],
        "attribute": _single(representation.get("attributes")),
    }
    if kind is EventKind.CREATED or not _NAMES.isdisjoint(representation):
        yield message.fact(kind, user, told_at=told_at)
    enabled = representation.get("enabled")
    if isinstance(enabled, bool) and (kind is EventKind.UPDATED or not enabled):
        switch = EventKind.UNSUSPENDED if enabled else EventKind.SUSPENDED
        yield message.fact(switch, user, told_at=told_at, aspect="suspension")


def _representation(message: Message) -> Claims | None:
    """Return the user as JSON in a text, where the realm is set to include it."""
    text = message.payload.get("representation")
    if text is None:
        return None
    if not isinstance(text, str):
        raise NotUnderstoodError("representation_malformed")
    try:
        return parse_json_object(text.encode("utf-8"))
    except (JSONError, UnicodeEncodeError):
        raise NotUnderstoodError("representation_malformed") from None


def _single(attributes: object) -> Claims:
    """Return the attributes that have one value, each as that: Keycloak has lists of them."""
    lists = attributes if isinstance(attributes, Mapping) else {}
    return {
        name: value[0] if isinstance(value, list) else value
        for name, value in lists.items()
        if not isinstance(value, list) or len(value) == 1
    }


def _told_by_user(message: Message, kind: EventKind) -> Fact:
    details = message.payload.get("details")
    told = details if isinstance(details, Mapping) else {}
    user = {
        **named(told, "first_name", "last_name", otherwise=("username",)),
        "id": message.text("authDetails", "userId"),
    }
    return message.fact(kind, user, told_at=message.payload.get("time"))


KEYCLOAK: Final = SenderKind(
    verifier=_verifier,
    facts=_facts,
    claims=ClaimNames(avatar="/attribute/picture"),
    id_path=("uid",),
    takes=frozenset({"header", "digest", "jwks_file", "algorithms", "audience"}),
)
