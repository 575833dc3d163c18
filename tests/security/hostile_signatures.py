"""Signatures: bytes that are almost one, or one that is somebody else's."""

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from tests.builders import API_KEY, ISSUER, LOG_KEY, OTHER_SECRET, SECRET
from tests.security.forging import ED, ES, HS, RS, SIGNERS, Signer, b64, thief_for, token
from tests.security.hostile import Hostile, hostile

P256_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ED25519_ORDER: Final = 2**252 + 27742317777372353535851937790883648493

Sign = Callable[[bytes], bytes]


def _always(signature: bytes) -> Sign:
    return lambda _: signature


def _by_secret(secret: bytes) -> Sign:
    return lambda text: hmac.digest(secret, text, "sha256")


def _flip(signature: bytes, bit: int) -> bytes:
    number = int.from_bytes(signature, "big") ^ (1 << bit)
    return number.to_bytes(len(signature), "big")


def _tampered(signer: Signer) -> dict[str, Sign]:
    sign = signer.sign
    return {
        "one-byte": lambda text: sign(text)[:1],
        "cut-by-one": lambda text: sign(text)[:-1],
        "cut-in-front": lambda text: sign(text)[1:],
        "half": lambda text: sign(text)[: len(sign(text)) // 2],
        "zero-behind": lambda text: sign(text) + b"\x00",
        "zero-in-front": lambda text: b"\x00" + sign(text),
        "twice": lambda text: sign(text) * 2,
        "bytes-behind": lambda text: sign(text) + b"A" * 1000,
        "first-bit": lambda text: _flip(sign(text), 8 * len(sign(text)) - 1),
        "middle-bit": lambda text: _flip(sign(text), 4 * len(sign(text))),
        "last-bit": lambda text: _flip(sign(text), 0),
        "zeros": lambda text: bytes(len(sign(text))),
        "ones": lambda text: b"\xff" * len(sign(text)),
        "reversed": lambda text: sign(text)[::-1],
        "digest": lambda text: hashlib.sha256(text).digest(),
        "of-nothing": lambda _: sign(b""),
        "of-payload-alone": lambda text: sign(text.split(b".")[1]),
        "of-header-alone": lambda text: sign(text.split(b".")[0]),
        "of-both-unseparated": lambda text: sign(text.replace(b".", b"")),
        "of-a-newline-more": lambda text: sign(text + b"\n"),
        "of-its-digest": lambda text: sign(hashlib.sha256(text).digest()),
        "hex": lambda text: sign(text).hex().encode(),
        "base64-twice": lambda text: b64(sign(text)).encode(),
        "of-a-thief": thief_for(signer.alg).sign,
    }


def tampering_cases() -> Iterator[Hostile]:
    for name, signer in SIGNERS.items():
        for kind, sign in _tampered(signer).items():
            text = token(signer, sign=sign)
            yield hostile(f"signature-{name}-{kind}", "signature_invalid", text)
        head, body, signature = token(signer).split(".")
        other_head, other_body, _ = token(signer, header={"x": 1}, payload={"sub": "bob"}).split(
            "."
        )
        exchanged = {
            "payload": f"{head}.{other_body}.{signature}",
            "header": f"{other_head}.{body}.{signature}",
            "both": f"{other_head}.{other_body}.{signature}",
        }
        for part, text in exchanged.items():
            yield hostile(f"signature-{name}-other-{part}", "signature_invalid", text)


def crossing_cases() -> Iterator[Hostile]:
    """Yield the tokens that one issuer signs in the name of another."""
    for name, signer in SIGNERS.items():
        for victim_name, victim in SIGNERS.items():
            if victim is signer:
                continue
            reason = "signature_invalid" if victim.alg == signer.alg else "alg_not_allowed"
            text = token(signer, payload={"iss": victim.issuer, **victim.extra_claims})
            yield hostile(f"crossing-{name}-for-{victim_name}", reason, text)
            text = token(victim, header={"alg": victim.alg}, sign=signer.sign)
            yield hostile(f"crossing-{name}-as-{victim_name}", "signature_invalid", text)


def _raw(r: int, s: int, size: int = 32) -> bytes:
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def _es_der(text: bytes) -> bytes:
    signature: bytes = ES.key.sign(text, ec.ECDSA(hashes.SHA256()))
    return signature


def _es_numbers(text: bytes) -> tuple[int, int]:
    return decode_dss_signature(_es_der(text))


def elliptic_cases() -> Iterator[Hostile]:
    order = P256_ORDER
    special = {
        "zero": 0,
        "one": 1,
        "order-less-one": order - 1,
        "order": order,
        "order-plus-one": order + 1,
    }
    special["largest"] = 2**256 - 1
    for r_name, r in special.items():
        for s_name, s in special.items():
            text = token(ES, sign=_always(_raw(r, s)))
            yield hostile(f"es-r-{r_name}-s-{s_name}", "signature_invalid", text)
    forms: dict[str, Sign] = {
        "der": _es_der,
        "der-of-zeros": lambda _: bytes.fromhex("3006020100020100"),
        "der-of-ones": lambda _: bytes.fromhex("3006020101020101"),
        "48-byte-numbers": lambda text: _raw(*_es_numbers(text), size=48),
        "33-byte-numbers": lambda text: _raw(*_es_numbers(text), size=33),
        "swapped": lambda text: ES.sign(text)[32:] + ES.sign(text)[:32],
        "r-twice": lambda text: ES.sign(text)[:32] * 2,
        "r-alone": lambda text: ES.sign(text)[:32],
        "sha-384": lambda text: _by_hash(text, hashes.SHA384()),
        "sha-1": lambda text: _by_hash(text, hashes.SHA1()),  # noqa: S303 (that is the attack)
    }
    for name, sign in forms.items():
        yield hostile(f"es-{name}", "signature_invalid", token(ES, sign=sign))


def _by_hash(text: bytes, algorithm: hashes.HashAlgorithm) -> bytes:
    numbers = decode_dss_signature(ES.key.sign(text, ec.ECDSA(algorithm)))
    return _raw(*numbers)


def rsa_cases() -> Iterator[Hostile]:
    modulus = RS.key.public_key().public_numbers().n
    size = RS.key.key_size // 8
    numbers = {"zero": 0, "one": 1, "modulus-less-one": modulus - 1, "modulus": modulus}
    for name, number in numbers.items():
        text = token(RS, sign=_always(number.to_bytes(size, "big")))
        yield hostile(f"rsa-{name}", "signature_invalid", text)
    forms: dict[str, Sign] = {
        "pss": lambda text: _rsa(text, _PSS, hashes.SHA256()),
        "sha-1": lambda text: _rsa(text, padding.PKCS1v15(), hashes.SHA1()),  # noqa: S303 (likewise)
        "sha-512": lambda text: _rsa(text, padding.PKCS1v15(), hashes.SHA512()),
        "plus-modulus": lambda text: (int.from_bytes(RS.sign(text), "big") + modulus).to_bytes(
            size + 1, "big"
        ),
    }
    for name, sign in forms.items():
        yield hostile(f"rsa-{name}", "signature_invalid", token(RS, sign=sign))


_PSS: Final = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32)


