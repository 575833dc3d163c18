"""Headers: an algorithm, a parameter or a type that this service does not take."""

import hashlib
import hmac
import json
from collections.abc import Iterator
from typing import Any, Final

from tests.security.forging import (
    ALGORITHMS,
    ED,
    ES,
    HS,
    RS,
    RS_OTHER,
    SIGNERS,
    Signer,
    b64,
    der,
    header_of,
    jwk,
    payload_of,
    pem,
    thief_for,
    token,
)
from tests.security.hostile import Hostile, each, hostile, with_headers

WRONG_TYPES: Final[dict[str, object]] = {
    "null": None,
    "true": True,
    "false": False,
    "zero": 0,
    "one": 1,
    "fraction": 1.5,
    "array": [],
    "array-of-text": ["HS256"],
    "object": {},
}
NOT_PRINTABLE: Final[dict[str, object]] = {
    "empty": "",
    "nul": "key\x00",
    "newline": "key\n",
    "return": "key\r",
    "tab": "\tkey",
    "escape": "\x1b[2Jkey",
    "delete": "key\x7f",
    "c1-control": "key\x85",
    "accent": "clé",
    "cyrillic": "k\u0435y",
    "fullwidth": "\uff4bey",
    "right-to-left": "\u202eyek",
    "zero-width": "key\u200b",
    "emoji": "🔑",
    "too-long": "k" * 257,
    "far-too-long": "k" * 4000,
}


def alg_cases() -> Iterator[Hostile]:
    yield from with_headers(HS, "alg_malformed", {"alg-missing": {"alg": ...}})
    for name, signer in {"hs": HS, "rs": RS}.items():
        malformed = each(f"alg-{name}", "alg", WRONG_TYPES | NOT_PRINTABLE)
        yield from with_headers(signer, "alg_malformed", malformed)
    yield from with_headers(HS, "alg_malformed", {"alg-empty-object": b"{}"})
    others = (
        *("hs256", "Hs256", "HS256 ", " HS256", "HS-256", "HS 256", "SHA256", "HMAC", "HS1"),
        *("HS128", "HS2560", "HS256,none", '["HS256"]', "ES256K", "ES521", "ES224", "RS1"),
        *("Ed25519", "Ed448", "dir", "A256KW", "A256GCMKW", "RSA-OAEP", "RSA1_5", "ECDH-ES"),
        *("PBES2-HS256+A128KW", "HS256/64", "AES-CMAC", "../HS256", "__class__", "*"),
        "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256",
    )
    for other in others:
        yield from with_headers(HS, "alg_not_allowed", {f"alg-{other}": {"alg": other}})


def none_cases() -> Iterator[Hostile]:
    """Yield `none` in every spelling, for every issuer, without a signature and with one."""
    for spelling in ("none", "None", "NONE", "nOnE", "NoNe", "none ", " none", "null", "no"):
        for name, signer in SIGNERS.items():
            text = token(signer, header={"alg": spelling})
            unsigned = text[: text.rindex(".") + 1]
            yield hostile(f"none-{spelling}-{name}-signed", "alg_not_allowed", text)
            yield hostile(f"none-{spelling}-{name}-unsigned", "token_malformed", unsigned)
    yield hostile("none-one-byte", "alg_not_allowed", token(header={"alg": "none"}, sign=_nothing))


def _nothing(_: bytes) -> bytes:
    return b"\x00"


def swap_cases() -> Iterator[Hostile]:
    """Yield every other algorithm for every issuer: signed, and by its own key if it can."""
    for name, signer in SIGNERS.items():
        for alg in sorted(set(ALGORITHMS) - {"none", signer.alg}):
            fits = alg[:2] in {"RS", "PS"} if signer.alg == "RS256" else alg[:2] == signer.alg[:2]
            fits = fits and not alg.startswith("ES")
            key = signer.key if fits else thief_for(alg).key
            signed_by = Signer(signer.issuer, alg, key, signer.kid)
            text = token(signer, header={"alg": alg}, sign=signed_by.sign)
            yield hostile(f"swap-{name}-{alg}", "alg_not_allowed", text)


def confusion_cases() -> Iterator[Hostile]:
    """Yield HMACs whose secret is a public key, in every form that a public key is seen in."""
    for name, signer in {"rs": RS, "rs-other": RS_OTHER, "es": ES, "ed": ED}.items():
        for form, secret in _public_forms(signer).items():
            for alg, digest in {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}.items():
                text = _by_hmac(signer, alg, secret, digest)
                yield hostile(f"confusion-{name}-{alg}-{form}", "alg_not_allowed", text)
            text = _by_hmac(signer, signer.alg, secret, "sha256")
            yield hostile(f"confusion-{name}-{form}", "signature_invalid", text)


def _public_forms(signer: Signer) -> dict[str, bytes]:
    key = signer.public_key
    return {
        "pem": pem(key),
        "pem-stripped": pem(key).strip(),
        "pem-crlf": pem(key).replace(b"\n", b"\r\n"),
        "der": der(key),
        "jwk": json.dumps(jwk(signer)).encode(),
        "jwks": json.dumps({"keys": [jwk(signer)]}).encode(),
        "base64-der": b64(der(key)).encode(),
        "empty": b"",
    }


