"""Signing deliveries: what each kind of sender does before it sends."""

import hashlib
import hmac
import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm

from tests.builders import ISSUER, NOW

SIGNING_KEY: Final = ec.generate_private_key(ec.SECP256R1())
OTHER_KEY: Final = ec.generate_private_key(ec.SECP256R1())
ED25519_KEY: Final = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"ed25519").digest())
WHPK: Final = (
    "whpk_"
    + b64encode(ED25519_KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()
)
KID: Final = "2026-1"
AUDIENCE: Final = "tokensvc"
Headers = dict[str, str]


def a_secret(name: str) -> str:
    """Return a text that only *name* has, as random as a secret is."""
    return b64encode(hashlib.sha256(name.encode()).digest()).decode("ascii")


def a_whsec(name: str) -> str:
    """Return a secret as Standard Webhooks writes them."""
    return f"whsec_{a_secret(name)}"


def write_jwks(folder: Path) -> str:
    """Write the public key of `SIGNING_KEY` into a JWKS file and return its path."""
    jwk = {**ECAlgorithm.to_jwk(SIGNING_KEY.public_key(), as_dict=True), "kid": KID, "use": "sig"}
    file = folder / "jwks.json"
    file.write_text(json.dumps({"keys": [jwk]}))
    return str(file)


@dataclass(frozen=True)
class Envelope:
    """A body, and what the scheme may want to know beside it."""

    body: bytes
    secret: str = ""
    message_id: str = "msg_2b4c"
    at: float = NOW
    key: Any = SIGNING_KEY
    claims: Mapping[str, Any] = field(default_factory=dict)
    family: str = "webhook"


def standard(envelope: Envelope) -> Headers:
    """Sign as Standard Webhooks and Svix do."""
    timestamp = str(int(envelope.at))
    signed = f"{envelope.message_id}.{timestamp}.".encode() + envelope.body
    key = b64decode(envelope.secret.removeprefix("v1,").removeprefix("whsec_"))
    digest = b64encode(hmac.digest(key, signed, "sha256")).decode()
    return {
        f"{envelope.family}-id": envelope.message_id,
        f"{envelope.family}-timestamp": timestamp,
        f"{envelope.family}-signature": f"v1,{digest}",
    }


def ed25519(envelope: Envelope) -> Headers:
    """Sign as Standard Webhooks does with a key pair."""
    timestamp = str(int(envelope.at))
    signed = f"{envelope.message_id}.{timestamp}.".encode() + envelope.body
    signature = b64encode(ED25519_KEY.sign(signed)).decode()
    return {
        "webhook-id": envelope.message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1a,{signature}",
    }


def hex_hmac(header: str, digest: str = "sha256") -> Callable[[Envelope], Headers]:
    """Sign with a hexadecimal HMAC in *header*."""

    def sign(envelope: Envelope) -> Headers:
        return {header: hmac.digest(envelope.secret.encode(), envelope.body, digest).hex()}

    return sign


def timed_hex_hmac(envelope: Envelope) -> Headers:
    """Sign as WorkOS does."""
    timestamp = str(int(envelope.at * 1000))
    signed = f"{timestamp}.".encode() + envelope.body
    digest = hmac.digest(envelope.secret.encode(), signed, "sha256").hex()
    return {"workos-signature": f"t={timestamp}, v1={digest}"}


def _body_hash(envelope: Envelope, *, is_hex: bool) -> str:
    digest = hashlib.sha256(envelope.body).digest()
    return digest.hex() if is_hex else b64encode(digest).decode()


def fusionauth(envelope: Envelope) -> Headers:
    """Sign as FusionAuth does with a shared secret."""
    claims = {"request_body_sha256": _body_hash(envelope, is_hex=False), **envelope.claims}
    return {"x-fusionauth-signature-jwt": jwt.encode(claims, envelope.secret, algorithm="HS256")}


def fusionauth_by_key(envelope: Envelope) -> Headers:
    """Sign as FusionAuth does with a key pair."""
    claims = {"request_body_sha256": _body_hash(envelope, is_hex=False), **envelope.claims}
    return {"x-fusionauth-signature-jwt": by_key(claims, envelope.key)}


def keycloak_by_key(envelope: Envelope) -> Headers:
    """Sign as the Keycloak extension does with the realm's key."""
    claims = {
        "request_body_sha256": _body_hash(envelope, is_hex=True),
        "aud": AUDIENCE,
        "iat": int(envelope.at),
        "exp": int(envelope.at) + 300,
        **envelope.claims,
    }
    return {"authorization": f"Bearer {by_key(claims, envelope.key)}"}


def by_key(claims: Mapping[str, Any], key: Any = SIGNING_KEY) -> str:
    """Return a JWT of *claims*; one that is None is left out."""
    present = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(present, key, algorithm="ES256", headers={"kid": KID})


def bearer_token(envelope: Envelope) -> Headers:
    """Send the secret as a bearer token."""
    return {"authorization": f"Bearer {envelope.secret}"}


def basic(envelope: Envelope) -> Headers:
    """Send the secret as user and password."""
    return {"authorization": f"Basic {b64encode(envelope.secret.encode()).decode()}"}


def whole_header(header: str) -> Callable[[Envelope], Headers]:
    """Send the secret as the value of *header*."""
    return lambda envelope: {header: envelope.secret}


def in_body(_: Envelope) -> Headers:
    """Sign as Kinde does: the body itself is the JWT, and no header says anything."""
    return {"content-type": "application/jwt"}


@dataclass(frozen=True)
class Source:
    """One configured source, and how its sender signs."""

    name: str
    sender: str
    secret: str
    sign: Callable[[Envelope], Headers]
    options: Mapping[str, Any] = field(default_factory=dict)
    family: str = "webhook"

    def table(self, jwks_file: str) -> dict[str, Any]:
        """Return its `[[webhooks]]` table."""
        table = {"source": self.name, "sender": self.sender, "issuer": ISSUER}
        options = dict(self.options)
        if options.pop("by_key", False):
            options |= {"jwks_file": jwks_file, "algorithms": ["ES256"]}
        else:
            table["secrets"] = [self.secret]  # type: ignore[assignment]  # (a table has all types)
        return {**table, "options": options} if options else table

    def envelope(self, body: bytes, **changes: Any) -> Envelope:
        """Return *body* with what the sender would sign it with."""
        return Envelope(**{"secret": self.secret, "family": self.family, **changes, "body": body})

    def deliver(self, body: bytes, **changes: Any) -> tuple[bytes, Headers]:
        """Return body and headers as the sender sends them."""
        envelope = self.envelope(body, **changes)
        if self.sign is in_body:
            claims = {**json.loads(body), **envelope.claims}
            return by_key(claims, envelope.key).encode(), in_body(envelope)
        return body, self.sign(envelope)


def _sources() -> list[Source]:
    keyed = {"by_key": True}
    basic_secret = f"auth0:{a_secret('auth0-basic')}"
    return [
        Source("standard", "standard", a_whsec("standard"), standard),
        Source("standard-ed25519", "standard", WHPK, ed25519),
        Source("clerk", "clerk", a_whsec("clerk"), standard, family="svix"),
        Source("stytch", "stytch", a_whsec("stytch"), standard, family="svix"),
        Source("supabase-auth", "supabase-auth", f"v1,{a_whsec('supabase-auth')}", standard),
        Source("workos", "workos", a_secret("workos"), timed_hex_hmac),
        Source("logto", "logto", a_secret("logto"), hex_hmac("logto-signature-sha-256")),
        Source("keycloak", "keycloak", a_secret("keycloak"), hex_hmac("x-keycloak-signature")),
        Source(
            "keycloak-sha1",
            "keycloak",
            a_secret("keycloak-sha1"),
            hex_hmac("x-keycloak-signature", "sha1"),
            {"digest": "sha1"},
        ),
        Source("keycloak-jwt", "keycloak", "", keycloak_by_key, {**keyed, "audience": AUDIENCE}),
        Source("fusionauth", "fusionauth", a_secret("fusionauth"), fusionauth),
        Source("fusionauth-jwks", "fusionauth", "", fusionauth_by_key, keyed),
        Source("kinde", "kinde", "", in_body, keyed),
        Source("auth0", "auth0", a_secret("auth0"), bearer_token),
        Source("auth0-basic", "auth0", basic_secret, basic, {"scheme": "basic"}),
        Source(
            "supabase-db",
            "supabase-db",
            a_secret("supabase-db"),
            whole_header("x-webhook-secret"),
            {"scheme": "header", "header": "X-Webhook-Secret"},
        ),
        Source("okta", "okta", a_secret("okta"), whole_header("authorization")),
    ]


SOURCES: Final[Mapping[str, Source]] = {source.name: source for source in _sources()}
