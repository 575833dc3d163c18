"""Wycheproof: what the JOSE test vectors of C2SP say a verifier must take and refuse."""

import json
import os
from base64 import urlsafe_b64decode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from tokensvc.adapters.jws import parse_jws
from tokensvc.adapters.key_sets import (
    PUBLIC_KEY_ALGORITHMS,
    SECRET_ALGORITHMS,
    KeyPolicyError,
    KeySet,
    key_from_secret,
    keys_from_jwks,
)
from tokensvc.domain.errors import SessionError

FOLDER: Final = Path(
    os.environ.get("WYCHEPROOF_DIR") or Path(__file__).parents[3] / "shared" / "wycheproof"
)
FILES: Final = {
    "signature": "json_web_signature_test.json",
    "crypto": "json_web_crypto_test.json",
    "key": "json_web_key_test.json",
}
pytestmark = pytest.mark.skipif(
    not all((FOLDER / name).is_file() for name in FILES.values()),
    reason=f"no vectors in {FOLDER}: copy json_web_*_test.json out of testvectors_v1 of "
    "https://github.com/C2SP/wycheproof, or set WYCHEPROOF_DIR",
)

EXCEPTIONS: Final = {
    ("signature", 346): "PS384 under a key that says PS256",
    ("signature", 347): "a key that says ES521, which is no algorithm",
    ("signature", 350): "PS384 under a key that says PS256",
    ("signature", 351): "a key that says ES521, which is no algorithm",
    ("signature", 367): "labelled invalid, and byte for byte the valid 357",
    ("signature", 370): "labelled invalid, and byte for byte the valid 357",
    ("signature", 372): "labelled valid, with a ? in its header",
    ("signature", 373): "labelled valid, with a ? in its payload",
}
"""Where the vectors are odd. All but the twins of 357 are refusals."""

RULES: Final = {
    ("signature", 259): "empty payload",
    ("signature", 264): "empty payload",
    ("signature", 268): "empty payload",
    ("signature", 272): "empty payload",
    ("signature", 320): "empty payload",
    ("signature", 325): "empty payload",
    ("crypto", 48): "secrets from a key set",
    ("key", 2): "secrets from a key set",
}
"""What we refuse by rules of our own: valid JWSs, but no session token and no issuer's keys."""


@dataclass(frozen=True, slots=True)
class Vector:
    """One token, the key that it is to be verified with, and the project's verdict."""

    file: str
    number: int
    text: str = field(repr=False)
    key: Mapping[str, Any] = field(repr=False)
    is_valid: bool
    is_encrypted: bool


def vectors() -> Iterator[Vector]:
    for file, name in FILES.items():
        for group in json.loads((FOLDER / name).read_text())["testGroups"]:
            for test in group["tests"]:
                token = test.get("jws", test.get("jwe"))
                yield Vector(
                    file=file,
                    number=test["tcId"],
                    text=token if isinstance(token, str) else json.dumps(token),
                    key=group.get("public", group["private"]),
                    is_valid=test["result"] == "valid",
                    is_encrypted="jwe" in test,
                )


def accepts(vector: Vector) -> bool:
    """Return whether a service with the vector's key proves the vector's token."""
    try:
        keys, algorithms = configured(vector.key)
        parse_jws(vector.text).verify(keys, algorithms)
    except (KeyPolicyError, SessionError):
        return False
    return True


def configured(key: Mapping[str, Any]) -> tuple[KeySet, frozenset[str]]:
    """Load *key* as an operator would who was sent it: a secret as `secret`, all else as a JWKS.

    Its algorithms are those that the keys name; where none does, all are configured.
    """
    members = key.get("keys", [key])
    algorithms = frozenset(jwk["alg"] for jwk in members if "alg" in jwk)
    if [jwk["kty"] for jwk in members] == ["oct"]:
        secret = urlsafe_b64decode(members[0]["k"] + "==")
        return key_from_secret(secret, algorithms or SECRET_ALGORITHMS), algorithms
    algorithms = algorithms or PUBLIC_KEY_ALGORITHMS
    return keys_from_jwks(json.dumps({"keys": members}).encode(), algorithms), algorithms


def test_verdicts() -> None:
    """Our verdict on each signed token is Wycheproof's, but for the named ones."""
    signed = [vector for vector in vectors() if not vector.is_encrypted]

    differing = {(v.file, v.number) for v in signed if accepts(v) != v.is_valid}

    assert differing == EXCEPTIONS.keys() | RULES.keys()
    assert (len(signed), len(differing)) == (476, 16)


def test_differences_are_refusals() -> None:
    """And where we differ we refuse, but for a token that another vector calls valid."""
    signed = {(vector.file, vector.number): vector for vector in vectors()}

    accepted = [name for name in EXCEPTIONS.keys() | RULES.keys() if accepts(signed[name])]

    valid = signed["signature", 357]
    assert {(signed[name].text, signed[name].key["k"]) for name in accepted} == {
        (valid.text, valid.key["k"])
    }


def test_encrypted() -> None:
    """An encrypted token is refused, the valid ones too: this service takes signed ones."""
    encrypted = [vector for vector in vectors() if vector.is_encrypted]

    accepted = [vector for vector in encrypted if accepts(vector)]

    assert (len(encrypted), accepted) == (34, [])
