"""Hostile deliveries to sources that are signed as Standard Webhooks or by Svix."""

import hashlib
import hmac
from base64 import b64decode, b64encode, urlsafe_b64encode
from collections.abc import Iterator
from typing import Final

from tests.builders import NOW
from tests.security.hostile_deliveries import Hostile, body_of, signed_nonsense
from tests.web.signing import ED25519_KEY, SOURCES, WHPK, a_whsec

SOURCE: Final = SOURCES["standard"]
BODY: Final = body_of("standard")
TIME: Final = str(int(NOW))
ID: Final = "msg_1"


def _digest(
    message_id: str = ID,
    timestamp: str = TIME,
    body: bytes = BODY,
    *,
    key: bytes | None = None,
    digest: str = "sha256",
) -> bytes:
    """Return what would be right, in latin-1 as headers travel."""
    key = b64decode(SOURCE.secret.removeprefix("whsec_")) if key is None else key
    return hmac.digest(key, f"{message_id}.{timestamp}.".encode("latin-1") + body, digest)


URL_SAFE: Final = urlsafe_b64encode(b"\xff" * 32).decode()
RIGHT: Final = b64encode(_digest()).decode()


def _case(
    name: str,
    reason: str,
    *,
    message_id: str = ID,
    timestamp: str = TIME,
    signature: str | None = None,
) -> Hostile:
    right = f"v1,{b64encode(_digest(message_id, timestamp)).decode()}"
    headers = {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": right if signature is None else signature,
    }
    return Hostile(f"standard {name}", "standard", BODY, headers, reason)


def _ids() -> Iterator[Hostile]:
    odd = [
        "",
        " ",
        "a b",
        "a.b",
        "a\t",
        "x" * 129,
        "../x",
        "a,b",
        "a\x00",
        "a/b",
        "a:b",
        "%41",
        "a=",
        "*",
    ]
    for message_id in odd:
        yield _case(f"id {message_id[:9]!r}", "id_malformed", message_id=message_id)
    yield _case("id not ascii", "header_malformed", message_id="\xe9")
    yield _case("id endless", "header_malformed", message_id="x" * 9000)


def _times() -> Iterator[Hostile]:
    odd = ["", "-1", "+1", "1.0", "1e9", f" {TIME}", f"{TIME} ", "0x6b49d200", "nan", "inf"]
    odd += ["1_800_000_000", "0" * 13, TIME + "000", "true", "null", "9" * 400]
    for timestamp in odd:
        yield _case(f"time {timestamp[:12]!r}", "timestamp_malformed", timestamp=timestamp)
    yield _case("time not ascii", "header_malformed", timestamp="\xb2")
    for seconds in (0, 1, NOW - 301, NOW - 86400):
        yield _case(f"time {seconds}", "timestamp_too_old", timestamp=str(int(seconds)))
    for seconds in (NOW + 301, NOW + 86400, 999_999_999_999):
        yield _case(f"time {seconds}", "timestamp_in_future", timestamp=str(int(seconds)))


def _malformed_signatures() -> Iterator[Hostile]:
    one = f"v1,{RIGHT}"
    odd = ["", " ", "v1", "v1,", ",", "v1,,", RIGHT, f",{RIGHT}", f"V1,{RIGHT}", f"v1;{RIGHT}"]
    odd += [f"v1, {RIGHT}", f" {one}", f"{one} ", f"{one}  {one}", f"{one}\t{one}", f"{one};{one}"]
    odd += [f"v1,{RIGHT}====", f"v1:{RIGHT}", f"v1={RIGHT}", f"{one},", f"{one}\x00", f'"{one}"']
    odd += [
        f"v1,{URL_SAFE}",
        f"v1-{RIGHT}",
        "v1,%00",
        f"{one},{one}",
    ]
    for number, signature in enumerate(odd):
        yield _case(
            f"signature {number} {signature[:14]!r}",
            "signature_malformed",
            signature=signature,
        )
    for name, signature in (("not ascii", f"{one}\xa0"), ("endless", " ".join([one] * 200))):
        yield _case(f"signature {name}", "header_malformed", signature=signature)
    wrong = f"v1,{b64encode(bytes(32)).decode()}"
    many = " ".join([wrong] * 16 + [one])
    yield _case("17 signatures", "signatures_too_many", signature=many)
    yield _case("16 wrong ones", "signature_invalid", signature=" ".join([wrong] * 16))