def _rsa(text: bytes, pad: padding.AsymmetricPadding, algorithm: hashes.HashAlgorithm) -> bytes:
    signature: bytes = RS.key.sign(text, pad, algorithm)
    return signature


def edwards_cases() -> Iterator[Hostile]:
    def shifted(text: bytes) -> bytes:
        """Return the signature's twin with S + L, which RFC 8032 forbids."""
        signature = ED.sign(text)
        scalar = int.from_bytes(signature[32:], "little") + ED25519_ORDER
        return signature[:32] + scalar.to_bytes(32, "little")

    small = bytes([1]) + bytes(31)
    forms: dict[str, Sign] = {
        "scalar-plus-order": shifted,
        "identity-and-zero": lambda _: small + bytes(32),
        "zero-and-zero": lambda _: bytes(64),
        "ed448-length": lambda text: ED.sign(text) + bytes(50),
        "halves-swapped": lambda text: ED.sign(text)[32:] + ED.sign(text)[:32],
        "prehashed": lambda text: ED.sign(hashlib.sha512(text).digest()),
    }
    for name, sign in forms.items():
        yield hostile(f"ed-{name}", "signature_invalid", token(ED, sign=sign))


SECRETS: Final = {
    "empty": b"",
    "newline-behind": SECRET.encode() + b"\n",
    "nul-in-front": b"\x00" + SECRET.encode(),
    "lower-case": SECRET.lower().encode(),
    "cut": SECRET[:-1].encode(),
    "twice": SECRET.encode() * 2,
    "base64": b64encode(SECRET.encode()),
    "utf-16": SECRET.encode("utf-16"),
    "hashed": hashlib.sha256(SECRET.encode()).digest(),
    "quoted": f'"{SECRET}"'.encode(),
    "other": OTHER_SECRET.encode(),
    "api-key": API_KEY.encode(),
    "log-key": LOG_KEY.encode(),
    "issuer": ISSUER.encode(),
    "word-secret": b"secret",
    "word-password": b"password",
    "word-changeme": b"changeme",
    "word-none": b"None",
    "word-null": b"null",
    "your-256-bit-secret": b"your-256-bit-secret",
    "32-zeros": bytes(32),
}


def secret_cases() -> Iterator[Hostile]:
    for name, secret in SECRETS.items():
        text = token(sign=_by_secret(secret))
        yield hostile(f"secret-{name}", "signature_invalid", text)
    digests = {
        "sha1": lambda text: hmac.digest(HS.key, text, "sha1"),
        "sha512": lambda text: hmac.digest(HS.key, text, "sha512"),
        "sha512-cut": lambda text: hmac.digest(HS.key, text, "sha512")[:32],
        "sha256-cut-to-128": lambda text: hmac.digest(HS.key, text, "sha256")[:16],
        "sha3": lambda text: hmac.digest(HS.key, text, "sha3_256"),
        "secret-in-front": lambda text: hashlib.sha256(HS.key + text).digest(),
        "secret-behind": lambda text: hashlib.sha256(text + HS.key).digest(),
        "arguments-swapped": lambda text: hmac.digest(text, HS.key, "sha256"),
    }
    for name, sign in digests.items():
        yield hostile(f"hmac-{name}", "signature_invalid", token(sign=sign))
