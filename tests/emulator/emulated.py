"""Builders: the emulator and a caller of it, good by default, changed by name."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import requests

from tokensvc.emulator import EmulatorServer, Switches
from tokensvc.emulator.world import App, Token

APP_ID = "1234567890abcdef"
API_KEY = "0b5f1c9e7a3d2468ace13579bdf02468ace13579"
AUTH_KEY = "9d8c7b6a5f4e3d2c1b0a99887766554433221100"
NOW = 1_700_000_040.0
"""The beginning of a minute."""


class Clock:
    """Time that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = NOW
        self.meeting: threading.Barrier | None = None
        """Where readers of the clock meet, two by two, unless a lock keeps them apart."""

    def __call__(self) -> float:
        if self.meeting:
            with suppress(threading.BrokenBarrierError):
                self.meeting.wait(timeout=0.3)
        return self.now


@dataclass
class Caller:
    """Somebody with a key, on one connection, and the emulator that is called."""

    emulator: EmulatorServer
    session: requests.Session
    clock: Clock

    @property
    def app(self) -> App:
        """The emulator's only app."""
        return self.emulator.world.apps[APP_ID]

    def call(
        self, method: str, path: str, *, key: str | None = API_KEY, **request: Any
    ) -> requests.Response:
        """Call the REST side; *path* begins after the version."""
        headers = {**({"apikey": key} if key else {}), **request.pop("headers", {})}
        url = request.pop("url", self.emulator.rest_url) + path
        return self.session.request(method, url, headers=headers, timeout=10, **request)

    def data(self, method: str, path: str, **request: Any) -> Any:
        """Call, and return the data of an answer that has to be good."""
        answer = self.call(method, path, **request)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def refusal(self, method: str, path: str, **request: Any) -> tuple[int, str]:
        """Call, and return status and code of the refusal."""
        answer = self.call(method, path, **request)
        return answer.status_code, answer.json()["error"]["code"]

    def error(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        """Call, and return the error that comes."""
        found: dict[str, Any] = self.call(method, path, **request).json()["error"]
        return found

    def details(self, method: str, path: str, **request: Any) -> dict[str, list[str]]:
        """Call, and return what the validation complains about."""
        found: dict[str, list[str]] = self.error(method, path, **request)["details"]
        return found

    def client(self, method: str, path: str, token: str = "", **request: Any) -> requests.Response:
        """Call the client side with a token; *path* begins after the version."""
        headers = {**({"authToken": token} if token else {}), **request.pop("headers", {})}
        url = f"{self.emulator.url}/v3.0{path}"
        return self.session.request(method, url, headers=headers, timeout=10, **request)

    def create(self, uid: str = "alice", /, **fields: Any) -> Any:
        """Create a user."""
        return self.data("POST", "/users", json={"uid": uid, "name": uid.title(), **fields})

    def token(self, uid: str = "alice") -> str:
        """Create a token of a user who is there."""
        value: str = self.data("POST", f"/users/{uid}/auth_tokens")["authToken"]
        return value

    def live_token(self, uid: str) -> str:
        """Return a new token of a user who is there and live, whatever was done before."""
        world = self.emulator.world
        user = self.app.users.get(uid) or world.create_user(self.app, uid, {"name": uid})
        user.deactivated_at = None
        return world.mint_token(self.app, uid).value

    def kept_token(self, value: str) -> Token:
        """Return what the emulator keeps of a token."""
        return self.app.tokens[value]


@contextmanager
def a_caller(**switches: Any) -> Iterator[Caller]:
    """Run an emulator with these switches, and call it."""
    clock = Clock()
    with (
        EmulatorServer(
            app_id=APP_ID,
            api_key=API_KEY,
            auth_key=AUTH_KEY,
            switches=Switches(**switches),
            now=clock,
        ) as emulator,
        requests.Session() as session,
    ):
        session.trust_env = False
        yield Caller(emulator, session, clock)


def say(port: int, text: bytes) -> bytes:
    """Send *text* and nothing more, and return all that comes back."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(text)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def a_request(
    body: bytes = b"", *headers: str, method: str = "POST", path: str = "/v3/users"
) -> bytes:
    """Return a request as it goes over the wire, with no length unless a header says it."""
    lines = [f"{method} {path} HTTP/1.1", "Host: x", f"apikey: {API_KEY}", *headers]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode() + body
