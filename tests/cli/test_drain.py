"""How long a worker that is told to end may take."""

import pytest

from tests.builders import settings
from tokensvc.cli.serve import drain_s


@pytest.mark.parametrize("deadline_s", [0.5, 5.0, 14.0, 59.5, 60.0])
def test_drain_is_longer_than_any_login(deadline_s: float) -> None:
    """A login that was let in is answered, whatever deadline the operator has set."""
    chosen = settings(cometchat={"total_timeout_s": deadline_s})

    assert drain_s(chosen) >= deadline_s + 5


def test_drain_is_short_by_default() -> None:
    """Nobody who has set nothing waits longer than before."""
    assert drain_s(settings()) == 15
