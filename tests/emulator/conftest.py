"""What every test of the emulator may ask for."""

from collections.abc import Iterator

import pytest

from tests.emulator.emulated import Caller, a_caller


@pytest.fixture
def vendor() -> Iterator[Caller]:
    """Run an emulator with every switch as it comes, and call it."""
    with a_caller() as caller:
        yield caller


@pytest.fixture
def alice(vendor: Caller) -> str:
    """Have a user there, and return her uid."""
    vendor.create("alice")
    return "alice"
