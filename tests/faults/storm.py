"""A storm: many clients at once, who do as they are told, while CometChat hangs."""

import http.client
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import urlsplit

from tests.builders import a_token, bearer
from tests.processes import Process
from tokensvc.emulator import EmulatorServer
from tokensvc.emulator.faults import parse_fault

PROBES = 50
PAUSE_AFTER_SUCCESS_S = 2.0
"""Two hundred clients so are a hundred logins a second."""
CALM_S = 2.0
"""How long everything is well before the hang."""
AFTER_S = 14.0
"""How long it is looked at after the hang."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One answer: when it was there, what it was, and how long it took."""

    at: float
    status: int
    took_s: float
    retry_after_s: int | None = None


@dataclass
class Storm:
    """What clients and probes have seen; times are of the monotonic clock."""

    hang_from: float = 0.0
    hang_until: float = 0.0
    wall_from: float = 0.0
    logins: list[Seen] = field(default_factory=list)
    probes: list[Seen] = field(default_factory=list)

    def logins_in(self, start: float, end: float) -> list[Seen]:
        """Return the logins that were answered between two moments."""
        return [seen for seen in self.logins if start <= seen.at < end]

    def recovered_after_s(self) -> float:
        """Return how long after the end of the hang the last login was refused."""
        refused = [seen.at for seen in self.logins if seen.status != http.client.CREATED]
        return max(0.0, max(refused, default=self.hang_until) - self.hang_until)


def breaker_opened_after_s(process: Process, storm: Storm) -> float:
    """Return how long after the beginning of the hang the breaker was open, by the log."""
    opened = [line["time"] for line in process.records() if line["event"] == "breaker_opened"]
    return min(datetime.fromisoformat(text).timestamp() for text in opened) - storm.wall_from


def storm_over(process: Process, emulator: EmulatorServer, *, clients: int, hang_s: float) -> Storm:
    """Let *clients* log in over and over while CometChat hangs for *hang_s*, and after it."""
    storm, over = Storm(), threading.Event()
    threads = [
        threading.Thread(target=_client, args=(process.url, f"user-{number % 50}", storm, over))
        for number in range(clients)
    ]
    for thread in threads:
        thread.start()
    over.wait(CALM_S)
    emulator.faults.order(parse_fault(f"hang={hang_s * 2}", time.time()))
    storm.hang_from, storm.wall_from = time.monotonic(), time.time()
    for number in range(PROBES):
        due = storm.hang_from + hang_s * number / PROBES
        over.wait(max(0.0, due - time.monotonic()))
        storm.probes.append(_ask(process.url, "GET", "/livez", {}))
    over.wait(max(0.0, storm.hang_from + hang_s - time.monotonic()))
    emulator.faults.clear()
    storm.hang_until = time.monotonic()
    over.wait(AFTER_S)
    over.set()
    for thread in threads:
        thread.join()
    return storm


def _client(url: str, uid: str, storm: Storm, over: threading.Event) -> None:
    """Log in, and come back when told to."""
    headers = bearer(a_token(sub=uid))
    while not over.is_set():
        seen = _ask(url, "POST", "/v1/auth-tokens", headers)
        storm.logins.append(seen)
        over.wait(seen.retry_after_s or PAUSE_AFTER_SUCCESS_S)


def _ask(url: str, method: str, path: str, headers: dict[str, str]) -> Seen:
    started = time.monotonic()
    status, retry_after = 0, None
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    with suppress(OSError, http.client.HTTPException):
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        answer.read()
        status, retry_after = answer.status, answer.headers["Retry-After"]
    connection.close()
    now = time.monotonic()
    return Seen(now, status, now - started, int(retry_after) if retry_after else None)
