"""Key sets: the keys that an issuer signs with, each bound to one algorithm when it is loaded."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol, cast

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    SECP521R1,
    EllipticCurve,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt import PyJWTError
from jwt.algorithms import Algorithm, get_default_algorithms

from tokensvc.domain.strict_json import JSONError, parse_json_object

MIN_SECRET_BYTES: Final[Mapping[str, int]] = {"HS256": 32, "HS384": 48, "HS512": 64}
"""A secret is at least as long as the digest that it makes (RFC 7518, section 3.2)."""
SECRET_ALGORITHMS: Final = frozenset(MIN_SECRET_BYTES)
RSA_ALGORITHMS: Final = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
CURVES: Final[Mapping[str, type[EllipticCurve]]] = {
    "ES256": SECP256R1,
    "ES384": SECP384R1,
    "ES512": SECP521R1,
}
PUBLIC_KEY_ALGORITHMS: Final = RSA_ALGORITHMS | CURVES.keys() | {"EdDSA"}

MIN_RSA_BITS: Final = 2048
MAX_RSA_BITS: Final = 8192
"""Above this one signature costs more than a login may."""
ROCA_PRIMES: Final = (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157)
"""Modulo each of these, a weak modulus of CVE-2017-15361 is a power of 65537."""
MAX_JWKS_BYTES: Final = 512 * 1024
MAX_JWKS_KEYS: Final = 64
MAX_KID_CHARS: Final = 256
_PRIVATE_PARTS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_FAMILIES: Final[Mapping[tuple[str, str], frozenset[str]]] = {
    ("RSA", ""): RSA_ALGORITHMS,
    ("EC", "P-256"): frozenset({"ES256"}),
    ("EC", "P-384"): frozenset({"ES384"}),
    ("EC", "P-521"): frozenset({"ES512"}),
    ("OKP", "Ed25519"): frozenset({"EdDSA"}),
}
"""What a key of this kty and crv can sign (RFC 7518, section 3.1; RFC 8037)."""
_ALGORITHMS: Final[Mapping[str, Algorithm]] = get_default_algorithms()

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey


class KeyPolicyError(ValueError):
    """A key that this service does not trust; the text says why and holds no key material."""


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A key and the one algorithm that it verifies."""

    algorithm: str
    material: object = field(repr=False)
    previous: "VerificationKey | None" = field(repr=False, default=None)
    """The key that this one has replaced a short while ago, and that is good still."""

    def verifies(self, signing_input: bytes, signature: bytes) -> bool:
        """Return whether *signature* over *signing_input* was made with this key."""
        if _ALGORITHMS[self.algorithm].verify(signing_input, self.material, signature):
            return True
        return self.previous is not None and self.previous.verifies(signing_input, signature)


class KeySet(Protocol):
    """Where a key is looked up. Never waits: whatever must be fetched was fetched before."""

    def find(self, algorithm: str, kid: str | None) -> VerificationKey | None:
        """Return the key that a token with this header must be signed with.

        None means that the issuer has no such key; where that cannot be known at
        the moment, raises `KeysUnavailableError`.
        """


@dataclass(frozen=True, slots=True)
class PinnedKey:
    """One key from the configuration: whatever a token's kid says, it is this one."""

    keys: Mapping[str, VerificationKey]

    def find(self, algorithm: str, kid: str | None) -> VerificationKey | None:  # noqa: ARG002
        # (ARG002: the port names both; a pinned key has no use for the kid.)
        return self.keys.get(algorithm)


@dataclass(frozen=True, slots=True)
class NamedKeys:
    """A JWKS: keys by (kid, algorithm). A token without a kid needs an only candidate."""

    keys: Mapping[tuple[str | None, str], VerificationKey]

    def find(self, algorithm: str, kid: str | None) -> VerificationKey | None:
        if kid is not None:
            return self.keys.get((kid, algorithm))
        candidates = [key for key in self.keys.values() if key.algorithm == algorithm]
        return candidates[0] if len(candidates) == 1 else None

    def has(self, kid: str | None) -> bool:
        """Return whether a key is called *kid*, whatever its algorithm."""
        return kid is not None and any(kid == name for name, _ in self.keys)


def key_from_secret(secret: bytes, algorithms: Collection[str]) -> PinnedKey:
    """Return the shared *secret* as the key of the HS algorithms given.

    A public key is refused: everybody who has it could sign.
    """
    _demand(algorithms, SECRET_ALGORITHMS, "a shared secret")
    needed = max(MIN_SECRET_BYTES[name] for name in algorithms)
    if len(secret) < needed:
        msg = f"a shared secret needs at least {needed} bytes"
        raise KeyPolicyError(msg)
    try:
        _ALGORITHMS["HS256"].prepare_key(secret)
    except PyJWTError:
        msg = "a shared secret is no key or certificate in PEM, DER or JWK form"
        raise KeyPolicyError(msg) from None
    return PinnedKey({name: VerificationKey(name, secret) for name in algorithms})


