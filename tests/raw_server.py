"""A TCP server that says what a test tells it to, byte for byte."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

Conversation = Callable[[socket.socket], None]


@dataclass
class RawServer:
    """What came in: one entry per request, and the number of connections."""

    port: int
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def raw_server(
    *answers: bytes | Conversation, tls: ssl.SSLContext | None = None
) -> Iterator[RawServer]:
    """Answer the n-th request with the n-th answer, the last one over and over.

    An answer in bytes is sent as it is; a function gets the socket. A connection
    is kept until its other side or an answer closes it. With *tls* it speaks https.
    """
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    server = RawServer(listener.getsockname()[1])
    remaining = list(answers)

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            server.connections += 1
            threading.Thread(target=converse, args=(connection,), daemon=True).start()

    def converse(connection: socket.socket) -> None:
        with connection, suppress(OSError), _secured(connection, tls) as channel:
            while request := read_request(channel):
                server.requests.append(request)
                answer = remaining.pop(0) if len(remaining) > 1 else remaining[0]
                if callable(answer):
                    answer(channel)
                else:
                    channel.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        # Closing alone does not wake a thread that is in accept().
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def _secured(connection: socket.socket, tls: ssl.SSLContext | None) -> socket.socket:
    return tls.wrap_socket(connection, server_side=True) if tls else connection


def read_request(connection: socket.socket) -> bytes:
    """Return one whole request with a Content-Length, or nothing at the end."""
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = connection.recv(65536)
        if not chunk:
            return b""
        data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def an_answer(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """Return an HTTP answer with *body*, JSON unless a header says otherwise."""
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}"]
    if not any(header.lower().startswith("content-type") for header in headers):
        lines.append("Content-Type: application/json")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
