"""Hostile deliveries to sources that are signed with a hexadecimal HMAC."""

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Iterator
from typing import Final

from tests.builders import NOW
from tests.security.hostile_deliveries import Hostile, body_of, signed_nonsense
from tests.web.signing import SOURCES

HEADERS: Final = {
    "logto": "logto-signature-sha-256",
    "keycloak": "x-keycloak-signature",
    "keycloak-sha1": "x-keycloak-signature",
}
MS: Final = int(NOW * 1000)


def _plain(source: str) -> Iterator[Hostile]:
    body, secret, header = body_of(source), SOURCES[source].secret.encode(), HEADERS[source]
    digest = "sha1" if "sha1" in source else "sha256"
    right = hmac.digest(secret, body, digest).hex()
    malformed = {
        "empty": "",
        "blank": " ",
        "upper case": right.upper(),
        "cut": right[:-1],
        "one more": right + "0",
        "prefixed": f"sha256={right}",
        "quoted": f'"{right}"',
        "spaced": f" {right}",
        "twice": f"{right},{right}",
        "0x": f"0x{right[2:]}",
        "no hex": "g" + right[1:],
        "nul": right[:-1] + "\0",
        "newline": right + "\n",
        "base64": b64encode(bytes.fromhex(right)).decode(),
        "another digest": hmac.digest(secret, body, "sha512").hex(),
        "md5": hmac.digest(secret, body, "md5").hex(),
    }
    invalid = {
        "zero": "0" * len(right),
        "backwards": right[::-1],
        "of another body": hmac.digest(secret, body + b" ", digest).hex(),
        "of no body": hmac.digest(secret, b"", digest).hex(),
        "by no secret": hmac.digest(b"", body, digest).hex(),
        "by the body": hmac.digest(body, secret, digest).hex(),
        "without a key": hashlib.new(digest, body).hexdigest(),
        "by its own bytes": hmac.digest(hashlib.sha256(secret).digest(), body, digest).hex(),
        "by another source's": hmac.digest(SOURCES["workos"].secret.encode(), body, digest).hex(),
    }
    for reason, group in (("signature_malformed", malformed), ("signature_invalid", invalid)):
        for name, value in group.items():
            yield Hostile(f"{source} {name}", source, body, {header: value}, reason)
    for name, value in (("not ascii", "\xe9" * len(right)), ("endless", "a" * 9000)):
        yield Hostile(f"{source} {name}", source, body, {header: value}, "header_malformed")
    yield Hostile(f"{source} no header", source, body, {}, "header_missing")
    near = {header.replace("signature", "signatur"): right, "authorization": right}
    yield Hostile(f"{source} other headers", source, body, near, "header_missing")
    yield Hostile(
        f"{source} body with a newline", source, body + b"\n", {header: right}, "signature_invalid"
    )


def _sign(timestamp: str, body: bytes, secret: str = SOURCES["workos"].secret) -> str:
    return hmac.digest(secret.encode(), f"{timestamp}.".encode("latin-1") + body, "sha256").hex()


def _timed() -> Iterator[Hostile]:
    body = body_of("workos")
    now = str(MS)
    right = _sign(now, body)
    wrong = "0" * 64
    malformed = {
        "empty": "",
        "no time": f"v1={right}",
        "no signature": f"t={now}",
        "no v1": right,
        "v0": f"t={now}, v0={right}",
        "turned": f"v1={right}, t={now}",
        "two times": f"t={now}, t={now}, v1={right}",
        "semicolon": f"t={now}; v1={right}",
        "upper case": f"t={now}, v1={right.upper()}",
        "cut": f"t={now}, v1={right[:-1]}",
        "comma": f"t={now}, v1={right},",
        "spaces": f"t={now},  v1={right}",
        "quoted": f't="{now}", v1={right}',
        "capital": f"T={now}, v1={right}",
        "other": f"t={now}, v1={right}, v2={right}",
        "glued": f"t={now}v1={right}",
        "blank": f"t= {now}, v1={right}",
        "nul": f"t={now}, v1={right}\0",
    }
    for name, value in malformed.items():
        headers = {"workos-signature": value}
        yield Hostile(f"workos {name}", "workos", body, headers, "signature_malformed")
    for text in ("", "-1", "+1", "1.5", "1e12", "0x1", "nan", "9" * 16, "1_0", "\u0661"):
        signed = hmac.digest(
            SOURCES["workos"].secret.encode(), text.encode() + b"." + body, "sha256"
        )
        headers = {"workos-signature": f"t={text}, v1={signed.hex()}".encode().decode("latin-1")}
        reason = "signature_malformed" if text.isascii() else "header_malformed"
        yield Hostile(f"workos time {text[:9]!r}", "workos", body, headers, reason)
    for by_ms in (-180_001, -3_600_000, -MS, -MS + int(NOW)):
        yield _at(MS + by_ms, "timestamp_too_old")
    for by_ms in (180_001, 3_600_000, 10**14):
        yield _at(MS + by_ms, "timestamp_in_future")
    invalid = {
        "zero": f"t={now}, v1={wrong}",
        "16 wrong": f"t={now}" + f", v1={wrong}" * 16,
        "of another time": f"t={now}, v1={_sign(str(MS + 1), body)}",
        "of another body": f"t={now}, v1={_sign(now, body + b' ')}",
        "of a moved dot": f"t={now[:-1]}9, v1={right}",
        "by another source's": f"t={now}, v1={_sign(now, body, SOURCES['logto'].secret)}",
    }
    for name, value in invalid.items():
        headers = {"workos-signature": value}
        yield Hostile(f"workos {name}", "workos", body, headers, "signature_invalid")
    many = {"workos-signature": f"t={now}" + f", v1={wrong}" * 16 + f", v1={right}"}
    yield Hostile("workos 17 signatures", "workos", body, many, "signatures_too_many")
    yield Hostile("workos no header", "workos", body, {}, "header_missing")


def _at(milliseconds: int, reason: str) -> Hostile:
    body, timestamp = body_of("workos"), str(milliseconds)
    headers = {"workos-signature": f"t={timestamp}, v1={_sign(timestamp, body)}"}
    return Hostile(f"workos at {milliseconds}", "workos", body, headers, reason)


HOSTILE: Final = [
    *_timed(),
    *(case for source in HEADERS for case in _plain(source)),
    *signed_nonsense("workos"),
    *signed_nonsense("logto"),
    *signed_nonsense("keycloak"),
]
