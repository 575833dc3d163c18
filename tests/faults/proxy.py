"""A TCP proxy that fails on order: what HTTP cannot do, the wire can."""

import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal

from tests.journeys.certificates import Certificate
from tests.ports import a_free_port

Mode = Literal["pass", "refuse", "black-hole", "half-open", "reset-at", "drip", "late"]
PIECE_BYTES = 65536
END_OF_HEAD = b"\r\n\r\n"


class Proxy:
    """Passes bytes between its own port and a neighbour's, until `mode` says otherwise.

    refuse: nobody listens. black-hole: takes everything, answers nothing. half-open:
    the first *at* bytes of the answer, then silence. reset-at: those, then a reset
    (0: after the headers). drip: one byte each *pause_s*. late: each piece after
    *pause_s*. Where `mode` is set alone, connections stay open. With *certificate* it
    is the end of a TLS connection; `certificate` can be exchanged while it runs.
    """

    def __init__(self, neighbour: int, certificate: Certificate | None = None) -> None:
        self.mode: Mode = "pass"
        self.at = 0
        self.pause_s = 0.2
        self.certificate = certificate
        self._neighbour = neighbour
        self._ended = threading.Event()
        self._open: set[socket.socket] = set()
        self.port = a_free_port()
        self._listener: socket.socket | None = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def set_mode(self, mode: Mode, at: int = 0) -> None:
        """Behave like this from now on; connections that are open end, as in a real fault."""
        self.at, self.mode = at, mode
        if mode == "refuse" and self._listener:
            self._stop_listening()
        elif mode != "refuse" and self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", self.port))
            threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()
        self._hang_up()

    def close(self) -> None:
        """End everything."""
        self._ended.set()
        self._stop_listening()
        self._hang_up()

    def _stop_listening(self) -> None:
        if self._listener:
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None

    def _hang_up(self) -> None:
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), self._with_tls(connection) as client:
            self._open.add(client)
            if self.mode == "black-hole":
                while client.recv(PIECE_BYTES):
                    pass
                return
            with socket.create_connection(("127.0.0.1", self._neighbour)) as upstream:
                self._open.add(upstream)
                back = threading.Thread(target=self._pass_back, args=(upstream, client))
                back.start()
                with suppress(OSError):
                    while piece := client.recv(PIECE_BYTES):
                        upstream.sendall(piece)
                with suppress(OSError):
                    upstream.shutdown(socket.SHUT_RDWR)
                back.join()
                self._open.discard(upstream)
            self._open.discard(client)

    def _with_tls(self, connection: socket.socket) -> socket.socket:
        if self.certificate is None:
            return connection
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate.cert, self.certificate.key)
        return context.wrap_socket(connection, server_side=True)

    def _pass_back(self, upstream: socket.socket, client: socket.socket) -> None:
        sent = 0
        with suppress(OSError):
            while piece := upstream.recv(PIECE_BYTES):
                sent += self._send(client, piece, sent)
            client.shutdown(socket.SHUT_RDWR)

    def _send(self, client: socket.socket, piece: bytes, sent: int) -> int:
        match self.mode:
            case "half-open":
                client.sendall(piece[: max(0, self.at - sent)])
            case "reset-at":
                at = self.at or piece.index(END_OF_HEAD) + len(END_OF_HEAD)
                client.sendall(piece[: max(0, at - sent)])
                if sent + len(piece) >= at:
                    linger = struct.pack("ii", 1, 0)
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    # Wakes the thread that reads: only its close says no good-bye.
                    client.shutdown(socket.SHUT_RD)
                    raise ConnectionResetError
            case "drip":
                for octet in piece:
                    self._ended.wait(self.pause_s)
                    client.sendall(bytes([octet]))
            case "late":
                self._ended.wait(self.pause_s)
                client.sendall(piece)
            case _:
                client.sendall(piece)
        return len(piece)


@contextmanager
def a_proxy(neighbour: int, certificate: Certificate | None = None) -> Iterator[Proxy]:
    """Run a proxy in front of the port *neighbour*."""
    proxy = Proxy(neighbour, certificate)
    try:
        yield proxy
    finally:
        proxy.close()
