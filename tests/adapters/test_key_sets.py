"""Which keys are trusted, and for which one algorithm."""

import json
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.security.forging import ALGORITHMS, ED, ES, RS, THIEF, Signer, der, jwk, pem
from tests.security.hostile_embedded import a_certificate
from tokensvc.adapters.key_sets import (
    MAX_JWKS_BYTES,
    MAX_JWKS_KEYS,
    PUBLIC_KEY_ALGORITHMS,
    SECRET_ALGORITHMS,
    KeyPolicyError,
    key_from_pem,
    key_from_secret,
    keys_from_jwks,
)

ES384: Final = Signer("", "ES384", THIEF["ES384"])
ES512: Final = Signer("", "ES512", THIEF["ES512"])
ROCA_MODULUS: Final = 65537**128
"""No modulus at all, but one that bears the fingerprint: a power of 65537 of 2,049 bits."""


def a_jwks(*keys: object) -> bytes:
    """Return a JWK set."""
    return json.dumps({"keys": keys}).encode()


def without(key: dict[str, object], *names: str) -> dict[str, object]:
    """Return *key* without the members named."""
    return {name: value for name, value in key.items() if name not in names}


def an_rsa_key(bits: int) -> Any:
    return rsa.generate_private_key(65537, bits)


def private_pem(key: Any) -> bytes:
    raw: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return raw


# Secrets.


@pytest.mark.parametrize(("alg", "size"), [("HS256", 32), ("HS384", 48), ("HS512", 64)])
def test_secret_length(alg: str, size: int) -> None:
    """A secret is as long as its digest at least; one byte less is refused."""
    assert key_from_secret(b"s" * size, [alg]).find(alg, None)

    with pytest.raises(KeyPolicyError, match=f"at least {size} bytes"):
        key_from_secret(b"s" * (size - 1), [alg])


def test_secret_for_several() -> None:
    """A secret for several algorithms has the length that the longest of them needs."""
    with pytest.raises(KeyPolicyError, match="at least 64 bytes"):
        key_from_secret(b"s" * 48, ["HS256", "HS512"])


@pytest.mark.parametrize("alg", sorted(PUBLIC_KEY_ALGORITHMS))
def test_secret_is_no_public_key(alg: str) -> None:
    """A secret is never used with an algorithm of public keys, not even beside HS256."""
    with pytest.raises(KeyPolicyError, match=f"cannot be used with {alg}"):
        key_from_secret(b"s" * 64, ["HS256", alg])


PUBLIC_TEXTS: Final = {
    "pem": pem(RS.public_key),
    "pem-es": pem(ES.public_key),
    "pem-ed": pem(ED.public_key),
    "pem-indented": b"\n  " + pem(RS.public_key),
    "der": der(RS.public_key),
    "certificate": a_certificate(RS).public_bytes(Encoding.PEM),
    "certificate-der": a_certificate(RS).public_bytes(Encoding.DER),
    "private-pem": private_pem(ES.key),
    "jwk": json.dumps(jwk(RS)).encode(),
    "jwks": a_jwks(jwk(RS)),
}


@pytest.mark.parametrize("text", PUBLIC_TEXTS.values(), ids=PUBLIC_TEXTS.keys())
def test_public_key_is_no_secret(text: bytes) -> None:
    """What everybody can read is not taken for a shared secret."""
    with pytest.raises(KeyPolicyError, match="no key or certificate"):
        key_from_secret(text, ["HS256"])


def test_secret_finds_its_own() -> None:
    """A secret answers to its algorithms under any kid, and to no other one."""
    keys = key_from_secret(b"s" * 64, ["HS256", "HS512"])

    assert {alg for alg in SECRET_ALGORITHMS if keys.find(alg, "any")} == {"HS256", "HS512"}


def test_key_does_not_print_itself() -> None:
    """The key's material is in no text that is made of it."""
    keys = key_from_secret(b"s3cr3t-" * 8, ["HS256"])

    assert "s3cr3t" not in repr(keys)


