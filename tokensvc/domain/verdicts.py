"""Verdicts: what becomes of an event that could not be applied."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from tokensvc.domain.errors import (
    DirectoryMisconfiguredError,
    ProfileRefusedError,
    StorageUnavailableError,
    TokenServiceError,
    UserQuotaReachedError,
)
from tokensvc.domain.ports import LONGEST_PAUSE_S


@dataclass(frozen=True, slots=True)
class Patience:
    """How often and how long to wait: *first_s*, then twice as long each time, up to *most_s*."""

    first_s: float
    most_s: float = LONGEST_PAUSE_S
    jitter: float = 1.0
    """The share of a wait that is left to chance."""
    max_attempts: int | None = None
    """How often an event is tried before it is buried; None: until it works."""
    is_alarm: bool = False

    def wait_s(self, attempts: int, chance: float) -> float:
        """Return how long to wait after *attempts*; *chance* is from 0 to 1."""
        whole_s = min(self.most_s, self.first_s * 2.0 ** min(attempts - 1, 30))
        return whole_s * (1 - self.jitter * chance)


PATIENCE: Final[Mapping[type[Exception], Patience]] = {
    ProfileRefusedError: Patience(5.0, 60.0, max_attempts=3),
    UserQuotaReachedError: Patience(60.0, jitter=0.5),
    DirectoryMisconfiguredError: Patience(60.0, jitter=0.5, is_alarm=True),
    StorageUnavailableError: Patience(5.0),
    TokenServiceError: Patience(1.0),
    Exception: Patience(5.0, max_attempts=5, is_alarm=True),
}
"""What each failure calls for. A neighbour's failure and a wrong key are not the event's fault,
so that it waits until they are mended; what CometChat says of the event itself is, and a defect
of ours may be."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Wait and try again or, without a wait, bury."""

    reason: str
    wait_s: float | None
    is_alarm: bool


@dataclass(frozen=True, slots=True)
class Judge:
    """Decides by the error and by how often the event was tried; *chance* is from 0 to 1."""

    chance: Callable[[], float]

    def verdict(self, error: Exception, *, attempts: int) -> Verdict:
        """Return what becomes of an event whose try number *attempts* ended in *error*."""
        patience = next(PATIENCE[kind] for kind in type(error).__mro__ if kind in PATIENCE)
        is_ours = isinstance(error, TokenServiceError)
        # The name of a defect's class is ours or Python's; its text may be anybody's.
        reason = str(error) if is_ours else f"defect_{type(error).__name__}"
        if patience.max_attempts is not None and attempts >= patience.max_attempts:
            return Verdict(reason, None, is_alarm=True)
        wait_s = patience.wait_s(attempts, self.chance())
        told_s = (isinstance(error, TokenServiceError) and error.retry_after_s) or 0.0
        return Verdict(reason, max(wait_s, told_s), patience.is_alarm)
