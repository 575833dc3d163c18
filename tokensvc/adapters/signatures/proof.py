"""Proof: what a verified signature leaves behind, and what all schemes share."""

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from tokensvc.domain.deliveries import Delivery, Heading
from tokensvc.domain.errors import DeliveryRefusedError

MIN_SECRET_BYTES: Final = 24
"""What the Standard Webhooks specification asks for; the senders' own secrets are longer."""
MAX_SIGNATURES: Final = 16
MAX_SIGNATURE_HEADER_CHARS: Final = 8192


class TermsError(ValueError):
    """What is agreed with a sender cannot be used; the text says why and holds no secret."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What a delivery says, now that it is proven."""

    payload: bytes = field(repr=False)
    event_id: str | None = None
    """The delivery's own id, where the scheme signs one that stays over retries."""


class Verifier(Protocol):
    """One scheme of signatures, with the secrets or keys of one source."""

    def admit(self, heading: Heading) -> bool:
        """Return whether the headers alone prove the sender.

        Raises `DeliveryRefusedError` for whatever is wrong without a look at the body.
        """

    def __call__(self, delivery: Delivery) -> Proof:
        """Return the proof of a delivery, or raise `DeliveryRefusedError`."""


def header_of(heading: Heading, name: str) -> str:
    """Return the header, or refuse the delivery: a header is ASCII, and not endless."""
    value = heading.unverified_headers.get(name)
    if value is None:
        raise DeliveryRefusedError("header_missing")
    if not value.isascii() or len(value) > MAX_SIGNATURE_HEADER_CHARS:
        raise DeliveryRefusedError("header_malformed")
    return value


def raw_secrets(texts: Iterable[str]) -> tuple[bytes, ...]:
    """Return secrets that are used as they are written, or raise `TermsError`."""
    secrets = tuple(text.encode("utf-8") for text in texts)
    if not secrets:
        raise TermsError("needs secrets or a secrets_file")
    if any(len(secret) < MIN_SECRET_BYTES for secret in secrets):
        raise TermsError(f"a secret needs at least {MIN_SECRET_BYTES} bytes")
    return secrets


def matches_any(unverified: Sequence[bytes], expected: Iterable[bytes]) -> bool:
    """Return whether one of *unverified* is one of *expected*, in a time that tells nothing.

    Digests are compared, so that not even the length of what was expected can be
    measured, and all of them, so that it cannot be measured which one it was.
    """
    given = [hashlib.sha256(value).digest() for value in unverified]
    wanted = [hashlib.sha256(value).digest() for value in expected]
    found = [hmac.compare_digest(one, other) for one in given for other in wanted]
    return any(found)


def demand_fresh(timestamp: int, heading: Heading, *, tolerance: int, unit_s: float) -> None:
    """Refuse a delivery whose *timestamp*, in units of *unit_s*, is not about now."""
    age = heading.received_at / unit_s - timestamp
    if age > tolerance:
        raise DeliveryRefusedError("timestamp_too_old")
    if age < -tolerance:
        raise DeliveryRefusedError("timestamp_in_future")
