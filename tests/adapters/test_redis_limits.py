"""Where the Redis of the limits is, and who we are there."""

import pytest

from tests.fakes import Notices
from tokensvc.adapters.redis_limits import CurrentCredentials, shared_options, without_credentials


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        ("redis://:p%40ss@127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        ("rediss://user:pass@redis.test:6380/2?x=1", "rediss://redis.test:6380/2?x=1"),
        ("redis+unix://:pass@/run/redis.sock?db=1", "redis+unix:///run/redis.sock?db=1"),
    ],
)
def test_place_is_told_from_credentials(url: str, place: str) -> None:
    """Each kind of URL has a place without them, which the library takes."""
    assert without_credentials(url) == place
    assert shared_options(lambda: url, notify=Notices(), login_window_s=60)["redis"]


@pytest.mark.parametrize(
    ("url", "credentials"),
    [
        ("redis://:p%40ss@h", ("p@ss",)),
        ("redis://user:p%23ss@h", ("user", "p#ss")),
        ("redis://us%2Fer:pass@h", ("us/er", "pass")),
        ("redis://user@h", ("user", "")),
    ],
)
def test_credentials_are_those_of_the_url(url: str, credentials: tuple[str, ...]) -> None:
    """User and password are decoded, and asked for anew each time."""
    current = ["redis://:before@h"]
    provider = CurrentCredentials(lambda: current[0])
    before = provider.get_credentials()
    current[0] = url

    assert before == ("before",)
    assert provider.get_credentials() == credentials
