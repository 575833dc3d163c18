"""The transport below requests: kept connections to one server, each exchange within its deadline.

requests hands a prepared request to the adapter that is mounted for its URL
(https://requests.readthedocs.io/en/latest/user/advanced/#transport-adapters). Its own
one goes on to urllib3, which takes half of what a login costs (docs/performance.md);
this one goes to `http.client`, on which urllib3 stands too.
"""

import io
import socket
import ssl
import weakref
from collections.abc import Callable
from http.client import HTTPConnection, HTTPResponse, IncompleteRead
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from requests.adapters import BaseAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.util.wait import wait_for_read

from tokensvc.adapters.connecting import open_socket
from tokensvc.adapters.deadline import DeadlineReader, current_exchange, wait_at_most

_AT_ONCE: Final = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
_PORTS: Final = {"http": 80, "https": 443}


class NameNotResolvedError(requests.ConnectionError):
    """The server's name has no address that we could find out."""


class DeadlineAdapter(BaseAdapter):
    """Exchanges requests with the server of *base_url*, and keeps *kept* idle connections to it.

    Retries nothing and follows nothing; belongs to one process. *ca_file* (PEM) takes
    the place of the public certificate authorities.
    """

    def __init__(self, base_url: str, *, kept: int, ca_file: Path | None = None) -> None:
        super().__init__()
        parts = urlsplit(base_url)
        self._host = parts.hostname or ""
        self._port = parts.port or _PORTS[parts.scheme]
        self._tls = _tls_context(ca_file) if parts.scheme == "https" else None
        self._kept = kept
        self._idle: list[_Connection] = []
        weakref.finalize(self, _close_all, self._idle)

    def send(
        self,
        request: requests.PreparedRequest,
        *_: object,
        timeout: Any = None,  # noqa: ANN401 (requests')
        **__: object,
    ) -> requests.Response:
        """Return the answer to *request*, its head read and its body still to come.

        *timeout* is how long to connect and how long to wait for more of an answer, in
        seconds. Needs an exchange around it. Raises what requests' own adapter raises,
        and what `http.client` does.
        """
        connect_s, read_s = timeout
        connection = self._idle_connection() or _Connection(self._host, self._port, self._tls)
        try:
            if connection.sock is None:
                connection.open(connect_s)
            answer = connection.exchange(request, read_s)
        except BaseException:
            connection.close()
            raise
        response = requests.Response()
        response.status_code = answer.status
        for name, value in answer.headers.items():
            given = response.headers.get(name)
            response.headers[name] = value if given is None else f"{given}, {value}"
        response.raw = _Body(answer, connection, self._keep)
        response.request, response.url = request, request.url or ""
        return response

    def close(self) -> None:
        """Close all idle connections."""
        _close_all(self._idle)

    def _idle_connection(self) -> "_Connection | None":
        """Return the connection that was used last, unless the other side has closed it."""
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return None
            # What can be read where nothing was asked is an end, or nothing that is meant for us.
            if not wait_for_read(connection.sock, timeout=0.0):
                return connection
            connection.close()

    def _keep(self, connection: "_Connection") -> None:
        if len(self._idle) < self._kept:
            self._idle.append(connection)
        else:
            connection.close()


def _close_all(connections: "list[_Connection]") -> None:
    while connections:
        connections.pop().close()


class _Answer(HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(sock, *args, **kwargs)
        read_s = sock.gettimeout() or 0.0
        self.fp = io.BufferedReader(DeadlineReader(self.fp.detach(), sock, read_s))


class _Connection(HTTPConnection):
    """A connection whose requests leave in one piece."""

    response_class = _Answer

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        super().__init__(host, port)
        self.default_port = _PORTS["https" if tls else "http"]
        self._tls = tls
        self._leaving = bytearray()

    def open(self, connect_s: float) -> None:
        """Connect, and shake hands. Raises what requests' own adapter raises."""
        exchange = current_exchange()
        try:
            connection = open_socket(
                self.host,
                self.port,
                timeout_s=exchange.left_s(connect_s),
                options=_AT_ONCE,
                resolver=exchange.resolver,
            )
            self.sock = self._secured(connection)
        except socket.gaierror:
            raise NameNotResolvedError from None
        except TimeoutError:
            raise requests.ConnectTimeout from None
        except ssl.SSLError:
            raise requests.exceptions.SSLError from None

    def exchange(self, request: requests.PreparedRequest, read_s: float) -> HTTPResponse:
        """Send *request* and return the answer, its head read."""
        parts = urlsplit(request.url or "")
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        self.request(request.method or "", target, request.body or None, dict(request.headers))
        exchange = current_exchange()
        wait_at_most(self.sock, exchange.left_s(read_s))
        exchange.is_sent = True
        self.sock.sendall(self._leaving)
        self._leaving.clear()
        return self.getresponse()

    def send(self, data: Any) -> None:  # noqa: ANN401 (http.client's)
        """Keep *data* until the request is whole."""
        self._leaving += data

    def _secured(self, connection: socket.socket) -> socket.socket:
        if self._tls is None:
            return connection
        try:
            return self._tls.wrap_socket(connection, server_hostname=self.host.rstrip("."))
        except BaseException:
            connection.close()
            raise


class _Body:
    """What is still to come of an answer; once it is there, its connection is free again."""

    def __init__(
        self, answer: HTTPResponse, connection: _Connection, free: Callable[[_Connection], None]
    ) -> None:
        self._answer = answer
        self._connection = connection
        self._free = free

    def read(self, most: int) -> bytes:
        """Return the whole body, or *most* bytes of it; raise HTTPException if it breaks off."""
        body = self._answer.read(most)
        if self._answer.length and len(body) < most:
            raise IncompleteRead(body)
        return body

    def close(self) -> None:
        """Let go of the answer: its connection can be used again if nothing of it is left."""
        is_reusable = self._answer.isclosed() and not self._answer.will_close
        self._answer.close()
        if is_reusable:
            self._free(self._connection)
        else:
            self._connection.close()


def _tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """Return who is believed: TLS 1.2 or newer, a certificate for the host's very name."""
    context = ssl.create_default_context(cafile=str(ca_file or DEFAULT_CA_BUNDLE_PATH))
    context.set_alpn_protocols(["http/1.1"])
    return context
