"""Hostile deliveries: what one is, and the bodies that are hostile under a good signature."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tests.web.signing import SOURCES, in_body

BODIES: Final[Mapping[str, bytes]] = {
    "standard": b'{"type":"user.deleted","data":{"id":"alice"}}',
    "stytch": b'{"action":"DELETE","object_type":"user","id":"alice"}',
    "supabase-auth": b'{"metadata":{"name":"after-user-created"},"user":{"id":"alice"}}',
    "workos": b'{"event":"user.deleted","data":{"id":"alice"}}',
    "logto": b'{"event":"User.Deleted","data":{"id":"alice"}}',
    "keycloak": b'{"type":"admin.USER-DELETE","resourcePath":"users/alice"}',
    "fusionauth": b'{"event":{"type":"user.delete","user":{"id":"alice"}}}',
    "kinde": b'{"type":"user.deleted","data":{"user":{"id":"alice"}}}',
    "auth0": b'{"type":"user.deleted","data":{"object":{"user_id":"alice"}}}',
    "supabase-db": (
        b'{"type":"DELETE","schema":"auth","table":"users","old_record":{"id":"alice"}}'
    ),
    "okta": (
        b'{"data":{"events":[{"eventType":"user.lifecycle.delete",'
        b'"target":[{"type":"User","id":"alice"}]}]}}'
    ),
}


def body_of(source: str) -> bytes:
    """Return a body that deletes alice, in the words of the source's sender."""
    return BODIES.get(SOURCES[source].sender, BODIES["standard"])


@dataclass(frozen=True)
class Hostile:
    """One delivery that must change nothing; *reason* is what the record says of it."""

    name: str
    source: str
    body: bytes
    headers: Mapping[str, str] = field(repr=False)
    reason: str | None
    status: int = 401


def signed_nonsense(source: str) -> Iterator[Hostile]:
    """Yield what the sender itself would never send: signed, acknowledged, and of no use."""
    for name, body in NONSENSE.items():
        if SOURCES[source].sign is in_body and name not in FIT_FOR_A_JWT:
            continue
        sent, headers = SOURCES[source].deliver(body)
        yield Hostile(f"{source} signed {name}", source, sent, headers, None, status=2)


def _nested(depth: int) -> bytes:
    return b'{"type":' * depth + b"1" + b"}" * depth


def _everywhere(value: Any) -> bytes:
    """Return a body that has *value* wherever a sender could look."""
    names = ("type", "event", "action", "object_type", "data", "user", "metadata", "record")
    return json.dumps({**dict.fromkeys(names, value), "schema": value, "table": value}).encode()


ODD_VALUES: Final[Mapping[str, Any]] = {
    "null": None,
    "true": True,
    "zero": 0,
    "huge": 10**400,
    "list": [],
    "object": {},
    "nul": "\0",
    "long": "x" * 9000,
    "proto": {"__proto__": {"id": "alice"}, "constructor": "x"},
    "deep-objects": {"object": {"user": {"events": {"id": {}}}}},
}
NONSENSE: Final[Mapping[str, bytes]] = {
    "nothing": b"",
    "blanks": b" \r\n",
    "not-utf-8": b'{"type":"\xff"}',
    "utf-16": '{"type":"user.deleted"}'.encode("utf-16"),
    "byte-order-mark": b'\xef\xbb\xbf{"type":"user.deleted","data":{"id":"alice"}}',
    "half-a-surrogate-pair": b'{"type":"\\ud800"}',
    "nan": b'{"type":NaN}',
    "infinity": b'{"type":1e999}',
    "a-number-of-5000-digits": b'{"type":' + b"9" * 5000 + b"}",
    "two-types": b'{"type":"user.created","type":"user.deleted","data":{"id":"alice"}}',
    "two-types-one-escaped": b'{"type":"x","\\u0074ype":"user.deleted","data":{"id":"alice"}}',
    "depth-33": _nested(33),
    "depth-20000": _nested(20_000),
    "list": b'[{"type":"user.deleted","data":{"id":"alice"}}]',
    "text": b'"user.deleted"',
    "null": b"null",
    "trailing": b'{"type":"user.deleted","data":{"id":"alice"}}x',
    "single-quotes": b"{'type':'user.deleted'}",
    "form": b"type=user.deleted&id=alice",
    "xml": b"<type>user.deleted</type>",
    "empty-object": b"{}",
    **{f"{name}-everywhere": _everywhere(value) for name, value in ODD_VALUES.items()},
}
FIT_FOR_A_JWT: Final = frozenset(
    {"empty-object", "null-everywhere", "true-everywhere", "list-everywhere", "object-everywhere"}
    | {"nul-everywhere", "proto-everywhere", "deep-objects-everywhere", "zero-everywhere"}
)
