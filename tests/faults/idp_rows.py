"""What can go wrong with an identity provider, and what client and operator see of it."""

import gzip
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from tests.raw_server import Conversation, an_answer
from tests.remote_issuers import Answer, a_set, a_signer, published
from tests.security.forging import ALGORITHMS, ED, ES, RS, Signer, jwk

FIRST_TIME: Final = "identity provider, never reached before"
KNOWN: Final = "identity provider, keys known"
CONFIGURATION: Final = "OpenID configuration, keys known"


@dataclass(frozen=True, slots=True)
class FaultRow:
    """One fault: what a login is answered meanwhile, and the event that the operator sees."""

    neighbour: str
    fault: str
    status: int
    code: str
    """The problem's code, or `ok`."""
    event: str
    """The event's name, and its reason if it has one."""
    answer: Answer | None = field(default=None, repr=False, compare=False)
    """What the provider answers; None where that is not what is wrong."""

    @property
    def operator(self) -> str:
        """What the operator reads, as the faults document has it."""
        return self.event.replace(":", "")


HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.close()


def _reset_after(head: bytes) -> Conversation:
    def send_and_reset(connection: socket.socket) -> None:
        connection.sendall(head)
        _reset(connection)

    return send_and_reset


def _end_after(head: bytes) -> Conversation:
    def send_and_end(connection: socket.socket) -> None:
        connection.sendall(head)
        connection.shutdown(socket.SHUT_RDWR)

    return send_and_end


def _hang_after(head: bytes) -> Conversation:
    def send_and_hang(connection: socket.socket) -> None:
        connection.sendall(head)
        connection.recv(1)

    return send_and_hang


def _dripping(head: bytes, drop: bytes) -> Conversation:
    """Send *head*, and then *drop* over and over: each read succeeds, and nothing ends."""

    def drip(connection: socket.socket) -> None:
        connection.sendall(head)
        pause = threading.Event()
        for _ in range(200):
            connection.sendall(drop)
            pause.wait(0.05)

    return drip


def _flood(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"Content-Length: 104857600\r\n\r\n")
    for _ in range(1600):
        connection.sendall(b" " * 65536)


def _bomb() -> bytes:
    packed = gzip.compress(a_set(RS).ljust(100 * 1024 * 1024))
    return an_answer(packed, "Content-Encoding: gzip")


def _private(signer: Signer) -> bytes:
    key = json.loads(ALGORITHMS[signer.alg].to_jwk(signer.key))
    return an_answer(json.dumps({"keys": [jwk(RS), key | {"kid": "x"}]}).encode())


def _keys(*keys: object) -> bytes:
    return an_answer(json.dumps({"keys": keys}).encode())


def _too_long(body: bytes) -> bytes:
    """Return an answer that declares less than it holds."""
    return HEAD + f"Content-Length: {len(body) // 2}\r\n\r\n".encode() + body


