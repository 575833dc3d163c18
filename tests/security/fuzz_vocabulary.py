"""The fuzzer's vocabulary: the words that its mutants are made of."""

from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from tests.builders import AUDIENCE
from tests.security.forging import ED, ES, HS, RS, RS_OTHER, Signer

SIGNERS: Final = (
    HS,
    RS,
    RS_OTHER,
    Signer("https://hs512.example.test", "HS512", b"Yd5Rk2Vw8Qz4Tn7Mc1Xb9Lj6Hp3Gs0Fa" * 2),
    Signer("https://ps.example.test", "PS256", RS_OTHER.key, kid="key-2"),
    Signer(ES.issuer, "ES256", ES.key),
    Signer("https://es384.example.test", "ES384", ec.generate_private_key(ec.SECP384R1())),
    Signer("https://es512.example.test", "ES512", ec.generate_private_key(ec.SECP521R1())),
    ED,
)
"""One issuer for each family of algorithms and each curve; two of them share alg and kid."""

_ALGS: Final = (
    *("HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES256K", "ES384", "ES512", "ES521", "EdDSA", "Ed25519", "none", "None", "dir"),
)
_TEXTS: Final = (
    *_ALGS,
    *(signer.issuer for signer in SIGNERS),
    *(AUDIENCE, "alice", "Alice", "", " ", "JWT", "jwt", "at+jwt", "application/jwt", "JOSE"),
    *("key-1", "key-2", "../../dev/null", "' OR 1=1--", "x" * 257, "a" * 1100, "a" * 9000),
    *("https://127.0.0.1:9/jwks.json", "javascript:alert(1)", "default", "exp", "b64"),
)
NUMBERS: Final = tuple(
    text.encode()
    for text in (
        *("0", "-0", "-1", "1", "1800000600", "1800000600.5", "18000006e2", "1.8E9", "+1", "01"),
        *("1799999969", "1799999970", "1799999971", "1800000029", "1800000030", "1800000031"),
        *("1800000060000", "253402300799", "253402300800", "1e400", "-1e400", "1e-400", "5e-324"),
        *("9" * 20, "9" * 400, "9" * 4300, "9" * 5000, "0." + "3" * 5000, "NaN", "Infinity"),
        *("-Infinity", "0x10", "1_000", "true", "false", "null", "undefined", "1.", '"1800000600"'),
    )
)
"""What a NumericDate may look like; the mutants are made for the time 1800000000."""
_STRUCTURES: Final = (
    *("[]", "{}", "[[]]", '["chat"]', '["chat",1]', '["other","chat"]', '["chat","chat"]'),
    *('{"a":1,"a":1}', '{"a":{"b":1,"\\u0062":2}}', '["b64"]', '["exp"]', "[null]", "[1,]", "{,}"),
    *('{"chat":"alice"}', '{"kty":"oct","k":"AAAA"}', '{"$ref":"#"}'),
    *("[" * 31 + "]" * 31, "[" * 32 + "]" * 32, "[" * 2000, "[" * 2000 + "]" * 2000),
    *('{"a":' * 31 + "1" + "}" * 31, '{"a":' * 1000 + "1" + "}" * 1000),
)
_SPELLINGS: Final = (
    *('"\\u0061lice"', '"\\ud800"', '"\\udc00\\ud800"', '"\\ud83d\\ude00"', '"\\u0000"', '"\\x61"'),
    *('"a\tb"', '"a\\nb"', "'alice'", '"\u212a"', '"\u00e9"', '"\uff21"', '"\u202ealice"', '"\\/"'),
)
VALUES: Final = (
    *(f'"{text}"'.encode() for text in _TEXTS),
    *(text.encode() for text in (*_STRUCTURES, *_SPELLINGS)),
    *NUMBERS,
    *(b'"\xff"', b'"\xc0\xae"', b'"\xed\xa0\x80"', b'"\x00"', b'"\x7f"', b'"unended', b""),
)
"""JSON as it may stand for a value, legal or not, in bytes."""

AUDIENCES: Final = (
    *(b'"chat"', b'"Chat"', b'"chat "', b'"other"', b'["other"]', b'["other","chat"]', b"[]"),
    *(
        b'["chat",1]',
        b'["chat",null]',
        b'["chat",["chat"]]',
        b'{"chat":1}',
        b'""',
        b"null",
        b"true",
    ),
)
ALGS: Final = tuple(f'"{alg}"'.encode() for alg in (*_ALGS, "none", "HS256", "HS256"))
"""What a thief would like the verifier to use, favourites twice."""

NAMES: Final = tuple(
    name.encode()
    for name in (
        *(
            "alg",
            "typ",
            "kid",
            "crit",
            "b64",
            "zip",
            "enc",
            "cty",
            "jwk",
            "jku",
            "x5c",
            "x5u",
            "p2c",
        ),
        *(
            "iss",
            "sub",
            "aud",
            "exp",
            "nbf",
            "iat",
            "jti",
            "name",
            "picture",
            "role",
            "tags",
            "level",
        ),
        *("", "ALG", "al\\u0067", "__proto__", "x" * 300, "\u00e9", "a.b", "ids"),
    )
)
JSON_NOISE: Final = (
    *(b" ", b"\t", b"\r\n", b"\x0b", b"\xa0", b"\xef\xbb\xbf", b"\x00", b",", b"}", b"{}", b"]"),
    *(b"/*x*/", b"//", b"\\", b'"', b"\xff\xfe", b"\xc3", b"\x80", b"null", b"\x1f\x8b"),
)
"""What is put somewhere into a whole JSON text."""

TEXT_NOISE: Final = (
    *(".", "..", "=", "==", "+", "/", "-", "_", "A", "%2E", "%00", "\r\n", "\n", "\t", " ", ","),
    *("\x00", "\x7f", "\x85", "\xa0", "\xad", "\xff", "\uff0e", "\u2024", "\u200b", "\u0660"),
    *("\U0001f600", "~", "\\", '"', ";", "eyJhbGciOiJub25lIn0", "A" * 9000, "." * 9000),
)
"""What is put somewhere into a whole token."""

CARRIAGES: Final = (
    *("bearer {0}", "BEARER {0}", "bEaReR {0}", "Bearer  {0}", "Bearer\t{0}", " Bearer {0}", "{0}"),
    *("Bearer {0} ", "Bearer {0}\t", "Bearer{0}", "Bearer: {0}", "Bearer={0}", "Bearer,{0}"),
    *("Bearer {0}, Bearer {0}", "Bearer {0},Bearer x", "Bearer x, Bearer {0}", "Bearer {0} {0}"),
    *('Bearer "{0}"', "Bearer token={0}", "Basic {0}", "Token {0}", "JWT {0}", "DPoP {0}"),
    *("Bearer", "Bearer ", "", "Bearer {0}\x00", "\x00Bearer {0}", "Bearer {0}\r\nX: y"),
    *("\u017fearer {0}", "Bearer\xa0{0}", "\xefBearer {0}", "Bearer Bearer {0}", "Bearer {0};a=b"),
)
"""Authorization headers, with a place for the token."""


def uid_prefix(signer: Signer) -> str:
    """Return how the uids of *signer*'s users begin."""
    return signer.issuer.removeprefix("https://").partition(".")[0] + "_"