def _wrong_signatures() -> Iterator[Hostile]:
    text = SOURCE.secret.encode()
    bare = text.removeprefix(b"whsec_")
    digests = {
        "of another id": _digest("msg_2"),
        "of another time": _digest(timestamp=str(int(NOW) + 1)),
        "of another body": _digest(body=BODY.replace(b"alice", b"bob")),
        "of no body": _digest(body=b""),
        "of a newline more": _digest(body=BODY + b"\n"),
        "of a moved dot": _digest(f"{ID}.{TIME[:5]}", TIME[5:]),
        "of the body alone": hmac.digest(b64decode(bare), BODY, "sha256"),
        "by the secret's text": _digest(key=bare),
        "by the secret with its mark": _digest(key=text),
        "by no secret": _digest(key=b""),
        "by another secret": _digest(key=b64decode(a_whsec("x").removeprefix("whsec_"))),
        "by another source's": _digest(
            key=b64decode(SOURCES["clerk"].secret.removeprefix("whsec_"))
        ),
        "by sha1": _digest(digest="sha1"),
        "by sha512": _digest(digest="sha512"),
        "without a key": hashlib.sha256(f"{ID}.{TIME}.".encode() + BODY).digest(),
        "all zero": bytes(32),
        "cut": _digest()[:31],
        "one byte more": _digest() + b"\0",
        "in hex": _digest().hex().encode(),
    }
    for name, digest in digests.items():
        signature = f"v1,{b64encode(digest).decode()}"
        yield _case(f"signature {name}", "signature_invalid", signature=signature)
    for version in ("v0", "v2", "v1a", "v11", "none", "1"):
        yield _case(f"version {version}", "signature_invalid", signature=f"{version},{RIGHT}")
    yield _case("no padding", "signature_invalid", signature=f"v1,{RIGHT.rstrip('=')}")
    yield _case("swapped case", "signature_invalid", signature=f"v1,{RIGHT.swapcase()}")


def _missing() -> Iterator[Hostile]:
    for source in ("standard", "clerk", "stytch", "supabase-auth"):
        body, headers = SOURCES[source].deliver(body_of(source))
        for absent in headers:
            rest = {name: text for name, text in headers.items() if name != absent}
            yield Hostile(f"{source} without {absent}", source, body, rest, "header_missing")
        other = "svix" if "webhook-id" in headers else "webhook"
        renamed = {f"{other}-{name.partition('-')[2]}": text for name, text in headers.items()}
        yield Hostile(f"{source} as {other}", source, body, renamed, "header_missing")
        yield Hostile(f"{source} no headers", source, body, {}, "header_missing")


def _by_key() -> Iterator[Hostile]:
    body, headers = SOURCES["standard-ed25519"].deliver(body_of("standard"))
    right = headers["webhook-signature"].removeprefix("v1a,")
    signed = f"{headers['webhook-id']}.{TIME}.".encode() + body
    public = b64decode(WHPK.removeprefix("whpk_"))
    by_text = hmac.digest(WHPK.encode(), signed, "sha256")
    signatures = {
        "as an hmac": f"v1,{right}",
        "cut": f"v1a,{right[:-6]}==",
        "no base64": f"v1a,{right[:-3]}",
        "empty": "v1a,AAAA",
        "of another body": f"v1a,{b64encode(ED25519_KEY.sign(signed + b' ')).decode()}",
        "hmac by the public key": f"v1,{b64encode(hmac.digest(public, signed, 'sha256')).decode()}",
        "hmac by its text": f"v1,{b64encode(by_text).decode()}",
        "identity point": f"v1a,{b64encode(bytes([1]) + bytes(63)).decode()}",
    }
    for name, signature in signatures.items():
        changed = {**headers, "webhook-signature": signature}
        yield Hostile(f"ed25519 {name}", "standard-ed25519", body, changed, "signature_invalid")


HOSTILE: Final = [
    *_ids(),
    *_times(),
    *_malformed_signatures(),
    *_wrong_signatures(),
    *_missing(),
    *_by_key(),
    *signed_nonsense("standard"),
    *signed_nonsense("clerk"),
    *signed_nonsense("stytch"),
    *signed_nonsense("supabase-auth"),
]
