"""A client that sends bytes and reads answers, whatever they are."""

import json
import socket
from contextlib import suppress
from dataclasses import dataclass
from http.client import parse_headers
from io import BufferedReader
from typing import Any
from urllib.parse import urlsplit

PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer on a connection."""

    status: int
    media_type: str | None
    body: bytes

    def json(self) -> dict[str, Any]:
        """Return the body of an answer of ours."""
        value: dict[str, Any] = json.loads(self.body)
        return value


def connect(url: str) -> socket.socket:
    """Open a connection to the service at *url*."""
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname, parts.port), timeout=PATIENCE_S)


def exchange(url: str, raw: bytes, *, breaks_off: bool = False) -> list[Answer]:
    """Send *raw*; return all answers until the server closes the connection.

    A server that refuses early resets the connection under what is still being
    sent. One that neither answers nor closes is a failure, unless the client
    *breaks_off*: then it is the one who closes its side.
    """
    with connect(url) as connection:
        # After a reset there is no connection any more that could be shut down.
        with suppress(OSError):
            connection.sendall(raw)
            if breaks_off:
                connection.shutdown(socket.SHUT_WR)
        return _answers(connection)


def _answers(connection: socket.socket) -> list[Answer]:
    answers: list[Answer] = []
    with suppress(ConnectionError), connection.makefile("rb") as stream:
        while stream.peek(1):
            answers.append(_answer(stream))
    return answers


def _answer(stream: BufferedReader) -> Answer:
    status = int(stream.readline().split()[1])
    headers = parse_headers(stream)
    body = stream.read(int(headers.get("Content-Length", "0")))
    return Answer(status, headers.get("Content-Type"), body)
