"""Logins with known kids, with and without a flood of made-up ones: p99 of the verifier.

Run: .venv/bin/python benchmarks/unknown_kids.py
"""

import json
import statistics
import tempfile
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from tokensvc.adapters.http_client import Bounds
from tokensvc.adapters.key_source import KeySource, Reach
from tokensvc.adapters.key_store import KeyStore
from tokensvc.adapters.remote_keys import RemoteKeys
from tokensvc.adapters.session_jwt import Issuer, JWTSessionVerifier
from tokensvc.domain.clocks import Clocks
from tokensvc.domain.errors import CallerError
from tokensvc.domain.uids import uid_rule

ISSUER = "https://login.example.test"
KNOWN_PER_S = 100
FLOOD_PER_S = 1_000
SECONDS = 10.0
ROUNDS = 5
SLOW_ANSWER_S = 2.0
"""The provider takes its time, as it would under such a load."""
BESIDE = {
    "nothing": [],
    "good tokens": ["known"],
    "made-up kids": [f"made-up-{rank}" for rank in range(50)],
}
PRIVATE_KEY = rsa.generate_private_key(65537, 2048)


class Provider(BaseHTTPRequestHandler):
    """Publishes one key, slowly, and counts how often it was asked."""

    fetches = 0
    body = json.dumps(
        {"keys": [jwt.algorithms.RSAAlgorithm.to_jwk(PRIVATE_KEY.public_key(), as_dict=True)]}
    )
    body = body.replace('"kty"', '"kid": "known", "use": "sig", "kty"').replace(
        '"key_ops": ["verify"], ', ""
    )

    def do_GET(self) -> None:
        """Answer with the key set."""
        type(self).fetches += 1
        time.sleep(SLOW_ANSWER_S)
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def a_token(kid: str) -> str:
    """Return a token whose kid is *kid*; only with the right one is it ever good."""
    claims = {"iss": ISSUER, "aud": "chat", "sub": "alice", "exp": time.time() + 3600}
    return jwt.encode(claims, PRIVATE_KEY, algorithm="RS256", headers={"kid": kid})


@dataclass
class Pace:
    """Verifies tokens at a steady rate, and keeps how long each one took."""

    verifier: JWTSessionVerifier
    tokens: list[str]
    per_s: float
    durations_s: list[float] = field(default_factory=list)
    outcomes: dict[str, int] = field(default_factory=dict)

    def run(self) -> None:
        """Go on for `SECONDS`; a call that comes late is not made up for."""
        began = time.perf_counter()
        for count in range(int(self.per_s * SECONDS)):
            time.sleep(max(0.0, began + count / self.per_s - time.perf_counter()))
            if time.perf_counter() - began > SECONDS:
                return
            started = time.perf_counter()
            outcome = "ok"
            try:
                self.verifier.verify(self.tokens[count % len(self.tokens)])
            except CallerError as error:
                outcome = error.code
            self.durations_s.append(time.perf_counter() - started)
            self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1

    def percentile_ms(self, part: float) -> float:
        """Return the duration that *part* of the calls stayed under."""
        return sorted(self.durations_s)[int(part * (len(self.durations_s) - 1))] * 1000


def a_verifier(url: str, folder: Path) -> tuple[JWTSessionVerifier, RemoteKeys]:
    """Return a verifier whose keys have been fetched more than 30 seconds ago."""
    ahead_s = [0.0]
    clock = Clocks(lambda: time.time() + ahead_s[0], lambda: time.monotonic() + ahead_s[0])
    reach = Reach(Bounds(1.0, 3.0, 3.0))
    keys = RemoteKeys(
        KeySource(ISSUER, url, frozenset({"RS256"}), is_discovery=False, reach=reach),
        KeyStore(folder, now=clock.now),
        max_stale_s=86_400,
        notify=lambda _: None,
        clock=clock,
    )
    keys.turn()
    ahead_s[0] = 31.0
    issuer = Issuer(
        ISSUER, frozenset({"chat"}), frozenset({"RS256"}), keys, uid_rule=uid_rule("exact")
    )
    return JWTSessionVerifier([issuer], now=time.time), keys


def measure(url: str, folder: Path, beside: list[str], name: str) -> float:
    """Print what known kids took beside calls with the kids given, and return their p99 in ms."""
    verifier, keys = a_verifier(url, folder)
    before = Provider.fetches
    known = Pace(verifier, [a_token("known")], KNOWN_PER_S)
    others = [Pace(verifier, [a_token(kid) for kid in beside], FLOOD_PER_S)] if beside else []
    keys.start()
    threads = [threading.Thread(target=pace.run) for pace in (known, *others)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    keys.stop()
    rate = sum(len(pace.durations_s) for pace in others) / SECONDS
    p50, p99 = known.percentile_ms(0.5), known.percentile_ms(0.99)
    print(
        f"{name:22}{rate:8.0f}{p50:9.3f}{p99:9.3f}{Provider.fetches - before:9}"
        f"   {known.outcomes} {[pace.outcomes for pace in others]}"
    )
    return p99


def main() -> None:
    """Print p50 and p99 of known kids: alone, beside good tokens, beside made-up kids."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/jwks"
    print("beside                 calls/s   p50 ms   p99 ms  fetches   outcomes")
    found: dict[str, list[float]] = {name: [] for name in BESIDE}
    for _ in range(ROUNDS):
        for name, kids in BESIDE.items():
            with tempfile.TemporaryDirectory() as folder:
                found[name].append(measure(url, Path(folder), kids, name))
    server.shutdown()
    for name, p99s in found.items():
        print(f"median p99 beside {name}: {statistics.median(p99s):.3f} ms")


if __name__ == "__main__":
    main()