# PEM files.


@pytest.mark.parametrize(
    ("key", "algorithms"),
    [
        (RS.public_key, {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}),
        (ES.public_key, {"ES256"}),
        (ES384.public_key, {"ES384"}),
        (ES512.public_key, {"ES512"}),
        (ED.public_key, {"EdDSA"}),
    ],
    ids=["rsa", "p-256", "p-384", "p-521", "ed25519"],
)
def test_pem_binding(key: Any, algorithms: set[str]) -> None:
    """A public key is bound to the algorithms that it can verify, and refused for all others."""
    for alg in PUBLIC_KEY_ALGORITHMS | SECRET_ALGORITHMS:
        if alg in algorithms:
            assert key_from_pem(pem(key), [alg]).find(alg, None)
        else:
            with pytest.raises(KeyPolicyError, match=f"cannot be used with {alg}"):
                key_from_pem(pem(key), [alg])


REFUSED_KEYS: Final = {
    "rsa-1024": (an_rsa_key(1024), "RS256"),
    "rsa-2047": (an_rsa_key(2047), "RS256"),
    "secp256k1": (ec.generate_private_key(ec.SECP256K1()), "ES256"),
    "p-224": (ec.generate_private_key(ec.SECP224R1()), "ES256"),
    "brainpool": (ec.generate_private_key(ec.BrainpoolP256R1()), "ES256"),
    "ed448": (ed448.Ed448PrivateKey.generate(), "EdDSA"),
    "x25519": (x25519.X25519PrivateKey.generate(), "EdDSA"),
    "dsa": (dsa.generate_private_key(2048), "RS256"),
}


@pytest.mark.parametrize(("key", "alg"), REFUSED_KEYS.values(), ids=REFUSED_KEYS.keys())
def test_refused_key(key: Any, alg: str) -> None:
    """A weak key, and one of a kind that we do not know, is refused."""
    with pytest.raises(KeyPolicyError):
        key_from_pem(pem(key.public_key()), [alg])


def test_roca() -> None:
    """An RSA key with the fingerprint of CVE-2017-15361 is refused."""
    public_key = rsa.RSAPublicNumbers(65537, ROCA_MODULUS).public_key()

    with pytest.raises(KeyPolicyError, match="CVE-2017-15361"):
        key_from_pem(pem(public_key), ["RS256"])


def test_largest_rsa() -> None:
    """An RSA key of more than 8,192 bits is refused: verifying costs more than a login may."""
    public_key = rsa.RSAPublicNumbers(65537, 2**8192 + 1).public_key()

    with pytest.raises(KeyPolicyError, match="2048 to 8192 bits"):
        key_from_pem(pem(public_key), ["RS256"])


NO_PUBLIC_PEMS: Final = {
    "empty": b"",
    "text": b"not a key",
    "private-key": private_pem(RS.key),
    "private-key-ed": private_pem(ED.key),
    "certificate": a_certificate(RS).public_bytes(Encoding.PEM),
    "der": der(RS.public_key),
    "jwk": json.dumps(jwk(RS)).encode(),
    "truncated": pem(RS.public_key)[:200],
    "broken-base64": pem(RS.public_key).replace(b"M", b"!"),
    "not-ascii": b"\xff" * 300,
}


@pytest.mark.parametrize("text", NO_PUBLIC_PEMS.values(), ids=NO_PUBLIC_PEMS.keys())
def test_no_public_pem(text: bytes) -> None:
    """Anything but a PEM public key is refused, a private key and a certificate too."""
    with pytest.raises(KeyPolicyError, match="not a PEM public key"):
        key_from_pem(text, ["RS256"])


# JWK sets.


def test_jwks_binding() -> None:
    """Each key of a set answers to its own kid and its own algorithm alone."""
    keys = keys_from_jwks(a_jwks(jwk(RS, kid="a"), jwk(ES, kid="b")), ["RS256", "ES256"])

    found = {(alg, kid) for alg in ("RS256", "ES256") for kid in "abc" if keys.find(alg, kid)}
    assert found == {("RS256", "a"), ("ES256", "b")}


