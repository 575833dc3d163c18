"""Verdicts: what becomes of an event, by what went wrong and how often it was tried."""

import pytest

from tokensvc.domain.errors import (
    AccountChangedError,
    DirectoryMisconfiguredError,
    DirectoryUnavailableError,
    ProfileRefusedError,
    StorageUnavailableError,
    TokenServiceError,
    UserNotFoundError,
    UserQuotaReachedError,
)
from tokensvc.domain.verdicts import Judge, Verdict

LONGEST, SHORTEST = Judge(lambda: 0.0), Judge(lambda: 1.0)


def waits(judge: Judge, error: Exception, attempts: int) -> float:
    wait_s = judge.verdict(error, attempts=attempts).wait_s
    assert wait_s is not None
    return wait_s


def test_backoff_grows_to_a_quarter_of_an_hour() -> None:
    """One second, then twice as long each time, and never more than 15 minutes."""
    error = AccountChangedError("account_changed")

    found = [waits(LONGEST, error, attempts) for attempts in (1, 2, 3, 10, 11, 10_000)]

    assert found == [1.0, 2.0, 4.0, 512.0, 900.0, 900.0]


def test_full_jitter() -> None:
    """Many who wait for the same neighbour do not come back at the same moment."""
    error = AccountChangedError("account_changed")

    assert waits(Judge(lambda: 0.25), error, 5) == 12.0
    assert waits(SHORTEST, error, 5) == 0.0


def test_what_cometchat_says_of_the_wait_is_the_least() -> None:
    """A Retry-After is waited for, however the dice fall."""
    assert waits(SHORTEST, DirectoryUnavailableError("x", retry_after_s=42.0), 1) == 42.0


@pytest.mark.parametrize(
    "error",
    [
        DirectoryUnavailableError("timeout"),
        DirectoryMisconfiguredError("AUTH_ERR_APIKEY_NOT_FOUND"),
        UserQuotaReachedError("ERR_PLAN_QUOTA_RESTRICTION"),
        StorageUnavailableError("disk_full"),
        UserNotFoundError("ERR_UID_NOT_FOUND"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_is_not_the_events_fault_buries_nothing(error: TokenServiceError) -> None:
    """However long a neighbour is away, the event waits."""
    assert 0.0 < waits(LONGEST, error, 10_000) <= 900.0


@pytest.mark.parametrize(
    ("error", "is_alarm"),
    [
        (DirectoryMisconfiguredError("AUTH_ERR_APIKEY_NOT_FOUND"), True),
        (UserQuotaReachedError("ERR_PLAN_QUOTA_RESTRICTION"), False),
    ],
)
def test_a_person_is_needed(error: TokenServiceError, *, is_alarm: bool) -> None:
    """A wrong key and a full plan are tried slowly; the key is for somebody to look at."""
    assert waits(SHORTEST, error, 1) == 30.0
    assert LONGEST.verdict(error, attempts=1).is_alarm == is_alarm


def test_a_refused_profile_is_buried() -> None:
    """After its third try, with CometChat's code."""
    error = ProfileRefusedError("ERR_BAD_REQUEST")

    assert [waits(LONGEST, error, attempts) for attempts in (1, 2)] == [5.0, 10.0]
    assert LONGEST.verdict(error, attempts=3) == Verdict("ERR_BAD_REQUEST", None, is_alarm=True)


def test_a_defect_is_buried_without_its_text() -> None:
    """What is nobody's known error is tried five times, and quotes nothing."""
    defect = KeyError("alice's secret")

    assert waits(LONGEST, defect, 4) == 40.0
    assert LONGEST.verdict(defect, attempts=5) == Verdict("defect_KeyError", None, is_alarm=True)