GOOD: Final = a_set(RS)
STATUSES: Final = (204, 400, 401, 402, 403, 404, 409, 410, 418, 429, 500, 502, 503, 504)
ANSWERS: Final[Mapping[str, tuple[Answer, str]]] = {
    "reset before the headers": (_reset, "connection_failed"),
    "closed before the headers": (_end_after(b""), "connection_failed"),
    "reset in the headers": (_reset_after(HEAD), "connection_failed"),
    "reset after the headers": (
        _reset_after(HEAD + b"Content-Length: 9\r\n\r\n"),
        "connection_failed",
    ),
    "reset in the body": (
        _reset_after(HEAD + b"Content-Length: 999\r\n\r\n{"),
        "connection_failed",
    ),
    "truncated": (_end_after(HEAD + b"Content-Length: 9999\r\n\r\n" + GOOD), "connection_failed"),
    "hangs before the headers": (_hang_after(b""), "timeout"),
    "hangs in the headers": (_hang_after(HEAD), "timeout"),
    "hangs in the body": (_hang_after(HEAD + b"Content-Length: 9999\r\n\r\n{"), "timeout"),
    "dripping headers": (_dripping(HEAD, b"X-Drop: x\r\n"), "timeout"),
    "dripping body": (_dripping(HEAD + b"Content-Length: 9999\r\n\r\n", b" "), "timeout"),
    "length too small": (_too_long(GOOD), "keys_refused"),
    "not HTTP": (b"SSH-2.0-OpenSSH_9.9\r\n\r\n", "connection_failed"),
    "interim answer alone": (b"HTTP/1.1 103 Early Hints\r\n\r\n", "answer_not_final"),
    "HTML": (an_answer(b"<html>Log in</html>", "Content-Type: text/html"), "keys_refused"),
    "empty": (an_answer(b""), "keys_refused"),
    "not JSON": (an_answer(b"keys"), "keys_refused"),
    "JSON of another shape": (an_answer(b'{"error": "try later"}'), "keys_refused"),
    "no keys": (an_answer(b'{"keys": []}'), "keys_refused"),
    "100 MB": (_flood, "answer_too_large"),
    "gzip bomb": (_bomb(), "keys_refused"),
    "redirect 301": (
        an_answer(b"", "Location: /keys", status="301 Moved"),
        "status_301",
    ),
    "redirect 302": (
        an_answer(GOOD, "Location: https://login.example.test/", status="302 Found"),
        "status_302",
    ),
    "redirect 307": (an_answer(b"", "Location: http://[", status="307 Temporary"), "status_307"),
    "redirect 308": (an_answer(b"", "Location: //x.test", status="308 Permanent"), "status_308"),
    **{
        f"status {status}": (an_answer(GOOD, status=f"{status} Oops"), f"status_{status}")
        for status in STATUSES
        if status != 204
    },
    "status 204": (b"HTTP/1.1 204 No Content\r\n\r\n", "status_204"),
    "status 429 for a day": (
        an_answer(b"", "Retry-After: 86400", status="429 Too Many"),
        "status_429",
    ),
    "a shared secret among the keys": (
        _keys(jwk(RS), {"kty": "oct", "k": "c2VjcmV0", "kid": "x"}),
        "keys_refused",
    ),
    "a private RSA key": (_private(RS), "keys_refused"),
    "a private EC key": (_private(ES), "keys_refused"),
    "a private Ed25519 key": (_private(ED), "keys_refused"),
    "a kid twice": (_keys(jwk(RS), jwk(RS)), "keys_refused"),
    "keys for encryption alone": (_keys(jwk(RS, use="enc")), "keys_refused"),
    "keys of other algorithms alone": (_keys(jwk(ES)), "keys_refused"),
    "65 keys": (_keys(*(jwk(RS, kid=str(rank)) for rank in range(65))), "keys_refused"),
    "a member twice": (an_answer(GOOD[:-1] + b',"keys":[]}'), "keys_refused"),
}
"""What a provider may answer in the place of its keys, and the word for it."""


def _configuration(**members: object) -> bytes:
    return an_answer(json.dumps({"issuer": RS.issuer, **members}).encode())


CONFIGURATIONS: Final[Mapping[str, tuple[Answer, str]]] = {
    "hangs": (_hang_after(b""), "timeout"),
    "reset": (_reset, "connection_failed"),
    "redirect": (an_answer(b"", "Location: /x", status="302 Found"), "status_302"),
    "status 500": (an_answer(b"", status="500 Oops"), "status_500"),
    "HTML": (an_answer(b"<html>", "Content-Type: text/html"), "configuration_refused"),
    "empty": (an_answer(b""), "configuration_refused"),
    "a list": (an_answer(b"[]"), "configuration_refused"),
    "100 MB": (_flood, "answer_too_large"),
    "no issuer": (an_answer(b'{"jwks_uri": "https://x.test/"}'), "configuration_refused"),
    "another issuer": (
        _configuration(issuer="https://evil.test", jwks_uri="https://evil.test/jwks"),
        "configuration_refused",
    ),
    "the issuer with a slash more": (
        _configuration(issuer=f"{RS.issuer}/", jwks_uri="https://x.test/"),
        "configuration_refused",
    ),
    "no jwks_uri": (_configuration(), "configuration_refused"),
    "jwks_uri that is no text": (
        _configuration(jwks_uri=["https://x.test"]),
        "configuration_refused",
    ),
    "jwks_uri in clear text": (_configuration(jwks_uri="http://x.test/"), "configuration_refused"),
    "jwks_uri that is a file": (
        _configuration(jwks_uri="file:///etc/passwd"),
        "configuration_refused",
    ),
    "jwks_uri with a password": (
        _configuration(jwks_uri="https://u:p@x.test/"),
        "configuration_refused",
    ),
}
"""What an issuer may say of itself, and the word for it."""


