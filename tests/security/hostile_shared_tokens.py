"""Hostile deliveries to sources that are proven by a shared token alone."""

import hashlib
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator
from typing import Final
from urllib.parse import quote

from tests.security.hostile_deliveries import Hostile, body_of, signed_nonsense
from tests.web.signing import SOURCES, a_secret

HEADERS: Final = {
    "auth0": "authorization",
    "auth0-basic": "authorization",
    "supabase-db": "x-webhook-secret",
    "okta": "authorization",
}


def _wrong(secret: str) -> dict[str, str]:
    """Return what is almost the secret."""
    return {
        "cut": secret[:-1],
        "without its beginning": secret[1:],
        "one more": secret + "=",
        "swapped case": secret.swapcase(),
        "backwards": secret[::-1],
        "twice": secret * 2,
        "quoted": f'"{secret}"',
        "a dot more": f"{secret}.",
        "of another": a_secret("x"),
        "percent": quote(secret, safe="").replace("%", "%25"),
        "undefined": "undefined",
        "null": "null",
        "true": "true",
        "star": "*",
        "zero": "0",
        "first half": secret[:20],
        "in base64": b64encode(secret.encode()).decode(),
        "hashed": hashlib.sha256(secret.encode()).hexdigest(),
        "another source's": SOURCES["logto"].secret,
    }


def _bearer() -> Iterator[Hostile]:
    secret = SOURCES["auth0"].secret
    for name, token in _wrong(secret).items():
        yield _case("auth0", name, f"Bearer {token}", "token_wrong")
    odd = ["", " ", "Bearer", "Bearer ", secret, f"Basic {secret}", f"Token {secret}"]
    odd += [f"Bearer  {secret}", f" Bearer {secret}", f"Bearer {secret} ", f"Bearer {secret} x"]
    odd += [f"Bearer\t{secret}", f"Bearer:{secret}", f"Bearer={secret}", f"Bearer{secret}"]
    odd += [f"Bearer {secret}, Bearer {secret}", f"B\xadearer {secret}", f"Bearer x {secret}"]
    for value in odd:
        reason = "header_malformed"
        yield _case("auth0", f"header {value[:10]!r} {len(value)}", value, reason)
    joined = f"Bearer {secret},Bearer {secret}"
    yield _case("auth0", "two headers", joined, "header_malformed")


def _basic() -> Iterator[Hostile]:
    secret = SOURCES["auth0-basic"].secret
    user, _, password = secret.partition(":")
    right = b64encode(secret.encode()).decode()
    texts = {
        "user": user,
        "password": password,
        "swapped": f"{password}:{user}",
        "empty": "",
        "no user": f":{password}",
        "no password": f"{user}:",
        "colon": ":",
        "another user": f"x:{password}",
        "newline": f"{secret}\n",
        "nul": f"{secret}\0",
        "two colons": f"{user}::{password}",
        "blank": f"{user}: {password}",
    }
    for name, text in texts.items():
        reason = "token_wrong" if text else "header_malformed"
        encoded = b64encode(text.encode()).decode()
        yield _case("auth0-basic", name, f"Basic {encoded}", reason)
    for name, token in {
        "plain": secret,
        "unpadded": right.rstrip("=") + "=" * 5,
        "cut": right[:-4],
        "url-safe": urlsafe_b64encode(b"\xff" + secret.encode()).decode(),
        "twice": b64encode(right.encode()).decode(),
    }.items():
        yield _case("auth0-basic", f"spelled {name}", f"Basic {token}", "token_wrong")
    for name, value in {
        "as bearer": f"Bearer {right}",
        "bare": right,
        "digest": f"Digest {right}",
        "comma": f"Basic {right}, Basic {right}",
        "nothing": "Basic ",
    }.items():
        yield _case("auth0-basic", f"header {name}", value, "header_malformed")


def _whole(source: str) -> Iterator[Hostile]:
    secret = SOURCES[source].secret
    for name, value in _wrong(secret).items():
        yield _case(source, name, value, "token_wrong")
    for name, value in {
        "empty": "",
        "blank": " ",
        "bearer": f"Bearer {secret}",
        "spaced": f" {secret}",
        "behind": f"{secret} ",
        "twice": f"{secret},{secret}",
        "nul": f"{secret}\0",
    }.items():
        yield _case(source, f"header {name}", value, "token_wrong")


def _elsewhere() -> Iterator[Hostile]:
    for source, header in HEADERS.items():
        secret = SOURCES[source].secret
        places = {"x-api-key": secret, "cookie": f"{header}={secret}", "x-authorization": secret}
        yield Hostile(f"{source} no header", source, body_of(source), {}, "header_missing")
        yield Hostile(f"{source} elsewhere", source, body_of(source), places, "header_missing")
        in_body = body_of(source)[:-1] + f',"{header}":"{secret}"}}'.encode()
        yield Hostile(f"{source} in the body", source, in_body, {}, "header_missing")
        for name, value in (("not ascii", f"{secret}\xe9"), ("endless", secret * 300)):
            yield _case(source, name, value, "header_malformed")


def _case(source: str, name: str, value: str, reason: str) -> Hostile:
    reason = reason if value.isascii() else "header_malformed"
    return Hostile(f"{source} {name}", source, body_of(source), {HEADERS[source]: value}, reason)


HOSTILE: Final = [
    *_bearer(),
    *_basic(),
    *_whole("okta"),
    *_whole("supabase-db"),
    *_elsewhere(),
    *signed_nonsense("auth0"),
    *signed_nonsense("supabase-db"),
    *signed_nonsense("okta"),
]
