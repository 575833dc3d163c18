"""The emulator as a whole: its world on a port, and a journal of what came in."""

import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tokensvc.emulator.bodies import parse_json
from tokensvc.emulator.call import Side
from tokensvc.emulator.control import Control
from tokensvc.emulator.faults import KINDS_WITHOUT_ANSWER, Fault, Faults
from tokensvc.emulator.front import Front, Request, Response, side_of
from tokensvc.emulator.listener import Listener
from tokensvc.emulator.switches import Switches
from tokensvc.emulator.world import World

HOST: Final = "127.0.0.1"
MOST_ENTRIES: Final = 10_000
"""When the journal is that long, its older half is forgotten."""
STOP_POLL_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class Entry:
    """One request in the journal, and the status it got."""

    host: str
    side: Side | None
    """None where neither the host nor the path names one."""
    method: str
    path: str
    headers: dict[str, str]
    """Names in lower case."""
    body: Any
    """The parsed JSON, or None."""
    status: int
    """0 where a fault struck before anything was done."""
    duration_s: float


class EmulatorServer:
    """Serves one world on loopback, over HTTP or, with a certificate, HTTPS.

    A context manager; `requests` is its journal, `world` its state, and `faults`
    what it does wrong on order. Real host names choose app and side; under
    127.0.0.1 the path does, and the appId header or the only app there is.
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
        self.faults = Faults(now)
        self._front = Front(self.world)
        self._control = Control(self.world, self.faults)
        self._tls = (tls_cert, tls_key) if tls_cert else None
        self._listener: Listener | None = None
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
        tls = None
        if self._tls:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(*self._tls)
        self._listener = Listener((HOST, self.port), self, tls)
        self.port = self._listener.server_port
        self._thread = threading.Thread(
            target=self._listener.serve_forever, kwargs={"poll_interval": STOP_POLL_S}, daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Listen no longer, and hang up on whoever is connected."""
        if self._listener and self._thread:
            self._listener.shutdown()
            self._thread.join()
            self._listener.server_close()
            self._listener.hang_up()

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

    def answer(self, request: Request) -> Response:
        """Do what is asked, write it down, and return the answer."""
        if self._control.is_meant(request):
            return self._control.answer(request)
        started = time.perf_counter()
        if request.method == "OPTIONS":
            response = Response(200, {}, {})
        else:
            response = self._front.answer(request)
        self._write_down(request, response.status, time.perf_counter() - started)
        return response

    def strike(self, request: Request) -> Fault | None:
        """Return the fault that was ordered for *request*, if there is one."""
        if request.method == "OPTIONS" or self._control.is_meant(request):
            return None
        fault = self.faults.strike(request)
        if fault and fault.kind in KINDS_WITHOUT_ANSWER:
            self._write_down(request, 0, 0.0)
        return fault

    def _write_down(self, request: Request, status: int, duration_s: float) -> None:
        try:
            body = parse_json(request.body)
        except ValueError:
            body = None
        if len(self.requests) >= MOST_ENTRIES:
            del self.requests[: MOST_ENTRIES // 2]
        self.requests.append(
            Entry(
                host=request.headers.get("host", ""),
                side=side_of(request),
                method=request.method,
                path=request.path,
                headers=dict(request.headers),
                body=body,
                status=status,
                duration_s=duration_s,
            )
        )