def test_jwks_without_alg() -> None:
    """A key that names no algorithm answers to those of its kind that are configured."""
    keys = keys_from_jwks(a_jwks(without(jwk(RS), "alg", "use")), ["RS256", "PS256", "ES256"])

    found = {alg for alg in PUBLIC_KEY_ALGORITHMS if keys.find(alg, "key-1")}
    assert found == {"RS256", "PS256"}


def test_no_kid_and_one_candidate() -> None:
    """A token without a kid is matched with the only key of its algorithm, else with none."""
    one = keys_from_jwks(a_jwks(jwk(RS, kid="a"), jwk(ES, kid="b")), ["RS256", "ES256"])
    two = keys_from_jwks(a_jwks(jwk(RS, kid="a"), jwk(RS, kid="b")), ["RS256"])

    assert one.find("RS256", None)
    assert two.find("RS256", None) is None


def test_one_key_without_kid() -> None:
    """One key of a set may lack its kid: it answers to tokens without one."""
    keys = keys_from_jwks(a_jwks(without(jwk(RS), "kid"), jwk(ES)), ["RS256"])

    assert keys.find("RS256", None)
    assert keys.find("RS256", "key-1") is None


PASSED_OVER: Final[dict[str, dict[str, object]]] = {
    "unknown-kty": {"kty": "AKP", "kid": "x", "alg": "ML-DSA-44", "pub": "AA"},
    "no-kty": {"kid": "x"},
    "kty-list": {"kid": "x", "kty": []},
    "kty-object": {"kid": "x", "kty": {"a": 1}},
    "kty-number": {"kid": "x", "kty": 1},
    "kty-lower-case": jwk(RS, kid="x", kty="rsa"),
    "use-enc": jwk(RS, kid="x", use="enc"),
    "use-null": jwk(RS, kid="x", use=None),
    "use-list": jwk(RS, kid="x", use=["sig"]),
    "key-ops-encrypt": jwk(RS, kid="x", key_ops=["encrypt"]),
    "key-ops-sign": jwk(RS, kid="x", key_ops=["sign"]),
    "key-ops-empty": jwk(RS, kid="x", key_ops=[]),
    "key-ops-text": jwk(RS, kid="x", key_ops="verify"),
    "key-ops-null": jwk(RS, kid="x", key_ops=None),
    "key-ops-unhashable": jwk(RS, kid="x", key_ops=[[], {}]),
    "alg-for-encryption": jwk(RS, kid="x", alg="RSA-OAEP"),
    "alg-not-configured": jwk(RS, kid="x", alg="PS512"),
    "alg-of-another-kty": jwk(RS, kid="x", alg="ES256"),
    "alg-hs": jwk(RS, kid="x", alg="HS256"),
    "alg-none": jwk(RS, kid="x", alg="none"),
    "alg-object": jwk(RS, kid="x", alg={}),
    "alg-list": jwk(RS, kid="x", alg=["RS256"]),
    "alg-null": jwk(RS, kid="x", alg=None),
    "crv-list": jwk(ES, kid="x", crv=[]),
    "crv-of-another-alg": jwk(ES384, kid="x", alg="ES256"),
    "secp256k1": jwk(ES, kid="x", crv="secp256k1"),
    "ed448": jwk(ED, kid="x", crv="Ed448"),
    "x25519": jwk(ED, kid="x", crv="X25519"),
}


@pytest.mark.parametrize("key", PASSED_OVER.values(), ids=PASSED_OVER.keys())
def test_passed_over(key: dict[str, object]) -> None:
    """A key that is there for something else is passed over, and alone it is no key at all."""
    algorithms = ["RS256", "ES256", "EdDSA"]

    keys = keys_from_jwks(a_jwks(jwk(RS), key), algorithms)

    assert [keys.find(alg, "x") for alg in algorithms] == [None, None, None]
    with pytest.raises(KeyPolicyError, match="no key for the algorithms"):
        keys_from_jwks(a_jwks(key), algorithms)


