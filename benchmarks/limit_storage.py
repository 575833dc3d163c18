"""The limiter's memory storage beside the one that `limits` brings: cost of a hit by live users.

Run: .venv/bin/python benchmarks/limit_storage.py
"""

import time

from limits.storage import MemoryStorage

from tokensvc.adapters.limit_storage import WindowStorage

USERS = (100, 2_000, 20_000, 100_000)
HITS = 1_000
PACE_S = 0.001
"""A thousand logins a second: a timer that every hit re-arms then runs all the time."""
ROUNDS = 3


def cpu_us_of_a_hit(storage: MemoryStorage | WindowStorage, users: int) -> float:
    """Return the process's CPU microseconds for one hit with *users* live keys."""
    for number in range(users):
        storage.acquire_entry(f"user-{number}", 10, 600)
    started = time.process_time()
    for number in range(HITS):
        storage.acquire_entry(f"user-{number * 37 % users}", 1000, 600)
        time.sleep(PACE_S)
    return (time.process_time() - started) / HITS * 1e6


def main() -> None:
    """Print a table: medians of three rounds, the two interleaved."""
    print("live users   limits us/hit   tokensvc us/hit   ratio")
    for users in USERS:
        theirs, ours = [], []
        for _ in range(ROUNDS):
            theirs.append(cpu_us_of_a_hit(MemoryStorage(), users))
            ours.append(cpu_us_of_a_hit(WindowStorage(), users))
        their, our = sorted(theirs)[ROUNDS // 2], sorted(ours)[ROUNDS // 2]
        print(f"{users:10}{their:16.1f}{our:18.1f}{their / our:8.0f}")


if __name__ == "__main__":
    main()
