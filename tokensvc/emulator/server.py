"""The emulator's HTTP server: any host name, one port, a journal of what came in."""

import json
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from wsgiref.types import StartResponse, WSGIEnvironment

from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.wrappers import Request as WSGIRequest
from werkzeug.wrappers import Response as WSGIResponse

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
        self._server: BaseWSGIServer | None = None
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
        server = make_server(
            HOST,
            self.port,
            self._wsgi,
            threaded=True,
            request_handler=_Handler,
            ssl_context=self._tls,
        )
        server.socket.listen(BACKLOG)
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

    def _wsgi(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        started = time.perf_counter()
        incoming = WSGIRequest(environ)
        incoming.max_content_length = MAX_BODY_BYTES
        path = str(environ.get("RAW_URI", incoming.path)).partition("?")[0]
        request = Request(
            method=incoming.method,
            path=path,
            query=incoming.query_string.decode("latin-1"),
            headers={name.lower(): value for name, value in incoming.headers.items()},
            body=_body_of(incoming),
        )
        response = self._respond(request)
        self._write_down(request, response.status, time.perf_counter() - started)
        answer = WSGIResponse(
            json.dumps(response.body), status=response.status, mimetype="application/json"
        )
        answer.headers.update({**response.headers, **_cors(request)})
        return answer(environ, start_response)

    def _respond(self, request: Request) -> Response:
        if request.method == "OPTIONS":
            return Response(200, {}, {})
        return self._front.answer(request)

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


def _body_of(incoming: WSGIRequest) -> bytes:
    """Return the body, or one that is too large for every route."""
    try:
        return incoming.get_data()
    except RequestEntityTooLarge:
        return b" " * (MAX_BODY_BYTES + 1)


class _Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = IDLE_CONNECTION_S

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 (werkzeug's name)
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
