"""Open files: few are no reason to spin, and many none to keep ever more connections."""

import resource

import pytest

from tests.builders import settings
from tokensvc.cli.open_files import MAX_CONNECTIONS, most_connections


@pytest.mark.parametrize(
    ("files", "connections"),
    [
        (resource.RLIM_INFINITY, MAX_CONNECTIONS),
        (1_000_000, MAX_CONNECTIONS),
        (1_024, 544),
        (100, 1),
    ],
)
def test_some_files_are_left(monkeypatch: pytest.MonkeyPatch, files: int, connections: int) -> None:
    """For calls to CometChat, for Redis, and for what else is open."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (0, files))

    assert (
        most_connections(settings(cometchat={"max_in_flight": 160}, server={"threads": 256}))
        == connections
    )
