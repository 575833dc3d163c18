"""Issuers whose keys are fetched: their servers on loopback, and a service that trusts them."""

import json
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from flask import Flask

from tests.builders import GENEROUS, NOW, Service, a_sessions_table, settings
from tests.fakes import FakeDirectory, WatchedLog
from tests.raw_server import Conversation, RawServer, an_answer, raw_server
from tests.security.forging import RS, Signer, jwk, token
from tokensvc.adapters.remote_keys import RemoteKeys
from tokensvc.app import app_around
from tokensvc.domain.issuing import TokenIssuer
from tokensvc.services import assemble

Answer = bytes | Conversation
QUICK: Mapping[str, Any] = {"connect_timeout_s": 0.5, "total_timeout_s": 1.0}
"""For tests of servers that hang; the others have the time that a busy machine may need."""


@dataclass
class Clock:
    """A clock that goes on when it is told to; both of its times do."""

    time: float = NOW
    passed_s: float = 1000.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.passed_s

    def advance(self, seconds: float) -> None:
        """Let *seconds* pass."""
        self.time += seconds
        self.passed_s += seconds

    def set_by(self, seconds: float) -> None:
        """Set the time of day: no time passes."""
        self.time += seconds


def a_signer(issuer: str = RS.issuer, kid: str = "key-1") -> Signer:
    """Return somebody with a fresh RSA key."""
    return Signer(issuer, "RS256", rsa.generate_private_key(65537, 2048), kid=kid)


def a_set(*signers: Signer, **members: object) -> bytes:
    """Return the JWK set of *signers*."""
    keys = [jwk(signer, kid=signer.kid) for signer in signers]
    return json.dumps({"keys": keys, **members}).encode()


def published(*signers: Signer, cache_control: str | None = None) -> bytes:
    """Return the answer that publishes the keys of *signers*."""
    headers = [f"Cache-Control: {cache_control}"] if cache_control else []
    return an_answer(a_set(*signers), *headers)


@dataclass
class Provider:
    """An issuer's own server: what it answers can be changed at any time."""

    server: RawServer
    answer: Answer
    tls: bool = False

    @property
    def port(self) -> int:
        return self.server.port

    @property
    def jwks_url(self) -> str:
        # The certificate of the tests is for this name, and not for 127.0.0.1.
        return f"{'https' if self.tls else 'http'}://localhost:{self.port}/jwks"

    @property
    def fetches(self) -> int:
        """How often it was asked."""
        return len(self.server.requests)


@contextmanager
def a_provider(answer: Answer, *, tls: ssl.SSLContext | None = None) -> Iterator[Provider]:
    """Run an issuer's server that answers *answer* until it is changed."""
    provider: list[Provider] = []

    def say(connection: Any) -> None:
        wanted = provider[0].answer
        if callable(wanted):
            wanted(connection)
        else:
            connection.sendall(wanted)

    with raw_server(say, tls=tls) as server:
        provider.append(Provider(server, answer, tls is not None))
        yield provider[0]


class RemoteService(Service):
    """A service whose key sets are fetched when a test says so: no thread is started."""

    def __init__(self, app: Flask, log: WatchedLog, key_sets: tuple[RemoteKeys, ...]) -> None:
        super().__init__(app, log)
        self.key_sets = key_sets

    def fetch(self) -> list[float]:
        """Let each key set have its turn; return when they want the next one."""
        return [keys.turn() for keys in self.key_sets]

    def outcome(self, text: str) -> tuple[int, str]:
        """Log in with *text*; return the status, and the problem's code or `ok`."""
        answer = self.login(text)
        return answer.status_code, answer.get_json().get("code", "ok")

    def events(self, name: str = "") -> list[dict[str, Any]]:
        """Return the operational events so far, all or those of one name."""
        lines = [line for line in self.records() if line["event"] != "request"]
        return [line for line in lines if name in {"", line["event"]}]


def a_remote_table(signer: Signer = RS, **changes: Any) -> dict[str, Any]:
    """Return the `[[sessions]]` table of an issuer; *changes* say where its keys are."""
    good = {"issuer": signer.issuer, "algorithms": [signer.alg], "secret": None}
    return a_sessions_table(**{**good, **changes})


def a_remote_service(
    folder: Path,
    clock: Clock,
    *tables: Mapping[str, Any],
    limits: Mapping[str, str] | None = None,
    **keys: Any,
) -> RemoteService:
    """Return a service with the issuers of *tables*, which keeps their keys in *folder*."""
    log = WatchedLog()
    chosen = settings(
        sessions=list(tables),
        limits=limits or GENEROUS,
        keys={"directory": folder / "keys", **keys},
    )
    services = assemble(chosen, now=clock.now, monotonic=clock.monotonic, log_stream=log)
    issuer = TokenIssuer(FakeDirectory(), services.tokens.issuer.provisioning)
    services = replace(services, tokens=replace(services.tokens, issuer=issuer))
    return RemoteService(app_around(services, chosen), log, services.key_sets)


def signed_by(signer: Signer, clock: Clock, **claims: object) -> str:
    """Return a good token of *signer*, issued now."""
    times = {"iat": clock.now(), "exp": clock.now() + 600}
    return token(signer, payload={**times, **claims})
