"""Claims: a proven signature over something that this service does not take."""

from collections.abc import Iterator
from typing import Final

from tests.builders import AUDIENCE, ISSUER, NOW
from tests.security.forging import ES, HS, RS, Part, Signer, thief_for, token
from tests.security.hostile import Hostile, each, hostile, with_payloads

LATEST_TIME: Final = 253_402_300_799
WRONG_TIMES: Final[dict[str, object]] = {
    "true": True,
    "false": False,
    "null": None,
    "empty-text": "",
    "text": str(int(NOW + 600)),
    "date": "2027-01-15T08:00:00Z",
    "word": "never",
    "array": [NOW + 600],
    "object": {"$date": NOW + 600},
    "minus-one": -1,
    "minus-fraction": -0.5,
    "minus-huge": -(10**30),
    "milliseconds": int(NOW + 600) * 1000,
    "microseconds": int(NOW + 600) * 1_000_000,
    "year-10000": LATEST_TIME + 1,
    "huge": 1e300,
    "huge-integer": 10**400,
    "largest-64-bit": 2**63,
}


def time_cases() -> Iterator[Hostile]:
    for name in ("exp", "nbf", "iat"):
        yield from with_payloads(HS, f"{name}_malformed", each(name, name, WRONG_TIMES))
    yield from with_payloads(HS, "exp_missing", {"exp-missing": {"exp": ...}})
    yield from with_payloads(ES, "exp_missing", {"exp-missing-es": {"exp": ...}})
    yield from with_payloads(HS, "exp_missing", {"exp-elsewhere": {"exp": ..., "Exp": NOW + 600}})
    for name in ("nbf", "iat"):
        early = {"by-a-second": NOW + 31, "by-a-day": NOW + 86_400, "by-far": LATEST_TIME}
        yield from with_payloads(HS, f"{name}_in_future", each(f"{name}-early", name, early))


def issuer_cases() -> Iterator[Hostile]:
    values: dict[str, object] = {
        "missing": ...,
        "null": None,
        "one": 1,
        "true": True,
        "array": [ISSUER],
        "empty-array": [],
        "object": {"iss": ISSUER},
        "empty": "",
        "blank": " ",
        "longer": ISSUER + "x",
        "shorter": ISSUER[:-1],
        "trailing-slash": f"{ISSUER}/",
        "path": f"{ISSUER}/login",
        "trailing-space": f"{ISSUER} ",
        "leading-space": f" {ISSUER}",
        "newline": f"{ISSUER}\n",
        "nul": f"{ISSUER}\x00",
        "upper-case": ISSUER.upper(),
        "upper-case-scheme": ISSUER.replace("https", "HTTPS"),
        "http": ISSUER.replace("https", "http"),
        "port": f"{ISSUER}:443",
        "final-dot": f"{ISSUER}.",
        "userinfo": "https://app.example.test@evil.test",
        "subdomain": "https://app.example.test.evil.test",
        "no-scheme": "app.example.test",
        "cyrillic": ISSUER.replace("a", "\u0430", 1),
        "escaped": ISSUER.replace(".", "%2E"),
        "star": "*",
        "pattern": "https://.*",
        "somebody-else": "https://evil.test",
        "dunder": "__class__",
    }
    yield from with_payloads(HS, "iss_unknown", each("iss", "iss", values))
    yield from with_payloads(RS, "iss_unknown", {"iss-rs-missing": {"iss": ...}})


def audience_cases() -> Iterator[Hostile]:
    malformed: dict[str, object] = {
        "missing": ...,
        "null": None,
        "zero": 0,
        "one": 1,
        "true": True,
        "fraction": 1.5,
        "object": {AUDIENCE: True},
        "empty-object": {},
        "empty-array": [],
        "array-with-number": [AUDIENCE, 1],
        "array-with-null": [AUDIENCE, None],
        "array-with-true": [True, AUDIENCE],
        "array-in-array": [[AUDIENCE]],
        "array-with-object": [AUDIENCE, {}],
    }
    others: dict[str, object] = {
        "empty": "",
        "array-with-empty": [""],
        "upper-case": AUDIENCE.upper(),
        "capital": AUDIENCE.title(),
        "longer": f"{AUDIENCE}s",
        "shorter": AUDIENCE[:-1],
        "trailing-space": f"{AUDIENCE} ",
        "leading-space": f" {AUDIENCE}",
        "trailing-slash": f"{AUDIENCE}/",
        "newline": f"{AUDIENCE}\n",
        "nul": f"{AUDIENCE}\x00",
        "comma-list": f"{AUDIENCE},other",
        "space-list": f"{AUDIENCE} other",
        "json-list": f'["{AUDIENCE}"]',
        "cyrillic": AUDIENCE.replace("a", "\u0430"),
        "star": "*",
        "pattern": ".*",
        "other": "other",
        "others": ["other", "another"],
        "array-of-near-misses": [AUDIENCE.upper(), f"{AUDIENCE} "],
        "issuer": ISSUER,
    }
    yield from with_payloads(HS, "aud_malformed", each("aud", "aud", malformed))
    yield from with_payloads(HS, "aud_not_ours", each("aud", "aud", others))
    yield from with_payloads(ES, "aud_not_ours", {"aud-es-other": {"aud": "other"}})


