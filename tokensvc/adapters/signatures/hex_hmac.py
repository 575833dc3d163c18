"""Hexadecimal HMACs of the body in one header, with a time in front of it or without."""

import hmac
import re
from collections.abc import Iterable, Sequence
from typing import Final

from tokensvc.adapters.signatures.proof import (
    MAX_SIGNATURES,
    Proof,
    TermsError,
    demand_fresh,
    header_of,
    matches_any,
    raw_secrets,
)
from tokensvc.domain.deliveries import Delivery, Heading
from tokensvc.domain.errors import DeliveryRefusedError

HEX_DIGITS: Final = {"sha256": 64, "sha1": 40}
TOLERANCE_MS: Final = 180_000
_LOWER_HEX: Final = re.compile(r"[0-9a-f]+")
_TIMED: Final = re.compile(r"t=([0-9]{1,15})((?:, ?v1=[0-9a-f]{64})+)")


class HexHMAC:
    """The header holds the HMAC of the body in lower-case hexadecimal digits."""

    def __init__(self, secrets: Iterable[str], *, header: str, digest: str = "sha256") -> None:
        if digest not in HEX_DIGITS:
            raise TermsError(f"digest must be one of {', '.join(HEX_DIGITS)}")
        self._secrets = raw_secrets(secrets)
        self._header = header
        self._digest = digest

    def admit(self, heading: Heading) -> bool:
        self._signature(heading)
        return False

    def __call__(self, delivery: Delivery) -> Proof:
        given = self._signature(delivery)
        body = delivery.unverified_body
        expected = [hmac.digest(secret, body, self._digest).hex() for secret in self._secrets]
        if not matches_any([given.encode("ascii")], [text.encode("ascii") for text in expected]):
            raise DeliveryRefusedError("signature_invalid")
        return Proof(body)

    def _signature(self, heading: Heading) -> str:
        given = header_of(heading, self._header)
        if len(given) != HEX_DIGITS[self._digest] or not _LOWER_HEX.fullmatch(given):
            raise DeliveryRefusedError("signature_malformed")
        return given


class TimedHexHMAC:
    """The header is `t=<milliseconds>, v1=<hex>`, and what is signed is `t.body`."""

    def __init__(self, secrets: Iterable[str], *, header: str) -> None:
        self._secrets = raw_secrets(secrets)
        self._header = header

    def admit(self, heading: Heading) -> bool:
        self._signatures(heading)
        return False

    def __call__(self, delivery: Delivery) -> Proof:
        timestamp, given = self._signatures(delivery)
        signed = timestamp.encode("ascii") + b"." + delivery.unverified_body
        expected = [hmac.digest(secret, signed, "sha256").hex() for secret in self._secrets]
        if not matches_any(given, [text.encode("ascii") for text in expected]):
            raise DeliveryRefusedError("signature_invalid")
        return Proof(delivery.unverified_body)

    def _signatures(self, heading: Heading) -> tuple[str, Sequence[bytes]]:
        """Return the time, which is about now, and the signatures over it."""
        match = _TIMED.fullmatch(header_of(heading, self._header))
        if match is None:
            raise DeliveryRefusedError("signature_malformed")
        given = [part.strip(", ").encode("ascii") for part in match[2].split("v1=")[1:]]
        if len(given) > MAX_SIGNATURES:
            raise DeliveryRefusedError("signatures_too_many")
        demand_fresh(int(match[1]), heading, tolerance=TOLERANCE_MS, unit_s=0.001)
        return match[1], given
