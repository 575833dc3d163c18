"""Users: who logs in, with which session token, and what a right answer to them is."""

import json
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from typing import Final

import jwt

ISSUER: Final = "https://app.example.test"
AUDIENCE: Final = "chat"
SECRET: Final = "Zk3vQ8pLr2Xw9TbN6mHs4JdYc7FgA1eU"  # noqa: S105 (of no use to anybody)
OTHER_SECRET: Final = "pW5nB8xQ2cVt7Rk4Lz9Mj1HsGd6FyA3u"  # noqa: S105 (likewise)
APP_ID: Final = "1234567890abcdef"
API_KEY: Final = "0b5f1c9e7a3d2468ace13579bdf02468ace13579"
PATH: Final = "/v1/auth-tokens"
OK: Final = 200
CREATED: Final = 201
REFUSED: Final = 401
VALID_FOR_S: Final = 7_200

Members = dict[str, object]


@dataclass(frozen=True, slots=True)
class Ask:
    """One request, whose it is, and the status of a right answer."""

    request: bytes
    uid: str
    good: int = CREATED


def session_token(uid: str, serial: int, secret: str = SECRET) -> str:
    """Return a session token of *uid*; each *serial* gives another one."""
    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": uid,
        "iat": now,
        "exp": now + VALID_FOR_S,
        "jti": f"{serial:032x}",
    }
    return jwt.encode(claims, secret, algorithm="HS256")


def login(token: str) -> bytes:
    """Return the request with *token*, as a browser would send it, less what nobody reads."""
    return (
        f"POST {PATH} HTTP/1.1\r\nHost: tokens.example.test\r\nUser-Agent: benchmark\r\n"
        f"Accept: application/json\r\nAuthorization: Bearer {token}\r\nContent-Length: 0\r\n\r\n"
    ).encode()


def logins(users: int, *, tokens_each: int = 2) -> Iterator[Ask]:
    """Yield logins of so many users for ever, in a mixed order that is the same each time."""
    asks = [
        Ask(login(session_token(uid, number)), uid)
        for number in range(tokens_each)
        for uid in map(uid_of, range(users))
    ]
    random.Random(users).shuffle(asks)  # noqa: S311 (no secret)
    return cycle(asks)


def forgeries(users: int) -> Iterator[Ask]:
    """Yield logins with tokens that somebody else has signed, which are to be refused."""
    return cycle(
        [
            Ask(login(session_token(uid, 0, OTHER_SECRET)), uid, REFUSED)
            for uid in map(uid_of, range(users))
        ]
    )


def call_of_vendor(uid: str) -> Ask:
    """Return the call that a login makes at the vendor, to be made directly."""
    body = '{"force": true}'
    head = f"POST /v3/users/{uid}/auth_tokens HTTP/1.1\r\nappId: {APP_ID}\r\napiKey: {API_KEY}"
    return Ask(f"{head}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode(), uid, OK)


def uid_of(number: int) -> str:
    """Return the uid of a user."""
    return f"user-{number}"


def auth_token(uid: str, serial: int) -> str:
    """Return the auth token that the fake vendor hands out: it says whose it is."""
    return f"{uid}_{serial:020d}"


def fault_in(ask: Ask, body: bytes, handed_out: set[str]) -> str | None:
    """Return what is wrong with the answer to a login, or None.

    A token that was handed out before is wrong too: somebody kept it.
    """
    try:
        members: object = json.loads(body)
    except ValueError:
        return "no JSON"
    if not isinstance(members, dict):
        return "no object"
    if members.get("uid") != ask.uid:
        return "another uid"
    token = members.get("authToken")
    if not isinstance(token, str) or token.rpartition("_")[0] != ask.uid:
        return "a token of another user"
    if token in handed_out:
        return "a token handed out before"
    handed_out.add(token)
    return None
