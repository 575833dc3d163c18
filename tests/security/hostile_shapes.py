"""Size, shape and carriage: what is refused before anything is decoded."""

from collections.abc import Iterator
from typing import Any, Final

from tests.security.forging import ED, ES, HS, RS, SIGNERS, b64, basic, token
from tests.security.hostile import Hostile, hostile

GOOD: Final = token()
HEAD, BODY, SIGNATURE = GOOD.split(".")
LIMIT: Final = 8192
ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def a_token_of(length: int) -> str:
    """Return a correctly signed token of exactly *length* characters."""
    for name in ("", "n"):
        for size in range(length * 3 // 4 - 500, length * 3 // 4):
            text = token(header={f"x{name}": "x"}, payload={"padding": "p" * size})
            if len(text) == length:
                return text
    raise AssertionError(length)


def size_cases() -> Iterator[Hostile]:
    yield hostile("size-one-too-many", "token_too_long", a_token_of(LIMIT + 1))
    for size in (LIMIT + 1, 16_384, 65_536, 1_000_000):
        yield hostile(f"size-{size}-letters", "token_too_long", "a" * size)
        yield hostile(f"size-{size}-dots", "token_too_long", "." * size)
    yield hostile("size-accents", "token_too_long", "é" * (LIMIT + 1))
    yield hostile("size-long-signature", "token_too_long", GOOD + "A" * LIMIT)
    yield hostile("size-long-header", "token_too_long", "A" * LIMIT + GOOD)


INSERTED: Final = {
    "nul": "\x00",
    "newline": "\n",
    "return": "\r",
    "tab": "\t",
    "vertical-tab": "\x0b",
    "form-feed": "\x0c",
    "unit-separator": "\x1f",
    "delete": "\x7f",
    "next-line": "\x85",
    "no-break-space": "\xa0",
    "zero-width-space": "\u200b",
    "byte-order-mark": "\ufeff",
    "line-separator": "\u2028",
    "right-to-left": "\u202e",
    "fullwidth-a": "\uff21",
    "cyrillic-a": "\u0430",
    "arabic-digit": "\u0661",
    "combining": "\u0301",
    "emoji": "😀",
    "plus": "+",
    "slash": "/",
    "equals": "=",
    "percent": "%",
    "tilde": "~",
    "quote": '"',
    "hash": "#",
    "question-mark": "?",
    "semicolon": ";",
    "colon": ":",
    "backslash": "\\",
}


def insertion_cases() -> Iterator[Hostile]:
    """Yield a good token with one foreign character, in front, in each segment and behind."""
    for name, character in INSERTED.items():
        places = {
            "front": character + GOOD,
            "header": f"{HEAD[:4]}{character}{HEAD[4:]}.{BODY}.{SIGNATURE}",
            "payload": f"{HEAD}.{BODY[:4]}{character}{BODY[4:]}.{SIGNATURE}",
            "signature": f"{HEAD}.{BODY}.{SIGNATURE[:4]}{character}{SIGNATURE[4:]}",
            "end": GOOD + character,
        }
        for place, text in places.items():
            yield hostile(f"shape-{name}-{place}", "token_malformed", text)


def shape_cases() -> Iterator[Hostile]:
    jwe_header = b64(b'{"alg":"dir","enc":"A256GCM"}')
    shapes = {
        "dot": ".",
        "two-dots": "..",
        "three-dots": "...",
        "no-header": f".{BODY}.{SIGNATURE}",
        "no-payload": f"{HEAD}..{SIGNATURE}",
        "no-signature": f"{HEAD}.{BODY}.",
        "only-signature": f"..{SIGNATURE}",
        "one-segment": HEAD,
        "two-segments": f"{HEAD}.{BODY}",
        "four-segments": f"{GOOD}.{SIGNATURE}",
        "five-segments": f"{GOOD}.{SIGNATURE}.{SIGNATURE}",
        "six-segments": f"{GOOD}.{GOOD}",
        "leading-dot": f".{GOOD}",
        "trailing-dot": f"{GOOD}.",
        "double-dot-inside": f"{HEAD}..{BODY}.{SIGNATURE}",
        "jwe": f"{jwe_header}..{b64(bytes(12))}.{BODY}.{b64(bytes(16))}",
        "jwe-with-our-payload": f"{HEAD}.{BODY}.{SIGNATURE}.{BODY}.{SIGNATURE}",
        "padded-once": f"{HEAD}.{BODY}.{SIGNATURE}=",
        "padded-twice": f"{HEAD}==.{BODY}==.{SIGNATURE}==",
        "percent-padded": f"{HEAD}.{BODY}.{SIGNATURE}%3D",
        "percent-dots": GOOD.replace(".", "%2E"),
        "fullwidth-dots": GOOD.replace(".", "\uff0e"),
        "header-of-one-character": f"A.{BODY}.{SIGNATURE}",
        "payload-of-one-character": f"{HEAD}.A.{SIGNATURE}",
        "signature-of-one-character": f"{HEAD}.{BODY}.A",
        "signature-of-five-characters": f"{HEAD}.{BODY}.AAAAA",
        "standard-base64": f"{HEAD}.{BODY}.++//{SIGNATURE[4:]}",
        "double-quoted": f'"{GOOD}"',
        "single-quoted": f"'{GOOD}'",
        "angle-brackets": f"<{GOOD}>",
        "braces": "{" + GOOD + "}",
        "flattened-json": f'{{"payload":"{BODY}"}}',
        "labelled": f"token={GOOD}",
        "url": f"https://x/#{GOOD}",
        "null": "null",
        "undefined": "undefined",
        "base64-of-itself": b64(GOOD.encode()),
        "hex-of-itself": GOOD.encode().hex(),
        "a-cometchat-auth-token": "alice_1700000000" + "ab" * 15,
    }
    for name, text in shapes.items():
        yield hostile(f"shape-{name}", "token_malformed", text)
    yield hostile("shape-upper-case", "header_malformed", GOOD.upper())
    yield hostile("shape-reversed", "header_malformed", f"{SIGNATURE}.{BODY}.{HEAD}")
    yield hostile("shape-swapped", "alg_malformed", f"{BODY}.{HEAD}.{SIGNATURE}")


def spelling_cases() -> Iterator[Hostile]:
    """Yield other spellings of good tokens: the same bytes, with bits set that nothing reads.

    What is signed is signed as it is spelled.
    """
    for issuer, signer in SIGNERS.items():
        # One of three paddings leaves unused bits in the segment's last character.
        headers = [token(signer, header={"x": "p" * size}).split(".")[0] for size in range(3)]
        payloads = [token(signer, payload={"x": "p" * size}).split(".")[1] for size in range(3)]
        head, body = headers[0], payloads[0]
        for size, other in enumerate(filter(None, map(_respelt, headers))):
            signature = b64(signer.sign(f"{other}.{body}".encode()))
            text = f"{other}.{body}.{signature}"
            yield hostile(f"spelling-{issuer}-header-{size}", "token_malformed", text)
        for size, other in enumerate(filter(None, map(_respelt, payloads))):
            signature = b64(signer.sign(f"{head}.{other}".encode()))
            text = f"{head}.{other}.{signature}"
            yield hostile(f"spelling-{issuer}-payload-{size}", "token_malformed", text)
        good, signature = token(signer).rsplit(".", 1)
        text = f"{good}.{_respelt(signature)}"
        yield hostile(f"spelling-{issuer}-signature", "token_malformed", text)


def _respelt(segment: str) -> str | None:
    """Return another spelling of the same bytes, if there is one."""
    if len(segment) % 4 == 0:
        return None
    return segment[:-1] + ALPHABET[ALPHABET.index(segment[-1]) | 1]


AUTHORIZATIONS: Final = {
    "empty": "",
    "scheme-alone": "Bearer",
    "scheme-and-space": "Bearer ",
    "token-alone": GOOD,
    "basic": f"Basic {basic('alice', 'secret')}",
    "basic-with-token": f"Basic {GOOD}",
    "basic-with-token-inside": f"Basic {basic('alice', GOOD)}",
    "digest": 'Digest username="alice"',
    "negotiate": f"Negotiate {GOOD}",
    "dpop": f"DPoP {GOOD}",
    "scheme-token": f"Token {GOOD}",
    "scheme-jwt": f"JWT {GOOD}",
    "scheme-oauth": f"OAuth {GOOD}",
    "scheme-bearertoken": f"BearerToken {GOOD}",
    "scheme-misspelt": f"Baerer {GOOD}",
    "scheme-accented": f"Beárer {GOOD}",
    "scheme-quoted": f'"Bearer" {GOOD}',
    "no-space": f"Bearer{GOOD}",
    "colon": f"Bearer:{GOOD}",
    "colon-space": f"Bearer: {GOOD}",
    "equals": f"Bearer={GOOD}",
    "two-spaces": f"Bearer  {GOOD}",
    "tab": f"Bearer\t{GOOD}",
    "newline": f"Bearer\n{GOOD}",
    "no-break-space": f"Bearer\xa0{GOOD}",
    "nul": f"Bearer\x00{GOOD}",
    "leading-space": f" Bearer {GOOD}",
    "trailing-space": f"Bearer {GOOD} ",
    "trailing-comma": f"Bearer {GOOD},",
    "two-tokens": f"Bearer {GOOD} {GOOD}",
    "two-schemes": f"Bearer Bearer {GOOD}",
    "two-headers": f"Bearer {GOOD}, Bearer {GOOD}",
    "two-headers-unspaced": f"Bearer {GOOD},Bearer {GOOD}",
    "two-headers-basic-first": f"Basic {basic('a', 'b')}, Bearer {GOOD}",
    "two-headers-basic-last": f"Bearer {GOOD}, Basic {basic('a', 'b')}",
    "two-headers-one-empty": f", Bearer {GOOD}",
    "parameter": f'Bearer realm="x", token="{GOOD}"',
    "json-serialization": f'Bearer {{"payload":"{BODY}", "signature":"{SIGNATURE}"}}',
}
ELSEWHERE: Final[dict[str, dict[str, Any]]] = {
    "query-access-token": {"query_string": {"access_token": GOOD}},
    "query-token": {"query_string": {"token": GOOD}},
    "query-authorization": {"query_string": {"Authorization": f"Bearer {GOOD}"}},
    "form": {"data": {"access_token": GOOD}},
    "json-body": {"json": {"token": GOOD}},
    "raw-body": {"data": GOOD},
    "cookie": {"headers": {"Cookie": f"Authorization=Bearer {GOOD}; token={GOOD}"}},
    "x-authorization": {"headers": {"X-Authorization": f"Bearer {GOOD}"}},
    "x-access-token": {"headers": {"X-Access-Token": GOOD}},
    "x-forwarded-authorization": {"headers": {"X-Forwarded-Authorization": f"Bearer {GOOD}"}},
    "proxy-authorization": {"headers": {"Proxy-Authorization": f"Bearer {GOOD}"}},
    "authorisation": {"headers": {"Authorisation": f"Bearer {GOOD}"}},
    "www-authenticate": {"headers": {"WWW-Authenticate": f"Bearer {GOOD}"}},
    "user-header": {"headers": {"X-User-Id": "alice", "Remote-User": "alice"}},
}


def carriage_cases() -> Iterator[Hostile]:
    yield Hostile("carriage-missing", "header_missing", None)
    for name, text in AUTHORIZATIONS.items():
        yield Hostile(f"carriage-{name}", "header_malformed", text)
    for name, request in ELSEWHERE.items():
        yield Hostile(f"carriage-{name}", "header_missing", None, request)
    for name, signer in {"rs": RS, "es": ES, "ed": ED, "hs": HS}.items():
        joined = f"Bearer {token(signer)}, Bearer {token(signer)}"
        yield Hostile(f"carriage-two-headers-{name}", "header_malformed", joined)
