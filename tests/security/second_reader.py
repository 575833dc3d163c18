"""A second reader of session tokens, with an opinion of its own about what may be accepted."""

import json
import math
from collections.abc import Iterator
from typing import Any, Final

from tests.builders import AUDIENCE, NOW
from tests.security.forging import Signer
from tests.security.fuzz_vocabulary import uid_prefix
from tokensvc.domain.model import Session

LEEWAY_S: Final = 30
MAX_DEPTH: Final = 32
YEAR_10000: Final = 253_402_300_800


class UnreadableError(ValueError):
    """The JSON has no reading, or more than one."""


def faults_of(session: Session, signer: Signer, header: bytes, payload: bytes) -> list[str]:
    """Return what is wrong with accepting what *signer* signed as *session*."""
    try:
        parameters, claims = _read(header), _read(payload)
    except (ValueError, RecursionError):
        return ["json without a single reading"]
    return [
        *(fault for fault, is_so in _header_faults(parameters, signer) if is_so),
        *(fault for fault, is_so in _claim_faults(claims, signer) if is_so),
        *(fault for fault, is_so in _session_faults(session, claims, signer) if is_so),
    ]


def _header_faults(parameters: dict[str, Any], signer: Signer) -> Iterator[tuple[str, bool]]:
    yield "another alg", parameters.get("alg") != signer.alg
    yield "not understood", bool({"crit", "b64", "zip", "enc", "cty"} & parameters.keys())
    kind = parameters.get("typ", "JWT")
    yield "another typ", not isinstance(kind, str) or kind.lower() not in {"jwt", "at+jwt"}
    kid = parameters.get("kid", "")
    yield "no kid", not isinstance(kid, str) or len(kid) > 256
    yield "another kid", bool(signer.kid) and parameters.get("kid", signer.kid) != signer.kid


def _claim_faults(claims: dict[str, Any], signer: Signer) -> Iterator[tuple[str, bool]]:
    yield "another iss", claims.get("iss") != signer.issuer
    audience = claims.get("aud")
    names = audience if isinstance(audience, list) else [audience]
    yield "another aud", AUDIENCE not in names or {type(name) for name in names} != {str}
    yield "no sub", not isinstance(claims.get("sub"), str) or not claims["sub"]
    yield "no jti", not isinstance(claims.get("jti", ""), str)
    yield "no exp", not _is_time(claims.get("exp"))
    yield "expired", _is_time(claims.get("exp")) and claims["exp"] + LEEWAY_S <= NOW
    for name in ("nbf", "iat"):
        earliest = claims.get(name, 0)
        yield f"early {name}", not _is_time(earliest) or earliest - LEEWAY_S > NOW


def _session_faults(
    session: Session, claims: dict[str, Any], signer: Signer
) -> Iterator[tuple[str, bool]]:
    yield "issuer misread", session.issuer != claims.get("iss")
    yield "subject misread", session.subject != claims.get("sub")
    yield "end misread", session.expires_at != claims.get("exp")
    uid = session.user.uid
    yield "another prefix", not uid.startswith(uid_prefix(signer))
    yield "another uid", claims.get("sub") == "alice" and uid != uid_prefix(signer) + "alice"


def _is_time(value: object) -> bool:
    return type(value) in {int, float} and 0 <= value < YEAR_10000  # type: ignore[operator]


def _read(raw: bytes) -> dict[str, Any]:
    value = json.loads(raw.decode("utf-8"), object_pairs_hook=_only_once)
    json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8")
    if not isinstance(value, dict) or _depth(value) > MAX_DEPTH:
        raise UnreadableError
    return value


def _only_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if len(names) != len(set(names)):
        raise UnreadableError
    return dict(pairs)


def _depth(value: object) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, float) and not math.isfinite(value):
        raise UnreadableError
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0
