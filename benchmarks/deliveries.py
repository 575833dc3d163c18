"""Deliveries at a steady rate on SQLite while logins go on: how soon each is acknowledged.

Run: PYTHONPATH=. .venv/bin/python benchmarks/deliveries.py [--seconds 30] [--rate 1000]

Each time is counted from when the delivery was due.
"""

import argparse
import asyncio
import gc
import json
import multiprocessing
import os
import platform
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.open_loop import Stream, send_all
from tests.builders import API_KEY, APP_ID, ISSUER, a_token, an_environment, bearer
from tests.ports import a_free_port
from tests.processes import Process, running
from tests.web.signing import SOURCES
from tokensvc.emulator import EmulatorServer, Switches

DELIVERIES_PER_S = 1_000
LOGINS_PER_S = 50
WARM_UP_S = 2.0
USERS = 5_000
WHO_LOGS_IN = 200
P99_MS = 50.0
SOURCE = SOURCES["standard"]


def a_request(path: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    """Return a request as it travels."""
    fields = {"Host": "127.0.0.1", "Content-Length": str(len(body)), **headers}
    head = [f"POST {path} HTTP/1.1", *(f"{name}: {text}" for name, text in fields.items())]
    return "\r\n".join([*head, "", ""]).encode("latin-1") + body


def deliveries(run: str, count: int) -> list[bytes]:
    """Return *count* signed deliveries, each of an event of its own."""
    made = []
    for number in range(count):
        user = {"id": f"user-{number % USERS}", "name": f"User {number}"}
        body = json.dumps({"type": "user.updated", "data": user}).encode()
        body, headers = SOURCE.deliver(body, message_id=f"{run}-{number}", at=time.time())
        made.append(a_request(f"/v1/webhooks/{SOURCE.name}", headers, body))
    return made


def logins(count: int) -> list[bytes]:
    """Return *count* logins of some users who come back again and again."""
    tokens = [a_token(sub=f"visitor-{number}") for number in range(WHO_LOGS_IN)]
    made = [a_request("/v1/auth-tokens", bearer(token)) for token in tokens]
    return [made[number % WHO_LOGS_IN] for number in range(count)]


def streams(run: str, seconds: float, per_s: int = DELIVERIES_PER_S) -> list[Stream]:
    """Return what goes on side by side for *seconds*."""
    counts = [int(rate * seconds) for rate in (per_s, LOGINS_PER_S)]
    return [
        Stream("deliveries", 202, per_s, deliveries(run, counts[0])),
        Stream("logins", 201, LOGINS_PER_S, logins(counts[1])),
    ]


def emulate(pipe: Connection) -> None:
    """Be an emulated CometChat, in a process of its own, until the pipe says something."""
    switches = Switches(core_per_minute=10**9, standard_per_minute=10**9)
    with EmulatorServer(app_id=APP_ID, api_key=API_KEY, switches=switches) as emulator:
        pipe.send(emulator.url)
        pipe.recv()


@contextmanager
def a_service(folder: Path, *, processes: int, with_worker: bool) -> Iterator[Process]:
    """Run the service on a new SQLite file in *folder*."""
    ours, theirs = multiprocessing.Pipe()
    emulator = multiprocessing.Process(target=emulate, args=(theirs,), daemon=True)
    emulator.start()
    port = a_free_port()
    table = {"source": SOURCE.name, "sender": "standard", "secrets": [SOURCE.secret]}
    environ = an_environment(
        TOKENSVC_COMETCHAT__BASE_URL=f"{ours.recv()}/v3",
        TOKENSVC_LIMITS__PER_USER="1000000 per minute",
        TOKENSVC_LIMITS__PER_WEBHOOK_SOURCE="1000000 per minute",
        TOKENSVC_SERVER__PORT=str(port),
        TOKENSVC_SERVER__WORKERS=str(processes),
        TOKENSVC_WEBHOOKS=json.dumps([{**table, "issuer": ISSUER}]),
    )
    words = ["serve", *(["--with-worker"] if with_worker else [])]
    try:
        with running(folder, *words, url=f"http://127.0.0.1:{port}", environ=environ) as process:
            yield process
    finally:
        ours.send("end")
        emulator.join()


def cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process and of all that it has started."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    children = (
        child
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    )
    ticks = int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK") + sum(cpu_s(int(child)) for child in children)


def main() -> None:
    """Print the machine, and what was reached on it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--with-worker", action="store_true", help="Apply them meanwhile.")
    parser.add_argument("--rate", type=int, default=DELIVERIES_PER_S, help="Deliveries a second.")
    parser.add_argument("--processes", type=int, default=0, help="Of the server; 0: one per core.")
    chosen = parser.parse_args()
    print(
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; Linux {platform.release()}, "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        a_service(
            Path(folder), processes=chosen.processes, with_worker=chosen.with_worker
        ) as process,
    ):
        asyncio.run(send_all(streams("warm-up", WARM_UP_S, chosen.rate), process.url))
        measured = streams("measured", chosen.seconds, chosen.rate)
        gc.freeze()
        used_s = cpu_s(process.popen.pid)
        began_at = asyncio.run(send_all(measured, process.url))
        for stream in measured:
            print(stream.told(began_at))
        used_s = cpu_s(process.popen.pid) - used_s
        print(f"the service used {used_s / (measured[0].ended_at - began_at):.2f} cores")
        stored = sqlite3.connect(Path(folder) / "tokensvc.db").execute(
            "SELECT count(*) FROM events WHERE event_id LIKE 'measured-%'"
        )
        print(f"{measured[0].statuses[202]} acknowledged, {stored.fetchone()[0]} on disk")
    is_all = measured[0].statuses[202] == len(measured[0].requests)
    is_reached = is_all and measured[0].percentile_ms(0.99) <= P99_MS
    print(f"all acknowledged, p99 within {P99_MS:.0f} ms: {'yes' if is_reached else 'no'}")


if __name__ == "__main__":
    main()
