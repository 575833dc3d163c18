"""A fake vendor: auth tokens after a set time, from one fast process of its own.

It answers what a login asks, and that only if it is asked rightly; it knows no user, and lets
every one be created. It is told
by `POST /control` how to behave from then on: `{"latency_s": 0.08}`, `{"hang_s": 5}`,
`{"wrong": "uid"}`.

Run: .venv-bench/bin/python -m benchmarks.fake_vendor --port 8090 [--certificate FILE --key FILE]
"""

import argparse
import asyncio
import gc
import json
import ssl
import time
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final

from benchmarks.users import API_KEY, APP_ID, auth_token

try:
    from uvloop import new_event_loop
except ImportError:  # the tests do without
    from asyncio import new_event_loop

BEGINS: Final = b"POST /v3/users/"
ENDS: Final = b"/auth_tokens HTTP/1.1"
GETS: Final = b"GET /v3/users/"
CREATES: Final = b"POST /v3/users HTTP/1.1"
FORCED: Final = b'{"force":true}'
APP: Final = f"\r\nappid: {APP_ID}".lower().encode()
KEY: Final = f"\r\napikey: {API_KEY}".lower().encode()


@dataclass
class Manner:
    """How it behaves; *wrong* names what is wrong in each answer, if anything is."""

    latency_s: float = 0.02
    hangs_until: float = 0.0
    wrong: str = ""
    answered: int = 0

    def change(self, order: dict[str, float | str]) -> None:
        """Behave otherwise from now on."""
        self.latency_s = float(order.get("latency_s", self.latency_s))
        self.wrong = str(order.get("wrong", self.wrong))
        if "hang_s" in order:
            self.hangs_until = time.monotonic() + float(order["hang_s"])

    def waits_s(self) -> float:
        """Return for how long an answer is to wait."""
        return self.latency_s + max(0.0, self.hangs_until - time.monotonic())

    def answer_to(self, uid: str) -> bytes:
        """Return the auth token of *uid*, or, where that is wished, something wrong."""
        self.answered += 1
        told, owner, serial = uid, uid, self.answered
        if self.wrong == "uid":
            told = owner = f"{uid}0"
        elif self.wrong == "token":
            owner = f"{uid}0"
        elif self.wrong == "old":
            serial = 1
        members = {"uid": told, "authToken": auth_token(owner, serial), "createdAt": 1_732_380_000}
        return answer(HTTPStatus.OK, {"data": members})


def answer(status: HTTPStatus, members: object) -> bytes:
    """Return a whole answer."""
    body = json.dumps(members).encode()
    head = f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


class Caller(asyncio.Protocol):
    """One kept-alive connection."""

    def __init__(self, manner: Manner) -> None:
        self._manner = manner
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep where to write (uvloop's transports are of no common type)."""
        self._transport = transport  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (nobody is told)
        """Answer no more."""
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """Answer once the whole request is there."""
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator:
            return
        lower = head.lower()
        _, _, behind = lower.partition(b"\r\ncontent-length:")
        if len(body) < int(behind.split(b"\r\n", 1)[0] or b"0"):
            return
        self._received = b""
        first = head.split(b"\r\n", 1)[0]
        if first.startswith(b"POST /control "):
            self._manner.change(json.loads(body))
            self._send(answer(HTTPStatus.OK, {"answered": self._manner.answered}))
        else:
            asyncio.get_running_loop().call_later(
                self._manner.waits_s(), self._send, self._answer_to(first, lower, body)
            )

    def _answer_to(self, first: bytes, head: bytes, body: bytes) -> bytes:
        if APP not in head or KEY not in head:
            return answer(HTTPStatus.UNAUTHORIZED, {"error": {"code": "AUTH_ERR_APIKEY_NOT_FOUND"}})
        if first.startswith(GETS):
            return answer(HTTPStatus.NOT_FOUND, {"error": {"code": "ERR_UID_NOT_FOUND"}})
        if first == CREATES:
            return answer(HTTPStatus.OK, {"data": {**json.loads(body), "status": "offline"}})
        if not (first.startswith(BEGINS) and first.endswith(ENDS)):
            return answer(HTTPStatus.NOT_FOUND, {"error": {"code": "ERR_API_NOT_FOUND"}})
        if body.replace(b" ", b"") != FORCED:
            return answer(HTTPStatus.BAD_REQUEST, {"error": {"code": "ERR_BAD_REQUEST"}})
        return self._manner.answer_to(first[len(BEGINS) : -len(ENDS)].decode())

    def _send(self, whole: bytes) -> None:
        if self._transport is not None:
            self._transport.write(whole)


async def serve(port: int, tls: ssl.SSLContext | None) -> None:
    """Answer on loopback until the process is ended."""
    manner = Manner()
    server = await asyncio.get_running_loop().create_server(
        lambda: Caller(manner), "127.0.0.1", port, ssl=tls, backlog=2_048
    )
    await server.serve_forever()


def main() -> None:
    """Answer on the port that was said."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--certificate", type=Path)
    parser.add_argument("--key", type=Path)
    chosen = parser.parse_args()
    tls = None
    if chosen.certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(chosen.certificate, chosen.key)
    gc.freeze()
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(serve(chosen.port, tls))


if __name__ == "__main__":
    main()
