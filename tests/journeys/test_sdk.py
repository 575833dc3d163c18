"""CometChat's own SDK, unmodified, in a browser: what it makes of a token that we issued."""

import functools
import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, Page

from tests.builders import API_KEY, APP_ID, a_token, bearer
from tests.journeys.certificates import Certificate, a_certificate
from tests.processes import Process, serving
from tokensvc.emulator import EmulatorServer

pytestmark = pytest.mark.browser

PAGE = """<!doctype html><title>sdk</title><link rel="icon" href="data:,">
<script src="chat-sdk-javascript/CometChat.js"></script>"""
LOG_IN = """async ([appId, token]) => {
  const { CometChat } = window.CometChat?.CometChat ? window.CometChat : window;
  const settings = new CometChat.AppSettingsBuilder().setRegion("us").build();
  await CometChat.init(appId, settings);
  try {
    const user = await CometChat.login(token);
    return { uid: user.getUid(), name: user.getName(), token: user.getAuthToken() };
  } catch (error) {
    return { code: error.code, message: error.message };
  }
}"""


class QuietFiles(http.server.SimpleHTTPRequestHandler):
    """Serves files and writes no log."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the library's name)
        """Write nothing."""


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    """Return a certificate for CometChat's host names."""
    return a_certificate(tmp_path)


@pytest.fixture
def emulator(certificate: Certificate) -> Iterator[EmulatorServer]:
    """Run the emulator over https, as the SDK wants it."""
    with EmulatorServer(
        app_id=APP_ID, api_key=API_KEY, tls_cert=certificate.cert, tls_key=certificate.key
    ) as server:
        yield server


@pytest.fixture
def service(
    emulator: EmulatorServer, certificate: Certificate, tmp_path: Path
) -> Iterator[Process]:
    """Run the service on it; it trusts the certificate as its bundle."""
    with serving(
        tmp_path,
        vendor_url=emulator.url.replace("127.0.0.1", "localhost"),
        TOKENSVC_COMETCHAT__CA_FILE=str(certificate.cert),
    ) as process:
        yield process


@pytest.fixture
def page(
    sdk: Path,
    tmp_path: Path,
    launch: Callable[..., Browser],
    emulator: EmulatorServer,
    certificate: Certificate,
) -> Iterator[Page]:
    """Open a page with the SDK; its host names lead to the emulator and nowhere else."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "index.html").write_text(PAGE)
    (site / "chat-sdk-javascript").symlink_to(sdk / "chat-sdk-javascript")
    handler = functools.partial(QuietFiles, directory=str(site))
    files = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=files.serve_forever, args=(0.02,), daemon=True).start()
    browser = launch(
        f"--host-resolver-rules=MAP *.cometchat.io:443 127.0.0.1:{emulator.port}, "
        "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        f"--ignore-certificate-errors-spki-list={certificate.pin}",
    )
    opened = browser.new_page()
    opened.goto(f"http://127.0.0.1:{files.server_port}/")
    yield opened
    browser.close()
    files.shutdown()
    files.server_close()


def a_token_of_ours(service: Process) -> str:
    """Log alice in and return her auth token."""
    answer = requests.post(
        f"{service.url}/v1/auth-tokens", headers=bearer(a_token(name="Alice A.")), timeout=10
    )
    token: str = answer.json()["authToken"]
    return token


def logins_at(emulator: EmulatorServer) -> list[tuple[str, str, int]]:
    """Return what the SDK asked the client side to log in, and what it was told."""
    return [
        (entry.host, entry.headers.get("authtoken", ""), entry.status)
        for entry in emulator.requests
        if (entry.method, entry.path) == ("PUT", "/v3.0/me")
    ]


def test_sdk_logs_in_with_our_token(page: Page, service: Process, emulator: EmulatorServer) -> None:
    """login(authToken) resolves with the right user, after exactly one PUT /me."""
    token = a_token_of_ours(service)

    user = page.evaluate(LOG_IN, [APP_ID, token])

    assert user == {"uid": "alice", "name": "Alice A.", "token": token}
    assert logins_at(emulator) == [(f"{APP_ID}.apiclient-us.cometchat.io", token, 200)]


@pytest.mark.parametrize("how", ["made up", "flushed", "deactivated"])
def test_sdk_is_refused(page: Page, service: Process, emulator: EmulatorServer, how: str) -> None:
    """A token that is none, or none any more, is refused with the vendor's own error."""
    token = a_token_of_ours(service)
    if how == "made up":
        token = f"alice_1800000000{'0' * 30}"
    elif how == "flushed":
        emulator.world.apps[APP_ID].end_tokens("alice")
    else:
        emulator.world.apps[APP_ID].users["alice"].deactivated_at = 1

    refusal = page.evaluate(LOG_IN, [APP_ID, token])

    assert refusal["code"] == "AUTH_ERR_AUTH_TOKEN_NOT_FOUND"
    assert token in refusal["message"]
    assert [status for _, _, status in logins_at(emulator)] == [401]