def key_from_pem(pem: bytes, algorithms: Collection[str]) -> PinnedKey:
    """Return the public key in *pem* (SubjectPublicKeyInfo) for the algorithms given."""
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        msg = "not a PEM public key (it begins with -----BEGIN PUBLIC KEY-----)"
        raise KeyPolicyError(msg) from None
    _demand(algorithms, _algorithms_of(key), "this public key")
    return PinnedKey({name: VerificationKey(name, key) for name in algorithms})


def keys_from_jwks(text: bytes, algorithms: Collection[str]) -> NamedKeys:
    """Return the usable keys of a JWK set (RFC 7517, section 5).

    Keys that are there for something else (encryption, other algorithms) are
    passed over. A secret or private key, a kid that is given twice, or a key
    that is too weak condemns the whole set: whoever publishes it has lost it.
    """
    demand_public(algorithms)
    keys: dict[tuple[str | None, str], VerificationKey] = {}
    kids: set[str | None] = set()
    for jwk in _jwks_members(text):
        kid = _kid_of(jwk)
        if kid in kids:
            msg = "two keys of the JWKS share a kid, or have none"
            raise KeyPolicyError(msg)
        kids.add(kid)
        for name in _signing_algorithms(jwk, algorithms):
            keys[kid, name] = VerificationKey(name, _public_key(jwk, name))
    if not keys:
        msg = "the JWKS has no key for the algorithms of this issuer"
        raise KeyPolicyError(msg)
    return NamedKeys(keys)


def demand_public(algorithms: Collection[str]) -> None:
    """Refuse algorithms that keys from outside must never be used with."""
    _demand(algorithms, PUBLIC_KEY_ALGORITHMS, "a JWKS")


def _demand(algorithms: Collection[str], allowed: Collection[str], owner: str) -> None:
    wrong = sorted(set(algorithms) - set(allowed))
    if wrong:
        msg = f"{owner} cannot be used with {', '.join(wrong)}"
        raise KeyPolicyError(msg)


def _algorithms_of(key: object) -> frozenset[str]:
    """Return what *key* may verify, or refuse it for what it is."""
    if isinstance(key, RSAPublicKey) and MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
        if _is_roca(key.public_numbers().n):
            raise KeyPolicyError("this RSA key can be factored (CVE-2017-15361): replace it")
        return RSA_ALGORITHMS
    if isinstance(key, EllipticCurvePublicKey):
        return frozenset(name for name, curve in CURVES.items() if isinstance(key.curve, curve))
    if isinstance(key, Ed25519PublicKey):
        return frozenset({"EdDSA"})
    msg = f"a public key is RSA of {MIN_RSA_BITS} to {MAX_RSA_BITS} bits, EC or Ed25519"
    raise KeyPolicyError(msg)


def _is_roca(modulus: int) -> bool:
    """Return whether *modulus* bears the fingerprint; by chance one in 200 million does."""
    return all(
        modulus % prime in {pow(65537, exponent, prime) for exponent in range(prime)}
        for prime in ROCA_PRIMES
    )


def _jwks_members(text: bytes) -> list[dict[str, object]]:
    if len(text) > MAX_JWKS_BYTES:
        msg = f"the JWKS is larger than {MAX_JWKS_BYTES} bytes"
        raise KeyPolicyError(msg)
    try:
        members = parse_json_object(text).get("keys")
    except JSONError:
        members = None
    if not isinstance(members, list) or not all(isinstance(jwk, dict) for jwk in members):
        msg = 'not a JWKS: {"keys": [...]} is what it looks like'
        raise KeyPolicyError(msg)
    if len(members) > MAX_JWKS_KEYS:
        msg = f"the JWKS has more than {MAX_JWKS_KEYS} keys"
        raise KeyPolicyError(msg)
    return members


def _kid_of(jwk: Mapping[str, object]) -> str | None:
    kid = jwk.get("kid")
    if kid is not None and not (isinstance(kid, str) and 0 < len(kid) <= MAX_KID_CHARS):
        msg = f"a kid in the JWKS is no text of 1 to {MAX_KID_CHARS} characters"
        raise KeyPolicyError(msg)
    if jwk.get("kty") == "oct" or not _PRIVATE_PARTS.isdisjoint(jwk):
        msg = "the JWKS holds a secret or private key"
        raise KeyPolicyError(msg)
    return kid


def _signing_algorithms(jwk: Mapping[str, object], algorithms: Collection[str]) -> frozenset[str]:
    """Return which of *algorithms* this key is published for."""
    if jwk.get("use", "sig") != "sig":
        return frozenset()
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        return frozenset()
    family = _FAMILIES.get((str(jwk.get("kty")), str(jwk.get("crv", ""))), frozenset())
    declared = {str(jwk["alg"])} if "alg" in jwk else family
    return family & declared & set(algorithms)


def _public_key(jwk: Mapping[str, object], algorithm: str) -> PublicKey:
    try:
        key = _ALGORITHMS[algorithm].from_jwk(dict(jwk))
    except (PyJWTError, ValueError, TypeError, KeyError, UnsupportedAlgorithm):
        msg = "a key of the JWKS cannot be read"
        # `from None`: PyJWT's texts can quote the whole key.
        raise KeyPolicyError(msg) from None
    _algorithms_of(key)
    return cast("PublicKey", key)
