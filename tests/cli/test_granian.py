"""The server of the service: it is given what the machine has room for."""

from importlib import import_module
from typing import Any

import pytest

from tests.builders import settings

SERVE = import_module("tokensvc.cli.serve")
"""The module: the package calls the command by the same name."""


@pytest.mark.parametrize(("configured", "workers"), [(0, 3), (5, 5)])
def test_server_gets_what_there_is_room_for(
    monkeypatch: pytest.MonkeyPatch, configured: int, workers: int
) -> None:
    """Processes for the CPU quota unless somebody chose, and connections for the open files."""
    given: dict[str, Any] = {}
    monkeypatch.setattr(SERVE, "Granian", lambda _, **options: given.update(options))
    monkeypatch.setattr(SERVE, "default_workers", lambda: 3)
    monkeypatch.setattr(SERVE, "most_connections", lambda _: 77)

    SERVE.granian_of(settings(server={"workers": configured}), "127.0.0.1")

    assert (given["workers"], given["backpressure"]) == (workers, 77)
