"""The listener: HTTP/1.1 on a socket, whatever comes through it, and JSON back."""

import json
import re
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Protocol

from tokensvc.emulator.errors import invalid
from tokensvc.emulator.faults import Fault
from tokensvc.emulator.front import Request, Response
from tokensvc.emulator.misbehaviour import misbehave

BACKLOG: Final = 512
MAX_BODY_BYTES: Final = 4 * 1024 * 1024
"""What is kept of a body; the rest is read and forgotten."""
MAX_LINE: Final = 65536
IDLE_CONNECTION_S: Final = 30
PREFLIGHT_MAX_AGE_S: Final = "600"
_LENGTH: Final = re.compile(r"[0-9]+")
_CHUNK_SIZE: Final = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,12})[ \t]*(?:;.*)?")


class Desk(Protocol):
    """Who decides what is answered, and keeps the journal."""

    def answer(self, request: Request) -> Response:
        """Do what is asked, write it down, and return the answer."""

    def strike(self, request: Request) -> Fault | None:
        """Return the fault that was ordered for *request*, written down, if there is one."""


class Listener(ThreadingHTTPServer):
    """One thread per connection; a handshake waits in its own."""

    daemon_threads = True
    request_queue_size = BACKLOG

    def __init__(
        self,
        address: tuple[str, int],
        desk: Desk,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.desk = desk
        self.ended = threading.Event()
        self._tls = tls
        self._connections: set[socket.socket] = set()
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """Bind, without asking the resolver for the name of loopback."""
        socketserver.TCPServer.server_bind(self)
        host, self.server_port = self.socket.getsockname()[:2]
        self.server_name = str(host)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection; its handshake is left to its own thread."""
        connection, address = super().get_request()
        if self._tls:
            connection = self._tls.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        self._connections.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401 (the library's)
        """End a connection."""
        self._connections.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """End all connections; those kept open would be answered for ever."""
        self.ended.set()
        for connection in list(self._connections):
            with suppress(OSError):
                # Not the TLS socket's own, which would change it under its thread.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients come and go as they like."""


class _Handler(BaseHTTPRequestHandler):
    """Keeps connections; whatever the method, the front answers."""

    server: Listener
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    timeout = IDLE_CONNECTION_S

    def __getattr__(self, name: str) -> Callable[[], None]:
        """Find a `do_METHOD` for every method there is."""
        if name.startswith("do_"):
            return self._serve
        raise AttributeError(name)

    def _serve(self) -> None:
        try:
            body = self._read_body()
        except ValueError:
            self.send_error(400)
            return
        path, _, query = self.path.partition("?")
        headers = {name.lower(): " ".join(value.split()) for name, value in self.headers.items()}
        request = Request(self.command, path, query, headers, body)
        fault = self.server.desk.strike(request)
        if fault is None:
            self._send(self.server.desk.answer(request), _cors(headers))
            return
        with suppress(OSError):
            misbehave(_HandlersWire(self, request), fault)

    def _read_body(self) -> bytes:
        """Return the body; raise ValueError if nobody can say where it ends."""
        coding = self.headers.get("Transfer-Encoding")
        lengths = set(self.headers.get_all("Content-Length", []))
        if coding is None and not lengths:
            return b""
        if coding is not None:
            if coding.strip().lower() != "chunked" or lengths:
                raise ValueError
            return self._read_chunks()
        length = lengths.pop().strip()
        if lengths or not _LENGTH.fullmatch(length):
            raise ValueError
        return self._read(int(length), MAX_BODY_BYTES)

    def _read_chunks(self) -> bytes:
        body = b""
        while size := self._read_chunk_size():
            body += self._read(size, MAX_BODY_BYTES - len(body))
            if self._read(2, 2) != b"\r\n":
                raise ValueError
        while self.rfile.readline(MAX_LINE).strip():
            continue  # Trailers are no part of the body.
        return body

    def _read_chunk_size(self) -> int:
        match = _CHUNK_SIZE.fullmatch(self.rfile.readline(MAX_LINE).rstrip(b"\r\n"))
        if match is None:
            raise ValueError
        return int(match[1], 16)

    def _read(self, length: int, most: int) -> bytes:
        """Read *length* bytes and return *most* of them; half a request is none at all."""
        kept, left = b"", length
        while left:
            piece = self.rfile.read(min(left, MAX_LINE))
            if not piece:
                raise ConnectionResetError
            left -= len(piece)
            kept += piece[: most - len(kept)]
        return kept

    def _send(self, response: Response, cors: Mapping[str, str]) -> None:
        body = json.dumps(response.body).encode()
        # Else what is no HTTP passes for HTTP/0.9, and gets neither status nor headers.
        self.request_version = self.protocol_version
        self.send_response(response.status)
        for name, value in {**response.headers, **cors}.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what is no HTTP with an envelope too (unverified: which)."""
        del explain
        self.close_connection = True
        envelope = invalid({"request": [message or "The request is no HTTP."]}).envelope()
        self._send(Response(code, envelope, {"Connection": "close"}), _cors({}))

    def version_string(self) -> str:
        """Return the Server header."""
        return "emulator"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the library's name)
        """Write nothing: the journal has it."""


class _HandlersWire:
    """A handler's connection, as misbehaviour sees it."""

    def __init__(self, handler: _Handler, request: Request) -> None:
        self.connection = handler.connection
        self.ended = handler.server.ended
        self._handler = handler
        self._request = request

    def right_answer(self) -> Response:
        return self._handler.server.desk.answer(self._request)

    def send(self, response: Response) -> None:
        self._handler._send(response, _cors(self._request.headers))  # noqa: SLF001 (one room)

    def write(self, raw: bytes) -> None:
        self._handler.wfile.write(raw)
        self._handler.wfile.flush()

    def hang_up(self) -> None:
        self._handler.close_connection = True


def _cors(headers: Mapping[str, str]) -> dict[str, str]:
    """Let every page call: without these headers the SDK hides what was wrong."""
    return {
        "Access-Control-Allow-Origin": headers.get("origin", "*"),
        "Access-Control-Allow-Methods": "GET, POST, PUT, DELETE",
        "Access-Control-Allow-Headers": headers.get(
            "access-control-request-headers", "appid,authtoken,content-type,resource,sdk"
        ),
        "Access-Control-Max-Age": PREFLIGHT_MAX_AGE_S,
    }
