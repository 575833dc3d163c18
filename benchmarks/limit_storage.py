"""The limiter's memory storage beside the one that `limits` brings: cost of a hit by live users.

Run: .venv/bin/python benchmarks/limit_storage.py
"""

import time
from collections.abc import Callable

from limits.storage import MemoryStorage

from tokensvc.adapters.limit_storage import WindowStorage
from tokensvc.domain.windows import Window

USERS = (100, 2_000, 20_000, 100_000)
HITS = 1_000
EXPIRY_S = 600
PACE_S = 0.001
"""A thousand logins a second: a timer that every hit re-arms then runs all the time."""
ROUNDS = 3


Hit = Callable[[str, int], object]
"""Counts one hit of a user, who may have so many in ten minutes."""


def theirs() -> Hit:
    """Return how the storage of `limits` counts."""
    storage = MemoryStorage()
    return lambda user, limit: storage.acquire_entry(user, limit, EXPIRY_S)


def ours() -> Hit:
    """Return how tokensvc's counts."""
    storage = WindowStorage()
    return lambda user, limit: storage.hit_all([Window(user, limit, EXPIRY_S)])


def cpu_us_of_a_hit(hit: Hit, users: int) -> float:
    """Return the process's CPU microseconds for one hit with *users* live keys."""
    for number in range(users):
        hit(f"user-{number}", 10)
    started = time.process_time()
    for number in range(HITS):
        hit(f"user-{number * 37 % users}", 1000)
        time.sleep(PACE_S)
    return (time.process_time() - started) / HITS * 1e6


def main() -> None:
    """Print a table: medians of three rounds, the two interleaved."""
    print("live users   limits us/hit   tokensvc us/hit   ratio")
    for users in USERS:
        rounds = [
            (cpu_us_of_a_hit(theirs(), users), cpu_us_of_a_hit(ours(), users))
            for _ in range(ROUNDS)
        ]
        their, our = (sorted(figures)[ROUNDS // 2] for figures in zip(*rounds, strict=True))
        print(f"{users:10}{their:16.1f}{our:18.1f}{their / our:8.0f}")


if __name__ == "__main__":
    main()
