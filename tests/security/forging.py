"""Forging: the issuers that the corpus's service trusts, and tokens that only look like theirs."""

import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import get_default_algorithms

from tests.builders import AUDIENCE, ISSUER, NOW, SECRET, a_sessions_table

ALGORITHMS: Final = get_default_algorithms()
KID: Final = "key-1"
"""The kid of every issuer that has one: a kid says nothing about whose key it names."""


@dataclass(frozen=True, slots=True)
class Signer:
    """Somebody who signs session tokens, honest or not."""

    issuer: str
    alg: str
    key: Any = field(repr=False)
    kid: str | None = None
    extra_claims: Mapping[str, object] = field(default_factory=dict)

    @property
    def public_key(self) -> Any:
        return self.key.public_key()

    def sign(self, signing_input: bytes) -> bytes:
        return ALGORITHMS[self.alg].sign(signing_input, self.key)


HS: Final = Signer(ISSUER, "HS256", SECRET.encode())
RS: Final = Signer(
    "https://rs.example.test", "RS256", rsa.generate_private_key(65537, 2048), kid=KID
)
RS_OTHER: Final = Signer(
    "https://rs-other.example.test", "RS256", rsa.generate_private_key(65537, 2048), kid=KID
)
ES: Final = Signer(
    "https://es.example.test",
    "ES256",
    ec.generate_private_key(ec.SECP256R1()),
    extra_claims={"ids": {"chat": "alice"}},
)
ED: Final = Signer(
    "https://ed.example.test", "EdDSA", ed25519.Ed25519PrivateKey.generate(), kid=KID
)
SIGNERS: Final[Mapping[str, Signer]] = {
    "hs": HS,
    "rs": RS,
    "rs-other": RS_OTHER,
    "es": ES,
    "ed": ED,
}
THIEF: Final[Mapping[str, Any]] = {
    "HS": b"a-secret-that-only-the-thief-has-0123456789",
    "RS": rsa.generate_private_key(65537, 2048),
    "PS": rsa.generate_private_key(65537, 2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "ES256K": ec.generate_private_key(ec.SECP256K1()),
    "ES384": ec.generate_private_key(ec.SECP384R1()),
    "ES512": ec.generate_private_key(ec.SECP521R1()),
    "ES521": ec.generate_private_key(ec.SECP521R1()),
    "Ed": ed25519.Ed25519PrivateKey.generate(),
}
"""Keys that nobody trusts, by the algorithm or by how its name begins."""


def thief_for(alg: str) -> Signer:
    """Return somebody with an untrusted key that fits *alg*."""
    return Signer("https://thief.example.test", alg, THIEF.get(alg) or THIEF[alg[:2]])


def b64(raw: bytes) -> str:
    """Return *raw* in base64url without padding."""
    return urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def pem(public_key: Any) -> bytes:
    raw: bytes = public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return raw


def der(public_key: Any) -> bytes:
    raw: bytes = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return raw


def jwk(signer: Signer, **members: object) -> dict[str, object]:
    """Return the signer's public key as a JWK."""
    key: dict[str, object] = json.loads(ALGORITHMS[signer.alg].to_jwk(signer.public_key))
    key.pop("key_ops", None)
    return key | {"kid": KID, "use": "sig", "alg": signer.alg} | members


Part = Mapping[str, object] | bytes
"""A header or payload: changes to the good one (... removes a member), or its very bytes."""


def header_of(signer: Signer, changes: Part | None = None) -> bytes:
    """Return a good header, or what *changes* make of it."""
    good = {"alg": signer.alg, "typ": "JWT", **({"kid": signer.kid} if signer.kid else {})}
    return _part(good, changes or {})


def payload_of(signer: Signer, changes: Part | None = None) -> bytes:
    """Return a good payload, or what *changes* make of it."""
    good = {"iss": signer.issuer, "aud": AUDIENCE, "sub": "alice", "iat": NOW, "exp": NOW + 600}
    return _part({**good, **signer.extra_claims}, changes or {})


def _part(good: Mapping[str, object], changes: Part) -> bytes:
    if isinstance(changes, bytes):
        return changes
    members = {name: value for name, value in {**good, **changes}.items() if value is not ...}
    return json.dumps(members, separators=(",", ":")).encode()


def token(
    signer: Signer = HS,
    *,
    header: Part | None = None,
    payload: Part | None = None,
    sign: Callable[[bytes], bytes] | None = None,
) -> str:
    """Return a compact JWS: a good one, but for what is given."""
    signing_input = f"{b64(header_of(signer, header))}.{b64(payload_of(signer, payload))}"
    return f"{signing_input}.{b64((sign or signer.sign)(signing_input.encode()))}"


def basic(user: str, password: str) -> str:
    return b64encode(f"{user}:{password}".encode()).decode()


def session_tables(folder: Path) -> list[dict[str, Any]]:
    """Return `[[sessions]]` for every signer, their public keys written into *folder*.

    The two RS256 issuers and the EdDSA one share a kid; the ES256 issuer names its
    users in a claim of its own.
    """
    spare = Signer("", "RS256", THIEF["RS"])
    for name, keys in {
        "rs": [jwk(RS), jwk(_second_of(RS), kid="key-2")],
        "rs-other": [jwk(RS_OTHER)],
        "ed": [jwk(ED), jwk(spare, kid="for-encryption", use="enc", alg="RSA-OAEP")],
    }.items():
        (folder / f"{name}.json").write_text(json.dumps({"keys": keys}))
    (folder / "es.pem").write_bytes(pem(ES.public_key))
    sources: dict[str, dict[str, object]] = {
        "rs": {"jwks_file": folder / "rs.json"},
        "rs-other": {"jwks_file": folder / "rs-other.json"},
        "es": {"public_key_file": folder / "es.pem", "uid_claim": "/ids/chat"},
        "ed": {"jwks_file": folder / "ed.json"},
    }
    public = [
        a_sessions_table(
            issuer=SIGNERS[name].issuer,
            algorithms=[SIGNERS[name].alg],
            secret=None,
            uid_prefix=f"{name}_",
            **source,
        )
        for name, source in sources.items()
    ]
    return [a_sessions_table(uid_prefix="hs_"), *public]


def _second_of(signer: Signer) -> Signer:
    return Signer(signer.issuer, signer.alg, rsa.generate_private_key(65537, 2048))
