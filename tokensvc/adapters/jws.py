"""JWS: a compact signed token in, its proven header and payload out (RFC 7515)."""

import re
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from tokensvc.adapters.key_sets import MAX_KID_CHARS, KeySet
from tokensvc.domain.errors import SessionError
from tokensvc.domain.model import TokenHeader
from tokensvc.domain.strict_json import JSONError, parse_json_object

MAX_TOKEN_BYTES: Final = 8192
_SEGMENT: Final = r"([A-Za-z0-9_-]+)"
_COMPACT: Final = re.compile(rf"{_SEGMENT}\.{_SEGMENT}\.{_SEGMENT}")
_TO_BASE64: Final = bytes.maketrans(b"-_", b"+/")
_KID: Final = re.compile(rf"[\x20-\x7e]{{1,{MAX_KID_CHARS}}}")
_NOT_UNDERSTOOD: Final = frozenset({"crit", "b64", "zip", "enc", "cty"})
"""Header parameters that change what the signature covers or the payload means."""


@dataclass(frozen=True, slots=True)
class UnverifiedJWS:
    """A token that has the right shape; nothing in it is proven yet."""

    signing_input: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    unverified_header: TokenHeader
    unverified_type: str | None
    unverified_payload: bytes = field(repr=False)

    def verify(self, keys: KeySet, algorithms: Collection[str]) -> bytes:
        """Return the payload, now that the signature is proven.

        The key is chosen by the configuration and the header's kid; the algorithm
        must be one that this key is bound to. Raises `SessionError`.
        """
        header = self.unverified_header
        if header.alg is None or header.alg not in algorithms:
            raise SessionError("alg_not_allowed")
        key = keys.find(header.alg, header.kid)
        if key is None:
            raise SessionError("key_unknown")
        if not key.verifies(self.signing_input, self.signature):
            raise SessionError("signature_invalid")
        return self.unverified_payload


def parse_jws(text: str, *, max_chars: int = MAX_TOKEN_BYTES) -> UnverifiedJWS:
    """Return *text* in its parts, or raise `SessionError`: size, shape, header."""
    if len(text) > max_chars:
        raise SessionError("token_too_long")
    match = _COMPACT.fullmatch(text)
    if match is None:
        raise SessionError("token_malformed")
    signing_input = text[: match.end(2)].encode("ascii")
    header_segment, _, payload_segment = signing_input.partition(b".")
    header = _parse_header(_decoded(header_segment))
    return UnverifiedJWS(
        signing_input=signing_input,
        signature=_decoded(match[3].encode("ascii")),
        unverified_header=TokenHeader(alg=_alg(header), kid=_kid(header)),
        unverified_type=_type(header),
        unverified_payload=_decoded(payload_segment),
    )


def _decoded(segment: bytes) -> bytes:
    """Return the bytes of *segment*, which has one spelling (RFC 4648, section 3.5)."""
    base64 = segment.translate(_TO_BASE64) + b"=" * (-len(segment) % 4)
    try:
        raw = a2b_base64(base64)
    except Base64Error:
        raise SessionError("token_malformed") from None
    if b2a_base64(raw, newline=False) != base64:
        raise SessionError("token_malformed")
    return raw


def _parse_header(raw: bytes) -> dict[str, object]:
    try:
        header = parse_json_object(raw)
    except JSONError:
        raise SessionError("header_malformed") from None
    if not _NOT_UNDERSTOOD.isdisjoint(header):
        raise SessionError("header_not_understood")
    return header


def _alg(header: dict[str, object]) -> str:
    alg = header.get("alg")
    if not isinstance(alg, str) or not _KID.fullmatch(alg):
        raise SessionError("alg_malformed")
    return alg


def _kid(header: dict[str, object]) -> str | None:
    kid = header.get("kid")
    if "kid" in header and not (isinstance(kid, str) and _KID.fullmatch(kid)):
        raise SessionError("kid_malformed")
    return kid if isinstance(kid, str) else None


def _type(header: dict[str, object]) -> str | None:
    declared = header.get("typ")
    if "typ" in header and not isinstance(declared, str):
        raise SessionError("typ_malformed")
    return declared if isinstance(declared, str) else None
