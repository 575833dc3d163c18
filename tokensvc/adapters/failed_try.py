"""A failed try: what it says about CometChat, and whether another one could bring more."""

from typing import Final

from tokensvc.adapters.breaker import Outcome
from tokensvc.adapters.http_client import ASKS_PATIENCE, TOO_MANY, HTTPAnswer, HTTPFailureError
from tokensvc.domain.errors import DirectoryUnavailableError

_REFUSALS: Final = 4
"""The class of statuses (4xx) that says: it is not we who are broken."""
_REPEATABLE: Final = frozenset({2, 5})
"""Nonsense under a success, and failures: what was asked for may have been done before that.

A redirect is meant as it is.
"""
_TIMEOUTS: Final = frozenset({"timeout", "connect_timeout"})
_IN_VAIN: Final = frozenset({"tls_failed", "answer_too_large"})
"""What would only happen again."""


class FailedTryError(Exception):
    """One try brought nothing.

    *asked_s* is how long the vendor has asked to be left alone; *is_lost* says
    that what was asked for may have been done, unseen.
    """

    def __init__(
        self,
        meaning: DirectoryUnavailableError,
        *,
        outcome: Outcome,
        may_repeat: bool,
        asked_s: float | None = None,
        is_lost: bool = False,
    ) -> None:
        super().__init__(meaning.reason)
        self.meaning = meaning
        self.outcome = outcome
        self.may_repeat = may_repeat
        self.asked_s = asked_s
        self.is_lost = is_lost


def lost_by(failure: HTTPFailureError) -> FailedTryError:
    """Return what it means that there is no whole answer."""
    return FailedTryError(
        DirectoryUnavailableError(failure.reason),
        outcome=Outcome.TIMED_OUT if failure.reason in _TIMEOUTS else Outcome.FAILED,
        may_repeat=failure.reason not in _IN_VAIN,
        is_lost=failure.is_sent,
    )


def failed_by(answer: HTTPAnswer, meaning: DirectoryUnavailableError) -> FailedTryError:
    """Return what an answer means that brings nothing."""
    status_class = answer.status // 100
    return FailedTryError(
        meaning,
        outcome=Outcome.ANSWERED if status_class == _REFUSALS else Outcome.FAILED,
        may_repeat=answer.status == TOO_MANY or status_class in _REPEATABLE,
        asked_s=answer.retry_after_s if answer.status in ASKS_PATIENCE else None,
        is_lost=status_class in _REPEATABLE,
    )
