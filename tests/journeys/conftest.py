"""The journeys' means: the emulator, the service on it, and a browser."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Playwright, sync_playwright

from tests.builders import API_KEY, APP_ID
from tests.processes import Process, serving
from tokensvc.emulator import EmulatorServer

SDK = Path(__file__).parent / "sdk/node_modules/@cometchat"
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
QUIET = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


@pytest.fixture
def emulator() -> Iterator[EmulatorServer]:
    """Run an offline CometChat for one test."""
    with EmulatorServer(app_id=APP_ID, api_key=API_KEY) as server:
        yield server


@pytest.fixture
def service(emulator: EmulatorServer, tmp_path: Path) -> Iterator[Process]:
    """Run the service, as it is shipped, on the emulator."""
    with serving(
        tmp_path, vendor_url=emulator.url, TOKENSVC_LIMITS__PER_USER="100000 per minute"
    ) as process:
        yield process


@pytest.fixture(scope="session")
def chromium() -> str:
    """Return where Chromium is, or skip."""
    for name in CHROMIUM_NAMES:
        path = shutil.which(name)
        if path:
            return path
    pytest.skip("Chromium was not found; get it with: apt install chromium")


@pytest.fixture(scope="session")
def sdk() -> Path:
    """Return the folder of the vendor's SDK packages, or skip."""
    if not (SDK / "chat-sdk-javascript/CometChat.js").exists():
        pytest.skip("CometChat's SDK was not found; get npm (apt install npm) and run: make test")
    return SDK


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    """Run the browser's driver; its event loop stays the thread's own until it ends."""
    with sync_playwright() as driver:
        yield driver


@pytest.fixture
def launch(chromium: str, playwright: Playwright) -> Iterator[Callable[..., Browser]]:
    """Return how to start a browser with an empty profile; it ends with the test."""
    browsers: list[Browser] = []

    def start(*arguments: str) -> Browser:
        browser = playwright.chromium.launch(executable_path=chromium, args=[*QUIET, *arguments])
        browsers.append(browser)
        return browser

    yield start
    for browser in browsers:
        browser.close()