NO_TEXTS: Final[dict[str, object]] = {
    "null": None,
    "empty": "",
    "zero": 0,
    "one": 1,
    "fraction": 1.5,
    "true": True,
    "false": False,
    "array": ["alice"],
    "empty-array": [],
    "object": {"$ne": ""},
    "empty-object": {},
}
ILLEGAL_SUBJECTS: Final = {
    "capital": "Alice",
    "kelvin-sign": "\u212aelvin",
    "dotted-capital-i": "\u0130lker",
    "long-s": "\u017fam",
    "traversal": "alice/../bob",
    "traversal-in-front": "../users/bob",
    "dot-dot": "..",
    "dot": ".",
    "slash": "alice/",
    "slash-in-front": "/alice",
    "backslash": "alice\\..\\bob",
    "escaped-slash": "alice%2f..%2fbob",
    "query": "bob?onBehalfOf=alice",
    "fragment": "bob#alice",
    "parameter": "bob;alice",
    "ampersand": "bob&alice",
    "comma": "alice,bob",
    "colon": "alice:x",
    "space": "alice bob",
    "leading-space": " alice",
    "trailing-space": "alice ",
    "blank": " ",
    "newline": "alice\n",
    "return": "alice\r\nX-Admin: 1",
    "nul": "alice\x00bob",
    "tab": "\talice",
    "accent": "álice",
    "combining": "a\u0301lice",
    "fullwidth": "\uff41lice",
    "cyrillic": "\u0430lice",
    "zero-width": "alice\u200b",
    "right-to-left": "\u202eecila",
    "byte-order-mark": "\ufeffalice",
    "arabic-digit": "alice\u0661",
    "emoji": "😀",
    "mail": "alice@example.test",
    "auth0": "auth0|123",
    "full-stop": "alice.bob",
    "quote": "alice'--",
    "template": "{{7*7}}",
    "format": "%s%n",
    "markup": "<b>alice</b>",
    "star": "*",
    "101-letters": "a" * 101,
    "2000-letters": "a" * 2000,
}


def subject_cases() -> Iterator[Hostile]:
    wrong = each("sub", "sub", {"missing": ..., **NO_TEXTS})
    yield from with_payloads(HS, "sub_malformed", wrong)
    yield from with_payloads(ES, "sub_malformed", each("sub-es", "sub", NO_TEXTS))
    illegal = each("subject", "sub", ILLEGAL_SUBJECTS)
    yield from with_payloads(HS, "subject_illegal", illegal, status=422)
    # Legal by itself, and too long with the issuer's prefix in front.
    long: dict[str, Part] = {"subject-too-long-with-prefix": {"sub": "a" * 100}}
    yield from with_payloads(HS, "uid_illegal", long, status=422)


def uid_claim_cases() -> Iterator[Hostile]:
    wrong: dict[str, Part] = each("uid-claim", "ids", {"missing": ..., "text": "alice", **NO_TEXTS})
    inner = {name: {"chat": value} for name, value in NO_TEXTS.items()}
    inner["other-name"] = {"Chat": "alice"}
    wrong |= each("uid-claim-chat", "ids", inner)
    wrong["uid-claim-pointer-as-name"] = {"ids": ..., "/ids/chat": "alice", "chat": "alice"}
    yield from with_payloads(ES, "uid_claim_malformed", wrong)
    illegal = {name: {"chat": subject} for name, subject in ILLEGAL_SUBJECTS.items()}
    changes = each("uid-claim-subject", "ids", illegal)
    yield from with_payloads(ES, "subject_illegal", changes, status=422)


def token_id_cases() -> Iterator[Hostile]:
    wrong = {name: value for name, value in NO_TEXTS.items() if name != "empty"}
    wrong["257-letters"] = "j" * 257
    yield from with_payloads(HS, "jti_malformed", each("jti", "jti", wrong))


def expired_cases() -> Iterator[Hostile]:
    """Yield expired tokens with something else amiss: not even their age is told to a thief."""
    old = {"exp": NOW - 3600, "iat": NOW - 7200}
    amiss: dict[str, tuple[str, dict[str, object]]] = {
        "aud": ("aud_not_ours", {"aud": "other"}),
        "iss": ("iss_unknown", {"iss": "https://evil.test"}),
        "sub": ("sub_malformed", {"sub": ""}),
        "jti": ("jti_malformed", {"jti": 1}),
        "nbf": ("nbf_in_future", {"nbf": NOW + 60}),
        "nbf-type": ("nbf_malformed", {"nbf": "0"}),
        "iat": ("iat_in_future", {"iat": NOW + 60}),
        "iat-type": ("iat_malformed", {"iat": True}),
    }
    for name, (reason, change) in amiss.items():
        yield hostile(f"expired-{name}", reason, token(payload=old | change))
    yield hostile("expired-typ", "typ_not_allowed", token(header={"typ": "x"}, payload=old))
    yield hostile("expired-crit", "header_not_understood", token(header={"crit": []}, payload=old))
    for name, signer in {"hs": HS, "rs": RS, "es": ES}.items():
        yield hostile(f"expired-forged-{name}", "signature_invalid", _forged(signer, old))
    yield hostile("expired-kid", "key_unknown", token(RS, header={"kid": "x"}, payload=old))


def _forged(signer: Signer, payload: Part) -> str:
    return token(signer, payload=payload, sign=thief_for(signer.alg).sign)