def _by_hmac(signer: Signer, alg: str, secret: bytes, digest: str) -> str:
    return token(signer, header={"alg": alg}, sign=lambda text: hmac.digest(secret, text, digest))


def parameter_cases() -> Iterator[Hostile]:
    """Yield the parameters that change what a signature covers or what a payload is."""
    parameters: dict[str, tuple[Any, ...]] = {
        "crit": (["exp"], ["b64"], ["alg"], ["http://x"], [], "exp", "", {}, None, 1, True),
        "b64": (False, True, "false", None, 0, []),
        "zip": ("DEF", "GZ", "none", "", None, 1, []),
        "enc": ("A256GCM", "A128CBC-HS256", "none", "", None, []),
        "cty": ("JWT", "jwt", "application/json", "JWE", "", None, 1),
    }
    for name, values in parameters.items():
        for value in values:
            change = {f"parameter-{name}-{json.dumps(value)}": {name: value}}
            yield from with_headers(HS, "header_not_understood", change)
        for place, signer in {"rs": RS, "es": ES, "ed": ED}.items():
            change = {f"parameter-{place}-{name}": {name: values[0]}}
            yield from with_headers(signer, "header_not_understood", change)
    crit_b64 = {"parameter-crit-and-b64": {"crit": ["b64"], "b64": False}}
    yield from with_headers(HS, "header_not_understood", crit_b64)
    yield hostile("parameter-unencoded-payload", "header_not_understood", _unencoded())
    escaped = header_of(HS)[:-1] + b',"\\u0063rit":["exp"]}'
    yield from with_headers(HS, "header_not_understood", {"parameter-escaped-crit": escaped})


def _unencoded() -> str:
    """Return a token whose signature covers the payload's own bytes (RFC 7797)."""
    head = b64(header_of(HS, {"b64": False, "crit": ["b64"]}))
    payload = payload_of(HS)
    return f"{head}.{b64(payload)}.{b64(HS.sign(f'{head}.'.encode() + payload))}"


def type_cases() -> Iterator[Hostile]:
    not_allowed = (
        *("JWS", "JWE", "JOSE", "JOSE+JSON", "id+jwt", "dpop+jwt", "logout+jwt", "secevent+jwt"),
        *("kb+jwt", "vc+sd-jwt", "rt+jwt", "application/jwt", "application/at+jwt", "application/"),
        *("JWT ", " JWT", "jwt\n", "jwt\x00", "J-W-T", "none", "", "jwt,at+jwt", "at jwt", "*"),
        "\uff2a\uff37\uff34",
    )
    for name, signer in {"hs": HS, "ed": ED}.items():
        for declared in not_allowed:
            change = {f"typ-{name}-{declared!a}": {"typ": declared}}
            yield from with_headers(signer, "typ_not_allowed", change)
    yield from with_headers(HS, "typ_malformed", each("typ", "typ", WRONG_TYPES))


KIDS: Final = (
    *("key-2", "key-3", "KEY-1", "key-1 ", " key-1", "key_1", "key-10", "key-", "1", "0", "-1"),
    *("../../../etc/passwd", "../key-1", "key-1/../key-1", "/dev/null", "/proc/self/environ"),
    *("C:\\Windows\\win.ini", "file:///dev/null", "http://127.0.0.1:9/key", "//127.0.0.1/key"),
    *("' OR '1'='1", "key-1' --", "x' UNION SELECT 'secret' --", '"; DROP TABLE keys; --'),
    *("$(id)", "`id`", "| id", "; id", "key-1;id", "{{7*7}}", "${7*7}", "${jndi:ldap://x/a}"),
    *("%00", "%2e%2e%2f", "key-1%00", "%6bey-1", "key-1?x", "key-1#x", "key-1,key-2", "*", "%s%n"),
    *("None", "null", "undefined", "__proto__", "__class__", "constructor", "<script>", "k" * 256),
)


def kid_cases() -> Iterator[Hostile]:
    for name, signer in {"hs": HS, "rs": RS, "es": ES}.items():
        malformed = each(f"kid-{name}", "kid", WRONG_TYPES | NOT_PRINTABLE)
        yield from with_headers(signer, "kid_malformed", malformed)
    for kid in KIDS:
        name = kid if len(kid) < 100 else "the-longest"
        if kid != "key-2":
            change = {f"kid-unknown-{name}": {"kid": kid}}
            yield from with_headers(RS, "key_unknown", change)
        # An empty file, a query without rows: what a lookup gone astray would verify with.
        text = token(header={"kid": kid}, sign=_by_an_empty_secret)
        yield hostile(f"kid-empty-secret-{name}", "signature_invalid", text)
    yield from with_headers(RS, "signature_invalid", {"kid-of-another-key": {"kid": "key-2"}})
    yield from with_headers(RS, "key_unknown", {"kid-missing-among-several": {"kid": ...}})
    yield from with_headers(ED, "key_unknown", {"kid-for-encryption": {"kid": "for-encryption"}})


def _by_an_empty_secret(text: bytes) -> bytes:
    return hmac.digest(b"", text, hashlib.sha256)
