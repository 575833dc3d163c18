"""Embedded keys: a token that brings the key which it wants to be verified with, or its address."""

from base64 import b64encode
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from tests.builders import NOW
from tests.security.forging import ED, ES, HS, RS, THIEF, Signer, b64, jwk, thief_for, token
from tests.security.hostile import Build, Hostile, hostile


def a_certificate(signer: Signer) -> x509.Certificate:
    """Return a certificate that *signer* has made for itself."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "rs.example.test")])
    today = datetime.fromtimestamp(NOW, UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(signer.public_key)
        .serial_number(1)
        .not_valid_before(today - timedelta(days=1))
        .not_valid_after(today + timedelta(days=1))
        .sign(signer.key, None if signer.alg == "EdDSA" else hashes.SHA256())
    )


def embedded_keys(thief: Signer) -> Mapping[str, Mapping[str, object]]:
    """Return the headers that carry the thief's own key."""
    raw = a_certificate(thief).public_bytes(Encoding.DER)
    thumbprint = b64(a_certificate(thief).fingerprint(hashes.SHA256()))
    chain = [b64encode(raw).decode()]
    return {
        "jwk": {"jwk": jwk(thief)},
        "jwk-other-kid": {"jwk": jwk(thief, kid="thief"), "kid": "key-1"},
        "jwk-in-array": {"jwk": [jwk(thief)]},
        "jwks": {"jwks": {"keys": [jwk(thief)]}},
        "x5c": {"x5c": chain},
        "x5c-text": {"x5c": chain[0]},
        "x5c-twice": {"x5c": chain * 2},
        "x5c-thumbprint": {"x5c": chain, "x5t#S256": thumbprint},
        "x5t": {"x5t#S256": thumbprint},
        "epk": {"epk": jwk(thief)},
    }


def embedded_cases() -> Iterator[Hostile]:
    for place, signer in {"rs": RS, "es": ES, "ed": ED}.items():
        thief = thief_for(signer.alg)
        for name, header in embedded_keys(thief).items():
            text = token(signer, header=header, sign=thief.sign)
            yield hostile(f"embedded-{place}-{name}", "signature_invalid", text)
    secret = {"kty": "oct", "k": b64(THIEF["HS"]), "alg": "HS256", "kid": "key-1"}
    text = token(header={"jwk": secret}, sign=thief_for("HS256").sign)
    yield hostile("embedded-hs-jwk", "signature_invalid", text)
    text = token(RS, header={"jwk": secret, "alg": "HS256"}, sign=thief_for("HS256").sign)
    yield hostile("embedded-rs-oct-jwk", "alg_not_allowed", text)
    thief = thief_for("RS256")
    text = token(RS, header={"jwk": jwk(thief), "kid": "thief"}, sign=thief.sign)
    yield hostile("embedded-rs-own-kid", "key_unknown", text)
    text = token(RS, header={"jwk": jwk(thief), "kid": ...}, sign=thief.sign)
    yield hostile("embedded-rs-no-kid", "key_unknown", text)


ADDRESSES: Final = {
    "plain": "{url}/jwks.json",
    "localhost": "{localhost}/jwks.json",
    "userinfo": "http://rs.example.test@{host}/jwks.json",
    "fragment": "{url}/jwks.json#https://rs.example.test/",
    "query": "{url}/?u=https://rs.example.test/jwks.json",
    "no-scheme": "//{host}/jwks.json",
    "upper-case": "HTTP://{host}/jwks.json",
    "discovery": "{url}/.well-known/openid-configuration",
}


def _address(pattern: str, url: str) -> str:
    host = url.removeprefix("http://")
    return pattern.format(url=url, host=host, localhost=url.replace("127.0.0.1", "localhost"))


def _header_with(signer: Signer, member: str, pattern: str, **header: object) -> Build:
    sign = thief_for(signer.alg).sign
    return lambda url: token(signer, header={**header, member: _address(pattern, url)}, sign=sign)


def _issued_at(pattern: str) -> Build:
    sign = thief_for(RS.alg).sign
    return lambda url: token(RS, payload={"iss": _address(pattern, url)}, sign=sign)


def address_cases() -> Iterator[Hostile]:
    """Yield the tokens that name the listener: nobody must go there and look."""
    for place, signer in {"hs": HS, "rs": RS, "es": ES, "ed": ED}.items():
        for member in ("jku", "x5u"):
            for name, pattern in ADDRESSES.items():
                build = _header_with(signer, member, pattern, kid="key-1")
                yield Hostile(f"address-{place}-{member}-{name}", "signature_invalid", build)
    for member in ("jku", "x5u"):
        build = _header_with(RS, member, ADDRESSES["plain"], kid="unknown")
        yield Hostile(f"address-unknown-kid-{member}", "key_unknown", build)
    for name, pattern in ADDRESSES.items():
        build = _header_with(RS, "kid", pattern)
        yield Hostile(f"address-kid-{name}", "key_unknown", build)
        yield Hostile(f"address-iss-{name}", "iss_unknown", _issued_at(pattern))
