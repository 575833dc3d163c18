"""Hostile deliveries to sources that are signed by a JWT: of the body's hash, or of the body."""

import hashlib
import hmac
import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator, Mapping
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.builders import NOW
from tests.security.hostile_deliveries import Hostile, body_of, signed_nonsense
from tests.web.signing import (
    AUDIENCE,
    KID,
    OTHER_KEY,
    SIGNING_KEY,
    SOURCES,
    by_key,
)

KEYCLOAK: Final = body_of("keycloak-jwt")
FUSIONAUTH: Final = body_of("fusionauth")
KINDE: Final = body_of("kinde")
PEM: Final = SIGNING_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
HEX: Final = hashlib.sha256(KEYCLOAK).hexdigest()
BASE64: Final = b64encode(hashlib.sha256(FUSIONAUTH).digest()).decode()
GOOD: Final = {
    "request_body_sha256": HEX,
    "aud": AUDIENCE,
    "iat": int(NOW),
    "exp": int(NOW) + 300,
}


def _segment(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _by_hand(header: Any, payload: Any, signature: bytes | None = None) -> str:
    """Return a token of any parts, signed with the issuer's key unless *signature* is given."""
    text = f"{_segment(header)}.{_segment(payload)}"
    if signature is None:
        algorithm = jwt.get_algorithm_by_name("ES256")
        signature = algorithm.sign(text.encode(), SIGNING_KEY)
    return f"{text}.{_segment(signature)}"


def _tokens(claims: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield tokens that no source by key takes, whatever they say: name, token, reason."""
    header = {"alg": "ES256", "kid": KID}
    good = by_key(claims)
    head, body, signature = good.split(".")
    by_pem = f"{_segment({**header, 'alg': 'HS256'})}.{body}".encode()
    hmac_by_pem = hmac.digest(PEM, by_pem, "sha256")
    yield "alg none", _by_hand({**header, "alg": "none"}, claims, b"x"), "alg_not_allowed"
    yield "alg None", _by_hand({**header, "alg": "None"}, claims, b"x"), "alg_not_allowed"
    yield "alg missing", _by_hand({"kid": KID}, claims), "alg_malformed"
    yield "alg list", _by_hand({**header, "alg": ["ES256"]}, claims), "alg_malformed"
    yield "alg es384", _by_hand({**header, "alg": "ES384"}, claims), "alg_not_allowed"
    yield "alg rs256", _by_hand({**header, "alg": "RS256"}, claims), "alg_not_allowed"
    confused = _by_hand({**header, "alg": "HS256"}, claims, hmac_by_pem)
    yield "public key as a secret", confused, "alg_not_allowed"
    yield "kid unknown", _by_hand({**header, "kid": "x"}, claims), "key_unknown"
    yield "kid a path", _by_hand({**header, "kid": "../../dev/null"}, claims), "key_unknown"
    yield "kid a number", _by_hand({**header, "kid": 1}, claims), "kid_malformed"
    for name in ("crit", "b64", "zip", "enc", "cty"):
        yield name, _by_hand({**header, name: "x"}, claims), "header_not_understood"
    yield "typ at+jwt", _by_hand({**header, "typ": "at+jwt"}, claims), "typ_not_allowed"
    yield "typ a list", _by_hand({**header, "typ": ["JWT"]}, claims), "typ_malformed"
    embedded = _by_hand({**header, "kid": "x", "jwk": {"kty": "EC"}}, claims)
    yield "its own key", embedded, "key_unknown"
    yield "another key", by_key(claims, OTHER_KEY), "signature_invalid"
    yield "no signature", f"{head}.{body}.", "token_malformed"
    yield "empty signature", f"{head}.{body}.AA", "signature_invalid"
    yield "zero signature", _by_hand(header, claims, bytes(64)), "signature_invalid"
    yield "half a signature", f"{head}.{body}.{signature[:40]}", "signature_invalid"
    other = by_key({**claims, "x": 1}).split(".")
    yield "another payload", f"{head}.{other[1]}.{signature}", "signature_invalid"
    yield "two parts", f"{head}.{body}", "token_malformed"
    yield "four parts", f"{good}.x", "token_malformed"
    yield "padding", f"{good}==", "token_malformed"
    yield "a plus in it", f"{head}.+{body}.{signature}", "token_malformed"
    yield "header no json", f"{_segment(b'{')}.{body}.{signature}", "header_malformed"
    yield "header a list", f"{_segment([])}.{body}.{signature}", "header_malformed"
    twice = _segment(b'{"alg":"none","alg":"ES256"}')
    yield "header twice", f"{twice}.{body}.{signature}", "header_malformed"


def _hashes(right: str, other: str) -> Iterator[tuple[str, Any, str]]:
    """Yield claims of a hash that is not this body's: name, claim, reason."""
    absent: dict[str, Any] = {"missing": None, "number": 7, "list": [right], "object": {}}
    for name, value in absent.items():
        yield f"hash {name}", value, "body_hash_missing"
    yield "hash true", True, "body_hash_missing"
    yield "hash not ascii", "é", "body_hash_missing"
    wrong = {
        "empty": "",
        "in the other form": other,
        "upper": right.swapcase(),
        "cut": right[:-1],
        "spaced": f" {right}",
        "one more": right + "0",
        "zero": "0" * 64,
        "blank": " ",
        "of nothing": hashlib.sha256(b"").hexdigest(),
        "sha1": hashlib.sha1(KEYCLOAK).hexdigest(),  # noqa: S324 (that it is weak is the point)
    }
    for name, text in wrong.items():
        yield f"hash {name}", text, "body_hash_wrong"


def _claims() -> Iterator[tuple[str, dict[str, Any], str]]:
    for name, value in {"text": "1", "true": True, "negative": -1, "huge": 10**400}.items():
        yield f"exp {name}", {"exp": value}, "exp_malformed"
    yield "exp in milliseconds", {"exp": int(NOW * 1000)}, "exp_malformed"
    yield "exp missing", {"exp": None}, "exp_missing"
    yield "exp past", {"exp": int(NOW) - 30}, "exp_past"
    yield "exp zero", {"exp": 0}, "exp_past"
    for name in ("nbf", "iat"):
        yield f"{name} in the future", {name: int(NOW) + 60}, f"{name}_in_future"
        yield f"{name} a text", {name: "x"}, f"{name}_malformed"
        yield f"{name} a list", {name: []}, f"{name}_malformed"
    for name, value in {"other": "x", "prefix": "tokensv", "list": ["x"], "number": 7}.items():
        yield f"aud {name}", {"aud": value}, "aud_not_ours"
    for name, value in {"empty": [], "nested": [[AUDIENCE]], "object": {AUDIENCE: 1}}.items():
        yield f"aud {name}", {"aud": value}, "aud_not_ours"
    yield "aud missing", {"aud": None}, "aud_not_ours"
    yield "aud in another case", {"aud": AUDIENCE.upper()}, "aud_not_ours"


def _keycloak() -> Iterator[Hostile]:
    cases = [(name, f"Bearer {token}", reason) for name, token, reason in _tokens(GOOD)]
    for name, value, reason in _hashes(HEX, b64encode(bytes.fromhex(HEX)).decode()):
        claims = {**GOOD, "request_body_sha256": value}
        cases.append((name, f"Bearer {by_key(claims)}", reason))
    for name, change, reason in _claims():
        cases.append((name, f"Bearer {by_key({**GOOD, **change})}", reason))
    good = by_key(GOOD)
    for payload in (b"[]", b"{", b'{"aud":"x","aud":"tokensvc"}', b"\xff", b"null", b""):
        token = _by_hand({"alg": "ES256", "kid": KID}, payload)
        reason = "payload_malformed" if payload else "token_malformed"
        cases.append((f"payload {payload!r}", f"Bearer {token}", reason))
    odd = ["", "Bearer", "Bearer ", good, f"Basic {good}", f"Bearer  {good}", f"Bearer {good} "]
    odd += [f"Bearer {good},Bearer {good}", f"Bearer {good} x", f"Token {good}", f"Bearer\t{good}"]
    cases += [(f"header {text[:14]!r} {len(text)}", text, "header_malformed") for text in odd]
    cases.append(("not ascii", f"Bearer {good}\xe9", "header_malformed"))
    cases.append(("endless", f"Bearer {'x' * 9000}", "header_malformed"))
    for name, value, reason in cases:
        headers = {"authorization": value}
        yield Hostile(f"keycloak-jwt {name}", "keycloak-jwt", KEYCLOAK, headers, reason)
    yield Hostile("keycloak-jwt no header", "keycloak-jwt", KEYCLOAK, {}, "header_missing")


def _fusionauth() -> Iterator[Hostile]:
    secret = SOURCES["fusionauth"].secret
    for name, value, reason in _hashes(BASE64, hashlib.sha256(FUSIONAUTH).hexdigest()):
        claims = {} if value is None else {"request_body_sha256": value}
        token = jwt.encode(claims, secret, algorithm="HS256")
        yield _of_fusionauth(name, token, reason)
    claims = {"request_body_sha256": BASE64}
    for algorithm in ("HS384", "HS512"):
        token = jwt.encode(claims, secret * 2, algorithm=algorithm)
        yield _of_fusionauth(algorithm, token, "alg_not_allowed")
    other = SOURCES["logto"].secret
    by_other = jwt.encode(claims, other, algorithm="HS256")
    yield _of_fusionauth("another secret", by_other, "signature_invalid")
    yield _of_fusionauth("expired", jwt.encode({**claims, "exp": 1}, secret), "exp_past")
    yield _of_fusionauth("bearer", f"Bearer {jwt.encode(claims, secret)}", "token_malformed")
    none = _by_hand({"alg": "none"}, claims, b"x")
    yield _of_fusionauth("none", none, "alg_not_allowed")
    for name, token, reason in _tokens(claims):
        headers = {"x-fusionauth-signature-jwt": token}
        source = "fusionauth-jwks"
        yield Hostile(f"{source} {name}", source, FUSIONAUTH, headers, reason)


def _of_fusionauth(name: str, token: str, reason: str) -> Hostile:
    headers = {"x-fusionauth-signature-jwt": token}
    return Hostile(f"fusionauth {name}", "fusionauth", FUSIONAUTH, headers, reason)


def _kinde() -> Iterator[Hostile]:
    claims = json.loads(KINDE)
    for name, token, reason in _tokens(claims):
        yield Hostile(f"kinde {name}", "kinde", token.encode(), {}, reason)
    good = by_key(claims)
    odd = [b"", KINDE, b" " + good.encode(), good.encode() + b"\n", f"{good},{good}".encode()]
    odd += [json.dumps(good).encode(), f"Bearer {good}".encode()]
    for body in odd:
        yield Hostile(f"kinde body {body[:9]!r} {len(body)}", "kinde", body, {}, "token_malformed")
    yield Hostile("kinde not ascii", "kinde", good.encode() + b"\xff", {}, "body_not_ascii")
    user = by_key({**claims, "sub": "kp_1"}).encode()
    yield Hostile("kinde token of a user", "kinde", user, {}, "token_of_a_user")
    expired = by_key({**claims, "exp": 1}).encode()
    yield Hostile("kinde expired", "kinde", expired, {}, "exp_past")
    in_header = {"authorization": f"Bearer {good}"}
    yield Hostile("kinde in a header", "kinde", KINDE, in_header, "token_malformed")


HOSTILE: Final = [
    *_keycloak(),
    *_fusionauth(),
    *_kinde(),
    *signed_nonsense("keycloak-jwt"),
    *signed_nonsense("fusionauth"),
    *signed_nonsense("kinde"),
]
