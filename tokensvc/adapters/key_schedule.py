"""The key schedule: when a key set is asked for again, so that processes do not ask in step."""

from typing import Final

WATCH_S: Final = 2.0
"""How often a process looks whether another one has fetched a newer set."""
UNKNOWN_KID_PAUSE_S: Final = 30.0
"""Between two attempts that unknown kids cause: anybody can make them up."""
FIRST_RETRY_S: Final = 1.0
LAST_RETRY_S: Final = 5.0
"""Short enough for logins to be back within 10 seconds of the issuer."""


def refresh_after_s(max_age_s: float, *, draw: float) -> float:
    """Return when to fetch anew: at 75 to 85 % of the age, as *draw* (0 to 1) has it."""
    return max_age_s * (0.75 + 0.1 * draw)


def retry_after_s(failures: int, *, draw: float) -> float:
    """Return when to try again after so many *failures* in a row: 1, 2, 4, 5 s, or a bit less."""
    delay_s = min(FIRST_RETRY_S * 2.0 ** min(failures - 1, 8), LAST_RETRY_S)
    return delay_s * (1 - 0.25 * draw)