def test_passed_over_without_need() -> None:
    """And with what it lacked each of them would be taken: use, key_ops and alg that fit."""
    fitting = jwk(RS, kid="x", use="sig", key_ops=["verify"], alg="RS256")

    assert keys_from_jwks(a_jwks(jwk(RS), fitting), ["RS256"]).find("RS256", "x")


def _private_jwk(signer: Signer) -> dict[str, object]:
    key: dict[str, object] = json.loads(ALGORITHMS[signer.alg].to_jwk(signer.key))
    return key | {"kid": "x"}


CONDEMNED: Final[dict[str, object]] = {
    "oct": {"kty": "oct", "k": "c2VjcmV0", "kid": "x"},
    "oct-without-k": {"kty": "oct", "kid": "x"},
    "oct-for-encryption": {"kty": "oct", "k": "c2VjcmV0", "kid": "x", "use": "enc"},
    "k-in-rsa": jwk(RS, kid="x", k="c2VjcmV0"),
    "private-rsa": _private_jwk(RS),
    "private-ec": _private_jwk(ES),
    "private-ed": _private_jwk(ED),
    "private-part-null": jwk(RS, kid="x", d=None),
    "private-part-of-an-encryption-key": jwk(RS, kid="x", use="enc", p="AQ"),
    "same-kid": jwk(ES),
    "kid-number": jwk(ES, kid=1),
    "kid-zero": jwk(ES, kid=0),
    "kid-list": jwk(ES, kid=[]),
    "kid-object": jwk(ES, kid={}),
    "kid-true": jwk(ES, kid=True),
    "kid-empty": jwk(ES, kid=""),
    "kid-too-long": jwk(ES, kid="k" * 257),
    "rsa-1024": jwk(Signer("", "RS256", REFUSED_KEYS["rsa-1024"][0]), kid="x"),
    "rsa-e-1": jwk(RS, kid="x", e="AQ"),
    "rsa-e-even": jwk(RS, kid="x", e="AAAC"),
    "rsa-without-n": without(jwk(RS, kid="x"), "n"),
    "rsa-n-number": jwk(RS, kid="x", n=5),
    "rsa-n-list": jwk(RS, kid="x", n=[]),
    "rsa-n-accent": jwk(RS, kid="x", n="é"),
    "rsa-n-empty": jwk(RS, kid="x", n=""),
    "rsa-n-huge": jwk(RS, kid="x", n="_" * 100_000),
    "ec-off-the-curve": jwk(ES, kid="x", x="A" * 43),
    "ec-short": jwk(ES, kid="x", y="AA"),
    "ec-without-y": without(jwk(ES, kid="x"), "y"),
    "ed-short": jwk(ED, kid="x", x="AA"),
    "ed-null": jwk(ED, kid="x", x=None),
    "not-an-object": "key",
    "null": None,
    "list": [],
}


@pytest.mark.parametrize("key", CONDEMNED.values(), ids=CONDEMNED.keys())
def test_condemned(key: object) -> None:
    """A secret, private, doubtful or weak key condemns its whole set."""
    assert keys_from_jwks(a_jwks(jwk(RS)), ["RS256"]).find("RS256", "key-1")

    with pytest.raises(KeyPolicyError):
        keys_from_jwks(a_jwks(jwk(RS), key), ["RS256", "ES256", "EdDSA"])


def test_two_without_kid() -> None:
    """Two keys without a kid cannot be told apart, so that their set is refused."""
    nameless = without(jwk(RS), "kid"), without(jwk(ES), "kid")

    with pytest.raises(KeyPolicyError, match="share a kid, or have none"):
        keys_from_jwks(a_jwks(*nameless), ["RS256", "ES256"])