def _rows(
    neighbour: str, status: int, code: str, answers: Mapping[str, tuple[Answer, str]]
) -> Iterator[FaultRow]:
    for fault, (answer, reason) in answers.items():
        yield FaultRow(neighbour, fault, status, code, f"keys_fetch_failed: {reason}", answer)


ANSWER_ROWS: Final = [
    *_rows(FIRST_TIME, 503, "keys_unavailable", ANSWERS),
    *_rows(KNOWN, 201, "ok", ANSWERS),
]
CONFIGURATION_ROWS: Final = list(_rows(CONFIGURATION, 201, "ok", CONFIGURATIONS))

NEW: Final = a_signer(kid="key-2")
"""The key that comes after RS, of the same issuer."""
REFUSED = FaultRow(KNOWN, "refuses connections", 201, "ok", "keys_fetch_failed: connection_failed")
REFUSED_FIRST = FaultRow(
    FIRST_TIME,
    "refuses connections",
    503,
    "keys_unavailable",
    "keys_fetch_failed: connection_failed",
)
BLACK_HOLE = FaultRow(KNOWN, "black hole", 201, "ok", "keys_fetch_failed: connect_timeout")
NO_NAME = FaultRow(KNOWN, "DNS failure", 201, "ok", "keys_fetch_failed: name_not_resolved")
EXPIRED = FaultRow(KNOWN, "TLS certificate expired", 201, "ok", "keys_fetch_failed: tls_failed")
WRONG_HOST = FaultRow(
    KNOWN, "TLS certificate of another host", 201, "ok", "keys_fetch_failed: tls_failed"
)
UNKNOWN_AUTHORITY = FaultRow(
    KNOWN, "TLS certificate of nobody we know", 201, "ok", "keys_fetch_failed: tls_failed"
)
KEY_REMOVED = FaultRow(KNOWN, "key removed", 401, "session_invalid", "keys_changed", published(NEW))
KEY_REPLACED = FaultRow(
    KNOWN,
    "another key under the same kid",
    401,
    "session_invalid",
    "keys_changed",
    published(a_signer()),
)
ROTATED = FaultRow(
    KNOWN, "rotation: token of the new key, within seconds", 503, "keys_unavailable", "keys_changed"
)
UNKNOWN_KID = FaultRow(KNOWN, "token of a kid that nobody has", 401, "session_invalid", "")
UNKNOWN_KID_OUTAGE = FaultRow(
    KNOWN,
    "token of an unknown kid during an outage",
    503,
    "keys_unavailable",
    "keys_fetch_failed: status_503",
)
REVOKED = FaultRow(
    KNOWN, "emergency revocation: tokensvc keys refresh", 401, "session_invalid", "keys_changed"
)
TOO_OLD = FaultRow(
    KNOWN, "outage of more than keys.max_stale_s", 503, "keys_unavailable", "keys_too_old"
)
FLAPPING = FaultRow(KNOWN, "fails every other time", 201, "ok", "keys_fetch_failed: status_503")
LIFE_ROWS: Final = [
    *(REFUSED, REFUSED_FIRST, BLACK_HOLE, NO_NAME, EXPIRED, WRONG_HOST, UNKNOWN_AUTHORITY),
    *(KEY_REMOVED, KEY_REPLACED, ROTATED, UNKNOWN_KID, UNKNOWN_KID_OUTAGE, REVOKED, TOO_OLD),
    FLAPPING,
]
ROWS: Final = [*ANSWER_ROWS, *CONFIGURATION_ROWS, *LIFE_ROWS]
"""All of them: what docs say about identity providers is made of these."""
