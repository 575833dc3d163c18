"""The machine and what ran on it: cores and versions, no names and no paths."""

import json
import os
import platform
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Final

from benchmarks.servers import PEERS, ROOT

OF_SERVICE: Final = (
    *("flask", "werkzeug", "granian", "requests", "urllib3", "pyjwt", "flask-limiter", "limits"),
    *("redis", "structlog", "prometheus-client", "orjson"),
)
OF_PEERS: Final = (
    *("flask", "gunicorn", "requests", "fastapi", "httpx", "starlette", "aiohttp", "uvicorn"),
    *("uvloop", "httptools", "pyjwt", "flask-limiter", "structlog"),
)
ASK: Final = """
import importlib.metadata as m, platform, sys
print("Python " + platform.python_version())
for name in sys.argv[1:]:
    try:
        print(name + " " + m.version(name))
    except m.PackageNotFoundError:
        pass
"""


def described() -> list[str]:
    """Return the machine, and the versions of what was measured, one kind a line."""
    return [
        f"machine: {os.cpu_count()} cores, {_cpu_model()}, {_memory_gb():.0f} GB; {_kernel()}",
        f"tokensvc: {', '.join(_versions_of_service())}",
        f"peers: Python {platform.python_version()}, "
        + ", ".join(f"{name} {version(name)}" for name in OF_PEERS),
        *_node(),
        *_go(),
    ]


def _kernel() -> str:
    return f"{platform.system()} {platform.release()}"


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory_gb() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def _versions_of_service() -> list[str]:
    return _said(str(ROOT / ".venv/bin/python"), "-c", ASK, *OF_SERVICE).splitlines()


def _node() -> list[str]:
    if not (node := shutil.which("node")):
        return []
    packages = json.loads((PEERS / "express/package.json").read_text())["dependencies"]
    told = ", ".join(f"{name} {number}" for name, number in packages.items())
    return [f"node: {_said(node, '--version')}, {told}"]


def _go() -> list[str]:
    go = shutil.which("go")
    return [f"Go: {_said(go, 'env', 'GOVERSION')}"] if go else []


def _said(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()  # noqa: S603 (our own)
