"""The README's client in JavaScript does what the README says, in a browser."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route

README = Path(__file__).parents[2] / "README.md"
CLIENT = re.compile(r"```js\n(async function chatLogin.*?)```", re.DOTALL)
ENDPOINT = "https://tokens.example.com/v1/auth-tokens"
AROUND = """
    window.loggedIn = [];
    const CometChat = { login: async (token) => { loggedIn.push(token); return "in"; } };
    const renewSession = async () => "renewed";
    setTimeout = ((later) => (done, ms) => { waited.push(ms); later(done, 0); })(setTimeout);
    window.waited = [];
"""
GOOD = (201, {"authToken": "alice_1"})
BUSY = (503, {"code": "directory_unavailable", "action": "retry", "retryAfter": 7})
EXPIRED = (401, {"code": "session_expired", "action": "reauthenticate"})
DAY = (429, {"code": "rate_limited", "action": "retry", "retryAfter": 86399})
PAGE = (502, None)
"""A proxy's own page, which is no JSON."""
DEACTIVATED = (403, {"code": "user_deactivated", "action": "stop", "requestId": "r-1"})


class Client:
    """The README's function in a page, and a service that answers as it is told."""

    def __init__(self, page: Page, *answers: tuple[int, dict[str, Any] | None]) -> None:
        self.page = page
        self.answers = list(answers)
        self.tokens: list[str] = []
        page.route(ENDPOINT, self._answer)
        # A page that Chromium lets fetch from anywhere: the route answers, nothing travels.
        page.route("https://app.example.com/", lambda route: route.fulfill(body="<p>app</p>"))
        page.goto("https://app.example.com/")
        (code,) = CLIENT.findall(README.read_text())
        page.evaluate(f"() => {{ {AROUND} {code} window.chatLogin = chatLogin; }}")

    def login(self) -> str:
        """Return what came of a login: the SDK's word, or the message of the error."""
        came: str = self.page.evaluate("chatLogin('session').catch((error) => error.message)")
        return came

    def _answer(self, route: Route) -> None:
        self.tokens.append(route.request.headers.get("authorization", ""))
        status, body = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        headers = {"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Headers": "*"}
        if status == 0:
            route.abort()
        else:
            text = json.dumps(body) if body else "<html>Bad gateway</html>"
            route.fulfill(status=status, body=text, headers=headers)


@pytest.fixture
def page(launch: Callable[..., Browser]) -> Page:
    """Open an empty page."""
    return launch().new_page()


@pytest.mark.browser
def test_client_logs_in(page: Page) -> None:
    """The auth token goes to the SDK."""
    client = Client(page, GOOD)

    assert client.login() == "in"
    assert client.tokens == ["Bearer session"]
    assert page.evaluate("loggedIn") == ["alice_1"]


@pytest.mark.browser
def test_client_waits_and_retries(page: Page) -> None:
    """`retry` is followed after as many seconds as the answer says, and up to two more."""
    client = Client(page, BUSY, GOOD)

    assert client.login() == "in"
    (waited_ms,) = page.evaluate("waited")
    assert 7_000 <= waited_ms < 9_000


@pytest.mark.browser
def test_clients_do_not_come_back_together(page: Page) -> None:
    """Each try waits longer than was asked for, by a random part that grows."""
    client = Client(page, BUSY)
    for _ in range(20):
        client.login()

    waited_ms: list[float] = page.evaluate("waited")
    for tries in range(5):
        apart_ms = [waited - 7_000 for waited in waited_ms[tries::5]]
        assert len(set(apart_ms)) == 20
        assert 0 <= min(apart_ms) <= max(apart_ms) < 2_000 * 2**tries
    assert max(waited_ms) > 7_000 + 8_000


@pytest.mark.browser
def test_client_gives_up(page: Page) -> None:
    """A service that stays busy is not asked for ever."""
    client = Client(page, BUSY)

    assert "directory_unavailable" in client.login()
    assert len(client.tokens) == 6


@pytest.mark.browser
@pytest.mark.parametrize("nothing", [PAGE, (0, None)], ids=["a proxy's page", "no network"])
def test_client_survives_what_stands_between(page: Page, nothing: tuple[int, None]) -> None:
    """A page of a proxy or a lost connection is tried again, and named when it stays."""
    client = Client(page, nothing, GOOD)
    assert client.login() == "in"

    client = Client(page, nothing)
    assert "unreachable" in client.login()


@pytest.mark.browser
def test_client_does_not_wait_for_a_day(page: Page) -> None:
    """Over the day's limit the user is told, instead of a client that sleeps till tomorrow."""
    client = Client(page, DAY)

    assert "rate_limited" in client.login()
    assert page.evaluate("waited") == []


@pytest.mark.browser
def test_client_renews_its_session_once(page: Page) -> None:
    """`reauthenticate` is followed once; a second refusal is the end."""
    client = Client(page, EXPIRED)

    assert "session_expired" in client.login()
    assert client.tokens == ["Bearer session", "Bearer renewed"]


@pytest.mark.browser
def test_client_stops(page: Page) -> None:
    """`stop` is told to the user, with what the operators need to find it."""
    client = Client(page, DEACTIVATED)

    assert client.login() == "chat is not available (user_deactivated, r-1)"
    assert len(client.tokens) == 1
