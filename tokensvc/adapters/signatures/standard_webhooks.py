"""Standard Webhooks, and Svix which it comes from: an id, a time and signatures in headers.

The scheme is that of the specification 1.0: HMAC-SHA256 (`v1`) or Ed25519 (`v1a`)
over `id.timestamp.body`.
"""

import binascii
import hashlib
import hmac
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tokensvc.adapters.signatures.proof import (
    MAX_SIGNATURES,
    MIN_SECRET_BYTES,
    Proof,
    TermsError,
    demand_fresh,
    header_of,
    matches_any,
)
from tokensvc.domain.deliveries import Delivery, Heading
from tokensvc.domain.errors import DeliveryRefusedError

TOLERANCE_S: Final = 300
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
_TIMESTAMP: Final = re.compile(r"[0-9]{1,12}")
_SIGNATURE: Final = r"[a-z0-9]{1,8},[A-Za-z0-9+/]{1,120}={0,2}"
_SIGNATURES: Final = re.compile(rf"{_SIGNATURE}(?:,? {_SIGNATURE})*")
"""The specification puts a blank between two; Supabase Auth a comma and a blank."""
_SEPARATOR: Final = re.compile(r",? ")


class StandardWebhooks:
    """Verifies deliveries whose headers begin with *family*: `webhook` or `svix`."""

    def __init__(
        self, secrets: Iterable[str], *, family: str = "webhook", id_is_stable: bool = True
    ) -> None:
        self._family = family
        self._id_is_stable = id_is_stable
        self._secrets: list[bytes] = []
        self._public_keys: list[Ed25519PublicKey] = []
        for text in secrets:
            self._learn(text)
        if not self._secrets and not self._public_keys:
            raise TermsError("needs secrets or a secrets_file")

    def admit(self, heading: Heading) -> bool:
        self._parse(heading)
        return False

    def __call__(self, delivery: Delivery) -> Proof:
        message_id, timestamp, signatures = self._parse(delivery)
        signed = f"{message_id}.{timestamp}.".encode("ascii") + delivery.unverified_body
        # Both are looked at, whatever the first one says: the time shall tell nothing.
        proven = [self._has_digest(signed, signatures), self._has_ed25519(signed, signatures)]
        if not any(proven):
            raise DeliveryRefusedError("signature_invalid")
        return Proof(delivery.unverified_body, message_id if self._id_is_stable else None)

    def _parse(self, heading: Heading) -> tuple[str, str, Sequence[tuple[str, str]]]:
        """Return the id, the time, which is about now, and the signatures."""
        message_id = header_of(heading, f"{self._family}-id")
        timestamp = header_of(heading, f"{self._family}-timestamp")
        if not _ID.fullmatch(message_id):
            raise DeliveryRefusedError("id_malformed")
        if not _TIMESTAMP.fullmatch(timestamp):
            raise DeliveryRefusedError("timestamp_malformed")
        signatures = _parse_signatures(header_of(heading, f"{self._family}-signature"))
        demand_fresh(int(timestamp), heading, tolerance=TOLERANCE_S, unit_s=1.0)
        return message_id, timestamp, signatures

    def _learn(self, text: str) -> None:
        """Take in one secret: `whsec_` and a shared one, or `whpk_` and a public key."""
        kind, separator, encoded = text.partition("_")
        if kind not in {"whsec", "whpk"} or not separator:
            raise TermsError("a secret of this sender begins with whsec_ (or whpk_)")
        try:
            material = b64decode(encoded, validate=True)
        except binascii.Error:
            raise TermsError("a secret is no base64 behind its whsec_ or whpk_") from None
        if kind == "whpk":
            try:
                self._public_keys.append(Ed25519PublicKey.from_public_bytes(material))
            except ValueError:
                raise TermsError("a whpk_ key is no Ed25519 public key") from None
        elif len(material) < MIN_SECRET_BYTES:
            raise TermsError(f"a secret needs at least {MIN_SECRET_BYTES} bytes")
        else:
            self._secrets.append(material)

    def _has_digest(self, signed: bytes, signatures: Sequence[tuple[str, str]]) -> bool:
        given = [value.encode("ascii") for version, value in signatures if version == "v1"]
        digests = [hmac.digest(secret, signed, hashlib.sha256) for secret in self._secrets]
        return matches_any(given, map(b64encode, digests))

    def _has_ed25519(self, signed: bytes, signatures: Sequence[tuple[str, str]]) -> bool:
        return any(
            _verifies(key, signed, value)
            for version, value in signatures
            if version == "v1a"
            for key in self._public_keys
        )


def _parse_signatures(header: str) -> list[tuple[str, str]]:
    """Return versions with their signatures; versions that are unknown are for others."""
    if not _SIGNATURES.fullmatch(header):
        raise DeliveryRefusedError("signature_malformed")
    parts = [part.partition(",") for part in _SEPARATOR.split(header)]
    if len(parts) > MAX_SIGNATURES:
        raise DeliveryRefusedError("signatures_too_many")
    return [(version, value) for version, _, value in parts]


def _verifies(key: Ed25519PublicKey, signed: bytes, encoded: str) -> bool:
    try:
        key.verify(b64decode(encoded, validate=True), signed)
    except (InvalidSignature, binascii.Error):
        return False
    return True
