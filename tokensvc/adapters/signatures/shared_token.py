"""Shared tokens: no signature at all, but a header that only the sender knows.

Whoever reads one delivery can send others: such senders come over TLS or not at all.
"""

import re
from base64 import b64encode
from collections.abc import Iterable
from typing import Final

from tokensvc.adapters.signatures.proof import (
    Proof,
    TermsError,
    header_of,
    matches_any,
    raw_secrets,
)
from tokensvc.domain.deliveries import Delivery, Heading
from tokensvc.domain.errors import DeliveryRefusedError

SCHEMES: Final = ("bearer", "basic", "header")
_CREDENTIALS: Final = re.compile(r"([A-Za-z]+) ([^ ]+)")


class SharedToken:
    """The header holds one of the secrets.

    `bearer`: behind the word Bearer; `basic`: `user:password` as RFC 7617 spells it;
    `header`: the whole value, letter for letter.
    """

    def __init__(
        self, secrets: Iterable[str], *, scheme: str, header: str = "authorization"
    ) -> None:
        known = raw_secrets(secrets)
        if scheme not in SCHEMES:
            raise TermsError(f"scheme must be one of {', '.join(SCHEMES)}")
        if not all(0x20 <= octet < 0x7F for secret in known for octet in secret):  # noqa: PLR2004
            raise TermsError("a secret that travels in a header is printable ASCII")
        if scheme == "basic" and not all(b":" in secret for secret in known):
            raise TermsError("a secret for basic is user:password")
        self._scheme = scheme
        self._header = header
        self._known = [b64encode(secret) for secret in known] if scheme == "basic" else known

    def admit(self, heading: Heading) -> bool:
        value = header_of(heading, self._header)
        if self._scheme != "header":
            match = _CREDENTIALS.fullmatch(value)
            if match is None or match[1].lower() != self._scheme:
                raise DeliveryRefusedError("header_malformed")
            value = match[2]
        if not matches_any([value.encode("ascii")], self._known):
            raise DeliveryRefusedError("token_wrong")
        return True

    def __call__(self, delivery: Delivery) -> Proof:
        self.admit(delivery)
        return Proof(delivery.unverified_body)
