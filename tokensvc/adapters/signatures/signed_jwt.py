"""JWTs as signatures: one in a header that holds the body's hash, or the whole body is one."""

import hashlib
import re
from base64 import b64encode
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from tokensvc.adapters.jws import MAX_TOKEN_BYTES, parse_jws
from tokensvc.adapters.key_sets import KeySet
from tokensvc.adapters.signatures.proof import Proof, header_of, matches_any
from tokensvc.domain.deliveries import Delivery, Heading
from tokensvc.domain.errors import DeliveryRefusedError, SessionError
from tokensvc.domain.strict_json import JSONError, parse_json_object

LEEWAY_S: Final = 30
LATEST_TIME: Final = 253_402_300_799
"""The end of the year 9999; a larger time is a mistake, most often milliseconds."""
HASH_CLAIM: Final = "request_body_sha256"
MAX_BODY_TOKEN_CHARS: Final = 256 * 1024
_BEARER: Final = re.compile(r"(?i:bearer) ([^ ,]+)")


@dataclass(frozen=True, slots=True)
class Signer:
    """Whose JWTs are believed: keys, the algorithms they are for, and the audience if any."""

    key_sets: Sequence[KeySet] = field(repr=False)
    algorithms: Collection[str]
    audience: str | None = None

    def payload_of(self, unverified_token: str, *, max_chars: int = MAX_TOKEN_BYTES) -> bytes:
        """Return the payload of the token, or raise `DeliveryRefusedError`."""
        try:
            token = parse_jws(unverified_token, max_chars=max_chars)
        except SessionError as error:
            raise DeliveryRefusedError(error.reason) from None
        declared_type = token.unverified_type
        if declared_type is not None and declared_type.lower() != "jwt":
            raise DeliveryRefusedError("typ_not_allowed")
        reason = "key_unknown"
        for keys in self.key_sets:
            try:
                return token.verify(keys, self.algorithms)
            except SessionError as error:
                reason = error.reason
        raise DeliveryRefusedError(reason)

    def demand_current(
        self, claims: Mapping[str, object], heading: Heading, *, must_expire: bool
    ) -> None:
        """Refuse a token that is too old, too young or for somebody else."""
        now = heading.received_at
        expires_at = _time(claims, "exp")
        if must_expire and expires_at is None:
            raise DeliveryRefusedError("exp_missing")
        if expires_at is not None and now >= expires_at + LEEWAY_S:
            raise DeliveryRefusedError("exp_past")
        for name in ("nbf", "iat"):
            earliest = _time(claims, name)
            if earliest is not None and now < earliest - LEEWAY_S:
                raise DeliveryRefusedError(f"{name}_in_future")
        claimed = claims.get("aud")
        named = claimed if isinstance(claimed, list) else [claimed]
        if self.audience is not None and self.audience not in named:
            raise DeliveryRefusedError("aud_not_ours")


class BodyHashJWT:
    """A JWT in *header* whose claim `request_body_sha256` is the hash of the raw body."""

    def __init__(
        self, signer: Signer, *, header: str, encoding: str, must_expire: bool = False
    ) -> None:
        self._signer = signer
        self._header = header
        self._encoding = encoding
        self._must_expire = must_expire

    def admit(self, heading: Heading) -> bool:
        self._body_hash(heading)
        return True

    def __call__(self, delivery: Delivery) -> Proof:
        claimed = self._body_hash(delivery)
        digest = hashlib.sha256(delivery.unverified_body).digest()
        expected = digest.hex().encode() if self._encoding == "hex" else b64encode(digest)
        if not matches_any([claimed.encode("ascii")], [expected]):
            raise DeliveryRefusedError("body_hash_wrong")
        return Proof(delivery.unverified_body)

    def _body_hash(self, heading: Heading) -> str:
        """Return the body's hash as the signer has written it."""
        claims = _claims(self._signer.payload_of(self._unverified_token(heading)))
        self._signer.demand_current(claims, heading, must_expire=self._must_expire)
        claimed = claims.get(HASH_CLAIM)
        if not isinstance(claimed, str) or not claimed.isascii():
            raise DeliveryRefusedError("body_hash_missing")
        return claimed

    def _unverified_token(self, heading: Heading) -> str:
        value = header_of(heading, self._header)
        if self._header != "authorization":
            return value
        match = _BEARER.fullmatch(value)
        if match is None:
            raise DeliveryRefusedError("header_malformed")
        return match[1]


class BodyJWT:
    """The whole body is a JWT, and what it says is the payload."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    def admit(self, heading: Heading) -> bool:  # noqa: ARG002 (no header says anything)
        return False

    def __call__(self, delivery: Delivery) -> Proof:
        try:
            text = delivery.unverified_body.decode("ascii")
        except UnicodeDecodeError:
            raise DeliveryRefusedError("body_not_ascii") from None
        payload = self._signer.payload_of(text, max_chars=MAX_BODY_TOKEN_CHARS)
        claims = _claims(payload)
        if "sub" in claims:
            # Users have tokens of the same keys, and might post one of theirs.
            raise DeliveryRefusedError("token_of_a_user")
        self._signer.demand_current(claims, delivery, must_expire=False)
        return Proof(payload)


def _claims(payload: bytes) -> dict[str, object]:
    try:
        return parse_json_object(payload)
    except JSONError:
        raise DeliveryRefusedError("payload_malformed") from None


def _time(claims: Mapping[str, object], name: str) -> float | None:
    value = claims.get(name)
    if value is None and name not in claims:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DeliveryRefusedError(f"{name}_malformed")
    if not 0 <= value <= LATEST_TIME:
        raise DeliveryRefusedError(f"{name}_malformed")
    return value
