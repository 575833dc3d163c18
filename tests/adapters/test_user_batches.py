"""User batches: what goes into one is one request, so that an answer is about all of it or none."""

import pytest

from tests.builders import API_KEY, APP_ID, a_user
from tests.contracts.test_user_directory import a_client
from tokensvc.domain.importing import Batch
from tokensvc.emulator import EmulatorServer


@pytest.mark.parametrize(
    "profile",
    [
        {},
        {"metadata": {str(number): 1 for number in range(420)}},
        {"metadata": {"x": "/" * 4900}},
        {"metadata": {"x": "é" * 800}},
        {"tags": tuple("é" * 98 + str(number) for number in range(25))},
        {"avatar": "https://x.test/" + "/é" * 1400, "name": "é" * 100},
    ],
)
def test_full_batch(profile: dict[str, object]) -> None:
    """However large the users are, and however their bytes are spread."""
    batch = Batch()
    number = 0
    while batch.takes(user := a_user(f"u{number:099}", **profile)):
        batch.add(user)
        number += 1

    with EmulatorServer(app_id=APP_ID, api_key=API_KEY) as emulator:
        results = a_client(emulator.rest_url).import_users(batch.users)

        assert set(results.values()) == {"ok"}
        assert len(emulator.requests) == 1
