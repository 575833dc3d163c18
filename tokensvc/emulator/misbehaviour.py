"""Misbehaviour: what a fault does on the wire, byte by byte."""

import gzip
import json
import os
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final, Protocol

from tokensvc.emulator.errors import APIError
from tokensvc.emulator.faults import Fault
from tokensvc.emulator.front import Response

HUGE_BYTES: Final = 100 * 1024 * 1024
_PIECE: Final = b" " * 65536
_PAGE: Final = b"<!doctype html><title>502</title><h1>Bad gateway</h1>"
_CODES: Final = {
    401: "AUTH_ERR_APIKEY_NOT_FOUND",
    402: "ERR_PLAN_QUOTA_RESTRICTION",
    403: "AUTH_ERR_NO_ACCESS",
    404: "ERR_UID_NOT_FOUND",
    429: "ERR_TOO_MANY_REQUESTS",
}


class Wire(Protocol):
    """One connection, and what would rightly have been answered on it."""

    connection: socket.socket
    ended: threading.Event
    """Set when the server stops: nobody waits any longer."""

    def right_answer(self) -> Response:
        """Do what was asked, and return the answer."""

    def send(self, response: Response) -> None:
        """Send an answer as it should be."""

    def write(self, raw: bytes) -> None:
        """Send bytes as they are."""

    def hang_up(self) -> None:
        """End the connection once this is over."""


def misbehave(wire: Wire, fault: Fault) -> None:
    """Do what *fault* orders to the request on *wire*."""
    _ACTS[fault.kind](wire, fault)


def _late(wire: Wire, fault: Fault) -> None:
    wire.ended.wait(fault.seconds)
    wire.send(wire.right_answer())


def _hang(wire: Wire, fault: Fault) -> None:
    wire.ended.wait(fault.seconds)
    wire.hang_up()


def _status(wire: Wire, fault: Fault) -> None:
    wire.send(_refusal(int(fault.value), {}))


def _too_many(wire: Wire, fault: Fault) -> None:
    wire.send(_refusal(429, {"Retry-After": fault.value} if fault.value else {}))


def _late_500(wire: Wire, _: Fault) -> None:
    wire.right_answer()
    wire.send(_refusal(500, {}))


def _reset(wire: Wire, _: Fault) -> None:
    linger = struct.pack("ii", 1, 0)
    wire.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    wire.hang_up()
    # Closed under its handler: a shutdown before would say good-bye.
    os.close(wire.connection.detach())


def _reset_in_body(wire: Wire, fault: Fault) -> None:
    body = _body(wire)
    wire.write(_head(len(body)) + body[: len(body) // 2])
    _reset(wire, fault)


def _truncated(wire: Wire, _: Fault) -> None:
    body = _body(wire)
    wire.write(_head(len(body)) + body[: len(body) // 2])
    wire.hang_up()


def _wrong_length(wire: Wire, _: Fault) -> None:
    body = _body(wire)
    wire.write(_head(len(body) + 100) + body)
    wire.hang_up()


def _drip(wire: Wire, fault: Fault) -> None:
    body = _body(wire)
    wire.write(_head(len(body)))
    _drop_by_drop(wire, fault, body)


def _drip_headers(wire: Wire, fault: Fault) -> None:
    body = _body(wire)
    _drop_by_drop(wire, fault, _head(len(body)) + body)


def _drop_by_drop(wire: Wire, fault: Fault, raw: bytes) -> None:
    for octet in raw:
        if wire.ended.wait(fault.seconds):
            break
        wire.write(bytes([octet]))
    wire.hang_up()


def _html(wire: Wire, _: Fault) -> None:
    wire.write(_head(len(_PAGE), "Content-Type: text/html") + _PAGE)


def _empty(wire: Wire, _: Fault) -> None:
    wire.write(_head(0))


def _not_json(wire: Wire, _: Fault) -> None:
    wire.write(_head(8) + b'{"data":')


def _wrong_uid(wire: Wire, _: Fault) -> None:
    response = wire.right_answer()
    data = response.body.get("data")
    if isinstance(data, dict):
        data = {**data, "uid": "somebody-else"}
    wire.send(Response(response.status, {**response.body, "data": data}, response.headers))


def _huge(wire: Wire, _: Fault) -> None:
    wire.write(_head(HUGE_BYTES))
    for _piece in range(HUGE_BYTES // len(_PIECE)):
        wire.write(_PIECE)


def _gzip_bomb(wire: Wire, _: Fault) -> None:
    bomb = _bomb()
    wire.write(_head(len(bomb), "Content-Encoding: gzip") + bomb)


def _redirect(wire: Wire, fault: Fault) -> None:
    wire.write(_head(0, f"Location: {fault.value or '/elsewhere'}", status="302 Found"))


_ACTS: Final[Mapping[str, Callable[[Wire, Fault], None]]] = {
    "latency": _late,
    "hang": _hang,
    "status": _status,
    "429": _too_many,
    "reset": _reset,
    "reset-in-body": _reset_in_body,
    "truncated": _truncated,
    "wrong-length": _wrong_length,
    "drip": _drip,
    "drip-headers": _drip_headers,
    "html": _html,
    "empty": _empty,
    "not-json": _not_json,
    "wrong-uid": _wrong_uid,
    "huge": _huge,
    "gzip-bomb": _gzip_bomb,
    "redirect": _redirect,
    "late-500": _late_500,
}


def _body(wire: Wire) -> bytes:
    return json.dumps(wire.right_answer().body).encode()


def _head(length: int, *headers: str, status: str = "200 OK") -> bytes:
    types = [] if any(name.startswith("Content-Type") for name in headers) else [_JSON]
    lines = [f"HTTP/1.1 {status}", *types, *headers, f"Content-Length: {length}", "", ""]
    return "\r\n".join(lines).encode("latin-1", "replace")


_JSON: Final = "Content-Type: application/json"


def _refusal(status: int, headers: Mapping[str, str]) -> Response:
    error = APIError(status, _CODES.get(status, "ERR_EXCEPTION"), "This fault was ordered.")
    body: Mapping[str, Any] = error.envelope()
    return Response(status, body, headers)


@cache
def _bomb() -> bytes:
    return gzip.compress(b" " * HUGE_BYTES, compresslevel=9)
