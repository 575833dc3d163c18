"""JSON that two readers could read differently, or that is none: for headers and payloads alike."""

import json
from collections.abc import Iterator

from tests.security.forging import HS, RS, header_of, payload_of
from tests.security.hostile import Hostile, with_headers, with_payloads


def broken_json(good: bytes, member: str) -> dict[str, bytes]:
    """Return *good*, a JSON object with a text *member*, broken in every way, by name."""
    value = json.dumps(json.loads(good)[member]).encode()
    name = json.dumps(member).encode()
    escaped = f'"\\u{ord(member[0]):04x}{member[1:]}"'.encode()

    def plus(text: bytes) -> bytes:
        return good[:-1] + b"," + text + b"}"

    return {
        "truncated": good[:-1],
        "unopened": good[1:],
        "null": b"null",
        "true": b"true",
        "number": b"42",
        "text": json.dumps(good.decode()).encode(),
        "array": b"[" + good + b"]",
        "empty-array": b"[]",
        "array-of-pairs": json.dumps(list(json.loads(good).items())).encode(),
        "two-objects": good + good,
        "two-lines": good + b"\n" + good,
        "garbage-after": good + b"x",
        "nul-after": good + b"\x00",
        "nul-before": b"\x00" + good,
        "single-quotes": good.replace(b'"', b"'"),
        "bare-name": b"{" + name.strip(b'"') + b":" + value + b"," + good[1:],
        "trailing-comma": good[:-1] + b",}",
        "comment": good[:-1] + b"/* */}",
        "line-comment": b"// x\n" + good,
        "not-utf-8": plus(b'"x":"\xff"'),
        "latin-1": plus('"x":"é"'.encode("latin-1")),
        "overlong-utf-8": plus(b'"x":"\xc0\xaf"'),
        "cut-utf-8": plus(b'"x":"\xe2\x82"'),
        "utf-8-surrogate": plus(b'"x":"\xed\xa0\x80"'),
        "beyond-unicode": plus(b'"x":"\xf4\x90\x80\x80"'),
        "bom": b"\xef\xbb\xbf" + good,
        "utf-16": good.decode().encode("utf-16"),
        "utf-16-le": good.decode().encode("utf-16-le"),
        "utf-16-be": good.decode().encode("utf-16-be"),
        "utf-32": good.decode().encode("utf-32"),
        "twin-before": b"{" + name + b':"x",' + good[1:],
        "twin-after": plus(name + b':"x"'),
        "equal-twins": plus(name + b":" + value),
        "escaped-twin-before": b"{" + escaped + b':"x",' + good[1:],
        "escaped-twin-after": plus(escaped + b':"x"'),
        "twins-inside": plus(b'"x":{"a":1,"a":2}'),
        "twins-in-array": plus(b'"x":[{"a":1,"\\u0061":2}]'),
        "empty-twins": plus(b'"":1,"":2'),
        "nan": plus(b'"x":NaN'),
        "infinity": plus(b'"x":Infinity'),
        "minus-infinity": plus(b'"x":-Infinity'),
        "overflow": plus(b'"x":1e400'),
        "minus-overflow": plus(b'"x":-1e400'),
        "leading-zero": plus(b'"x":01'),
        "leading-plus": plus(b'"x":+1'),
        "hex": plus(b'"x":0x10'),
        "bare-point": plus(b'"x":1.'),
        "underscore-number": plus(b'"x":1_0'),
        "arabic-digits": plus(b'"x":\xd9\xa1'),
        "endless-integer": plus(b'"x":' + b"9" * 4400),
        "half-pair": plus(b'"x":"\\ud800"'),
        "low-half-first": plus(b'"x":"\\udc00\\ud800"'),
        "half-pair-name": plus(b'"\\uDBFF":1'),
        "raw-newline": plus(b'"x":"a\nb"'),
        "raw-nul": plus(b'"x":"a\x00b"'),
        "bad-escape": plus(b'"x":"\\x41"'),
        "short-escape": plus(b'"x":"\\u12"'),
        "no-break-space": b"\xc2\xa0" + good,
        "form-feed": b"\x0c" + good,
        "depth-33": plus(b'"x":' + b"[" * 32 + b"]" * 32),
        "depth-33-objects": plus(
            b'"x":' + b'{"a":' * 31 + b"{}" + b"}" * 31 + b',"y":[' + b"[" * 31 + b"]" * 32
        ),
        "depth-2000": plus(b'"x":' + b"[" * 2000 + b"]" * 2000),
        "depth-unclosed": b"[" * 4000,
    }


def json_cases() -> Iterator[Hostile]:
    """Yield every broken header of two issuers, and every broken payload."""
    for place, signer in {"hs": HS, "rs": RS}.items():
        broken = broken_json(header_of(signer), "alg")
        named = {f"header-{place}-{name}": raw for name, raw in broken.items()}
        yield from with_headers(signer, "header_malformed", named)
    broken = broken_json(payload_of(HS), "iss")
    named = {f"payload-{name}": raw for name, raw in broken.items()}
    yield from with_payloads(HS, "payload_malformed", named)
    # A name that no verifier of ours reads, so that only its JSON can be what is refused.
    for member in ("exp", "aud", "sub"):
        twin = payload_of(HS)[:-1] + f',"{member}":"x"}}'.encode()
        yield from with_payloads(HS, "payload_malformed", {f"payload-twin-{member}": twin})