NO_SETS: Final = {
    "empty": b"",
    "text": b"keys",
    "null": b"null",
    "list": a_jwks()[9:-1],
    "no-keys": b"{}",
    "keys-null": b'{"keys":null}',
    "keys-object": b'{"keys":{}}',
    "keys-text": b'{"keys":"x"}',
    "keys-empty": b'{"keys":[]}',
    "single-jwk": json.dumps(jwk(RS)).encode(),
    "pem": pem(RS.public_key),
    "bom": b"\xef\xbb\xbf" + a_jwks(jwk(RS)),
    "not-utf-8": a_jwks(jwk(RS))[:-1] + b',"x":"\xff"}',
    "keys-twice": a_jwks(jwk(RS))[:-1] + b',"keys":[]}',
    "kid-twice": a_jwks(jwk(RS)).replace(b'"kid"', b'"kid":"x","kid"'),
    "nan": a_jwks(jwk(RS))[:-1] + b',"x":NaN}',
    "deep": b'{"keys":' + b"[" * 100_000,
}


@pytest.mark.parametrize("text", NO_SETS.values(), ids=NO_SETS.keys())
def test_no_set(text: bytes) -> None:
    """What is no JWK set in one reading is refused, and an empty one is."""
    with pytest.raises(KeyPolicyError):
        keys_from_jwks(text, ["RS256"])


def test_most_keys() -> None:
    """A set has at most 64 keys."""
    keys = [jwk(RS, kid=str(rank)) for rank in range(MAX_JWKS_KEYS)]
    assert keys_from_jwks(a_jwks(*keys), ["RS256"]).find("RS256", "63")

    with pytest.raises(KeyPolicyError, match="more than 64 keys"):
        keys_from_jwks(a_jwks(*keys, jwk(RS, kid="64")), ["RS256"])


def test_largest_set() -> None:
    """A set has at most 512 KB."""
    text = a_jwks(jwk(RS)).ljust(MAX_JWKS_BYTES)
    assert keys_from_jwks(text, ["RS256"]).find("RS256", "key-1")

    with pytest.raises(KeyPolicyError, match="larger than 524288 bytes"):
        keys_from_jwks(text + b" ", ["RS256"])


@pytest.mark.parametrize("alg", [*sorted(SECRET_ALGORITHMS), "none", "ES256K", "RSA-OAEP"])
def test_jwks_for_public_keys_only(alg: str) -> None:
    """A set is never read for a secret's algorithm, or for one that we do not know."""
    with pytest.raises(KeyPolicyError, match=f"a JWKS cannot be used with {alg}"):
        keys_from_jwks(a_jwks(jwk(RS)), ["RS256", alg])


def test_error_holds_no_key() -> None:
    """A refusal quotes nothing of the key, not even further down its chain."""
    with pytest.raises(KeyPolicyError) as caught:
        keys_from_jwks(a_jwks(jwk(ES, x="c2VjcmV0LXBhcnQ")), ["ES256"])

    assert "c2VjcmV0" not in str(caught.value)
    assert caught.value.__suppress_context__


CALM: Final = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""Hypothesis's clock is off: it measures the machine."""
JSON_VALUES: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
MEMBERS: Final = st.sampled_from(["kty", "crv", "alg", "use", "key_ops", "kid", "n", "e", "x", "y"])


@CALM
@given(
    key=st.sampled_from([jwk(RS), jwk(ES), jwk(ED)]),
    changes=st.dictionaries(MEMBERS, JSON_VALUES, max_size=4),
)
def test_any_jwk(key: dict[str, object], changes: dict[str, object]) -> None:
    """Whatever is in a JWK, it is a key of its own kind or a refusal, and no other exception."""
    try:
        keys = keys_from_jwks(a_jwks(key | changes), PUBLIC_KEY_ALGORITHMS)
    except KeyPolicyError:
        return
    assert all(name == bound.algorithm for (_, name), bound in keys.keys.items())


@CALM
@given(text=st.binary(max_size=400))
def test_any_bytes(text: bytes) -> None:
    """Whatever is in a key file, it is read or refused."""
    for load in (key_from_pem, keys_from_jwks):
        with pytest.raises(KeyPolicyError):
            load(text, ["RS256"])
