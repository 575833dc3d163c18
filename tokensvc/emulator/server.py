"""The emulator's HTTP server: any host name, one port, a journal of what came in."""

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tokensvc.emulator.errors import path_unknown
from tokensvc.emulator.front import Front, Request, Response
from tokensvc.emulator.switches import Switches
from tokensvc.emulator.world import World

HOST: Final = "127.0.0.1"
BACKLOG: Final = 512
MAX_BODY_BYTES: Final = 4 * 1024 * 1024
STOP_POLL_S: Final = 0.02
IDLE_CONNECTION_S: Final = 30
PREFLIGHT_MAX_AGE_S: Final = "600"


@dataclass(frozen=True, slots=True)
class Entry:
    """One request in the journal, and the status it got."""

    host: str
    method: str
    path: str
    headers: dict[str, str]
    """Names in lower case."""
    body: Any
    """The parsed JSON, or None."""
    status: int
    duration_s: float


class EmulatorServer:
    """Serves one world on loopback, over HTTP or, with a certificate, HTTPS.

    A context manager; `requests` is its journal and `world` its state. Real host
    names choose app and side; under 127.0.0.1 the path does, and the appId header
    or the only app there is.
    """

    def __init__(  # noqa: PLR0913 (what it serves, and how)
        self,
        *,
        port: int = 0,
        app_id: str = "emulated0app0001",
        region: str = "us",
        api_key: str,
        auth_key: str | None = None,
        switches: Switches | None = None,
        tls_cert: Path | None = None,
        tls_key: Path | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.world = World(switches or Switches(), now)
        self.world.add_app(app_id, region=region, api_key=api_key, auth_key=auth_key)
        self.requests: list[Entry] = []
        self.port = port
        self._front = Front(self.world)
        self._tls = (str(tls_cert), str(tls_key)) if tls_cert and tls_key else None
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{'https' if self._tls else 'http'}://{HOST}:{self.port}"

    @property
    def rest_url(self) -> str:
        """Where its REST API begins."""
        return f"{self.url}/v3"

    def start(self) -> None:
        """Listen, and answer from threads of its own. Raises OSError if the port is taken."""
        server = _Server((HOST, self.port), _Handler)
        server.answer = self._answer
        if self._tls:
            server.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            server.tls.load_cert_chain(*self._tls)
        self.port = server.server_port
        self._server = server
        self._thread = threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": STOP_POLL_S}, daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Listen no longer."""
        if self._server and self._thread:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _answer(self, request: Request) -> Response:
        started = time.perf_counter()
        if request.method == "OPTIONS":
            response = Response(200, {}, {})
        else:
            response = self._front.answer(request)
        self._write_down(request, response.status, time.perf_counter() - started)
        return Response(response.status, response.body, {**response.headers, **_cors(request)})

    def _write_down(self, request: Request, status: int, duration_s: float) -> None:
        try:
            body = json.loads(request.body)
        except (ValueError, RecursionError):
            body = None
        self.requests.append(
            Entry(
                host=request.headers.get("host", ""),
                method=request.method,
                path=request.path,
                headers=dict(request.headers),
                body=body,
                status=status,
                duration_s=duration_s,
            )
        )


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = BACKLOG
    answer: Callable[[Request], Response]
    tls: ssl.SSLContext | None = None

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection; its handshake is left to its own thread."""
        connection, address = super().get_request()
        if self.tls:
            connection = self.tls.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        return connection, address

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients come and go as they like."""


class _Handler(BaseHTTPRequestHandler):
    """HTTP/1.1 with kept connections; whatever the method, the front answers."""

    server: _Server
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
        path, _, query = self.path.partition("?")
        request = Request(
            method=self.command,
            path=path,
            query=query,
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self._read_body(),
        )
        self._send(self.server.answer(request))

    def _read_body(self) -> bytes:
        """Return the body; one that is too large for every route ends the connection."""
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not length.isdigit():
            self.close_connection = True
            return b""
        if int(length) > MAX_BODY_BYTES:
            self.close_connection = True
            return b" " * (MAX_BODY_BYTES + 1)
        return self.rfile.read(int(length))

    def _send(self, response: Response) -> None:
        body = json.dumps(response.body).encode()
        self.send_response(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what is no HTTP with an envelope too."""
        del message, explain
        self.close_connection = True
        self._send(Response(code, path_unknown().envelope(), {}))

    def version_string(self) -> str:
        """Return the Server header."""
        return "emulator"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the library's name)
        """Write nothing: the journal has it."""


def _cors(request: Request) -> dict[str, str]:
    """Let every page call: without these headers the SDK hides what was wrong."""
    return {
        "Access-Control-Allow-Origin": request.headers.get("origin", "*"),
        "Access-Control-Allow-Methods": "GET, POST, PUT, DELETE",
        "Access-Control-Allow-Headers": request.headers.get(
            "access-control-request-headers", "appid,authtoken,content-type,resource,sdk"
        ),
        "Access-Control-Max-Age": PREFLIGHT_MAX_AGE_S,
    }
