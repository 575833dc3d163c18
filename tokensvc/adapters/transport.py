"""The transport below requests: kept connections to one server, each exchange within its deadline.

requests hands a prepared request to the adapter that is mounted for its URL
(https://requests.readthedocs.io/en/latest/user/advanced/#transport-adapters). Its own
one goes on to urllib3, which took half of what a login costs (docs/performance.md);
this one lets llhttp read the answers, by way of httptools, as Node and uvicorn do.
"""

import re
import ssl
import time
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlsplit

import httptools
import requests
from requests.adapters import BaseAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from tokensvc.adapters.deadline import current_exchange
from tokensvc.adapters.wire import Wire, open_wire

MAX_HEAD_BYTES: Final = 64 * 1024
_PORTS: Final = {"http": 80, "https": 443}
_HAVE_BODIES: Final = frozenset({"POST", "PUT", "PATCH"})
_SAY_THE_END: Final = frozenset({"content-length", "transfer-encoding"})
_CONTINUE: Final = 100
_FINAL: Final = 200
_TARGET: Final = re.compile(r"/[!-~]*")
_FIELD: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


class DeadlineAdapter(BaseAdapter):
    """Exchanges requests with the server of *base_url*, and keeps *kept* idle connections to it.

    Retries nothing and follows nothing; belongs to one process. *headers* go with each
    request that does not have its own. *ca_file* (PEM) takes the place of the public
    certificate authorities.
    """

    def __init__(
        self,
        base_url: str,
        *,
        kept: int,
        headers: Mapping[str, str],
        ca_file: Path | None = None,
    ) -> None:
        super().__init__()
        parts = urlsplit(base_url)
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._fields = {"Host": parts.netloc.rpartition("@")[2], **headers}
        self._place = (parts.hostname or "", parts.port or _PORTS[parts.scheme])
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
        seconds. Needs an exchange around it. Raises OSError, as requests' own errors are.
        """
        connect_s, read_s = timeout
        began_at = time.monotonic()
        connection = self._idle_connection() or _Connection(*self._place, self._tls)
        try:
            if not connection.is_open:
                connection.open(connect_s)
            connection.exchange(self._written(request), read_s)
        except BaseException as error:
            connection.close()
            if isinstance(error, TimeoutError) and current_exchange().is_sent:
                self._doubt(began_at)
            raise
        response = requests.Response()
        response.status_code = connection.status
        response.headers.update(connection.headers)
        response.raw = _Body(connection, self._keep, partial(self._doubt, began_at))
        response.request, response.url = request, request.url or ""
        return response

    def close(self) -> None:
        """Close all idle connections."""
        _close_all(self._idle)

    def _written(self, request: requests.PreparedRequest) -> bytes:
        """Return *request* as it travels (RFC 9112); ValueError if it is not one request."""
        target = (request.url or "").removeprefix(self._origin)
        body = cast("bytes", request.body or b"")
        fields = {**self._fields, **request.headers}
        if body or request.method in _HAVE_BODIES:
            fields["Content-Length"] = str(len(body))
        if not (_TARGET.fullmatch(target) and _FIELD.fullmatch("".join(fields.values()))):
            raise ValueError("the target or a header holds what would end it")
        lines = [f"{name}: {value}\r\n" for name, value in fields.items()]
        head = f"{request.method} {target} HTTP/1.1\r\n{''.join(lines)}\r\n"
        return head.encode("latin-1") + body

    def _idle_connection(self) -> "_Connection | None":
        """Return the connection that was used last, unless the other side has closed it."""
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return None
            # What can be read where nothing was asked is an end, or nothing that is meant for us.
            if connection.wire.is_quiet():
                return connection
            connection.close()

    def _keep(self, connection: "_Connection") -> None:
        connection.answered_at = time.monotonic()
        if len(self._idle) < self._kept:
            self._idle.append(connection)
        else:
            connection.close()

    def _doubt(self, asked_at: float) -> None:
        """Close what has not answered since a request was sent that nobody answered.

        Something between here and there may have forgotten all connections at once, a
        firewall say, and tells nobody: each of them would cost one more call its time.
        """
        for connection in list(self._idle):
            if connection.answered_at < asked_at:
                with suppress(ValueError):  # somebody else has taken it meanwhile
                    self._idle.remove(connection)
                    connection.close()


def _close_all(connections: "list[_Connection]") -> None:
    while connections:
        connections.pop().close()


class _Connection:
    """One connection, and the answer that is coming in on it, as its parser tells of it."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        self._place = host, port
        self._tls = tls
        self._parser = httptools.HttpResponseParser(self)
        self._begin()
        self.is_open = False
        self.answered_at = 0.0
        """When the last answer was whole, in seconds of the monotonic clock."""
        self.wire: Wire

    def _begin(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        """By name, in lower case; what is given twice is a list (RFC 9110, section 5.3)."""
        self.body = bytearray()
        self.is_complete = False
        self.may_stay = False
        """Whether the next request can go the same way."""
        self._has_head = False
        self._ends_itself = False
        """Whether the answer says where it ends; otherwise the connection's end is its."""

    def open(self, connect_s: float) -> None:
        """Connect, and shake hands. Raises what requests' own adapter raises."""
        self.wire = open_wire(*self._place, self._tls, current_exchange(), connect_s)
        self.is_open = True

    def exchange(self, request: bytes, read_s: float) -> None:
        """Send *request* and read the head of the answer, waiting *read_s* at most for more."""
        self._begin()
        self._read_s = read_s
        exchange = current_exchange()
        # With no time left nothing is sent.
        exchange.left_s(read_s)
        exchange.is_sent = True
        self.wire.send(request, exchange, read_s)
        room = MAX_HEAD_BYTES
        while not self._has_head:
            room -= self.receive()
            if room < 0:
                raise requests.ConnectionError("the head of the answer does not end")

    def receive(self) -> int:
        """Read some more of the answer, and return how many bytes that were."""
        data = self.wire.receive(current_exchange(), self._read_s)
        if not data:
            if self._ends_itself or not self._has_head:
                raise requests.ConnectionError("the answer breaks off")
            self.is_complete = True
            return 0
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            if not self.is_complete:
                raise requests.ConnectionError("the answer is no HTTP") from None
            # What is behind it is not meant for us, nor will be what comes next.
            self.may_stay = False
        return len(data)

    def close(self) -> None:
        """Close the socket, if there is one."""
        if self.is_open:
            self.is_open = False
            self.wire.close()

    def on_message_begin(self) -> None:
        """Begin an answer; a second one was not asked for."""
        if self.is_complete:
            raise ValueError

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a field of the head; a trailer says nothing to us."""
        if self._has_head:
            return
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        given = self.headers.get(key)
        self.headers[key] = text if given is None else f"{given}, {text}"

    def on_headers_complete(self) -> None:
        """Note the status and how the answer will end."""
        self.status = self._parser.get_status_code()
        if self.status == _CONTINUE:
            self.headers.clear()
            return
        self._has_head = True
        self._ends_itself = not self.headers.keys().isdisjoint(_SAY_THE_END)

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body."""
        self.body += body

    def on_message_complete(self) -> None:
        """Note that all of the answer is there; an interim one is none."""
        if self.status != _CONTINUE:
            self.is_complete = True
            # Behind an interim answer the answer itself is still to come.
            self.may_stay = self.status >= _FINAL and self._parser.should_keep_alive()


class _Body:
    """What is still to come of an answer; once it is there, its connection is free again."""

    def __init__(
        self,
        connection: _Connection,
        free: Callable[[_Connection], None],
        doubt: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._free = free
        self._doubt = doubt

    def read(self, most: int) -> bytes:
        """Return the whole body, or as much of a longer one that it is longer than *most*."""
        connection = self._connection
        try:
            while not connection.is_complete and len(connection.body) <= most:
                connection.receive()
        except TimeoutError:
            self._doubt()
            raise
        return bytes(connection.body)

    def close(self) -> None:
        """Let go of the answer: its connection can be used again if nothing of it is left."""
        if self._connection.is_complete and self._connection.may_stay:
            self._free(self._connection)
        else:
            self._connection.close()


def _tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """Return who is believed: TLS 1.2 or newer, a certificate for the host's very name."""
    context = ssl.create_default_context(cafile=str(ca_file or DEFAULT_CA_BUNDLE_PATH))
    context.set_alpn_protocols(["http/1.1"])
    return context
