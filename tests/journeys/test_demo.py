"""The demo, as `make run` starts it: its page in a browser, and what it prints."""

import os
import re
import shlex
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, Page, expect

from tests.cli.test_commands import DEVELOPMENT, run
from tests.ports import a_free_port
from tests.processes import Process, running

ROOT = Path(__file__).parents[2]
SCREENSHOTS = os.environ.get("TOKENSVC_SCREENSHOTS")
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Process]:
    """Run `tokensvc demo` on free ports."""
    page_port, service_port, emulator_port = (a_free_port() for _ in range(3))
    with running(
        tmp_path,
        *("--config", str(ROOT / "config/development.toml"), "demo"),
        *("--port", str(page_port), "--service-port", str(service_port)),
        *("--emulator-port", str(emulator_port)),
        url=f"http://127.0.0.1:{service_port}",
        environ={},
    ) as process:
        process.url = f"http://127.0.0.1:{page_port}"
        yield process


@pytest.fixture(params=[DESK, PHONE], ids=["desk", "phone"])
def page(
    demo: Process, launch: Callable[..., Browser], request: pytest.FixtureRequest
) -> Iterator[Page]:
    """Open the page on a desk's and on a phone's screen; any error in it fails the test."""
    faults: list[str] = []
    opened = launch().new_page(viewport=request.param)
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("requestfailed", lambda failed: faults.append(failed.url))
    hosts: set[str] = set()
    opened.on("request", lambda sent: hosts.add(sent.url.split("/")[2].split(":")[0]))
    opened.goto(f"{demo.url}/")
    yield opened
    if SCREENSHOTS:
        name = re.sub(r"\W+", "-", request.node.name)
        opened.screenshot(path=f"{SCREENSHOTS}/{name}.png", full_page=True)
    assert faults == []
    assert hosts == {"127.0.0.1"}


def fits(page: Page) -> bool:
    """Return whether nothing sticks out to the side."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


@pytest.mark.browser
def test_first_login_is_drawn(page: Page) -> None:
    """A login shows its steps with their times, and the answer."""
    page.get_by_role("button", name="bob").click()
    page.get_by_role("button", name="Log in").click()

    expect(page.locator("#status")).to_have_text("201")
    expect(page.locator("#body")).to_contain_text('"uid": "bob"')
    labels = page.locator(".step .label").all_inner_texts()
    assert "ERR_UID_NOT_FOUND" in labels
    assert labels.index("create auth token") < labels.index("create user")
    assert re.fullmatch(r"\d+\.\d ms", page.locator(".step .took").nth(1).inner_text())
    assert fits(page)


@pytest.mark.browser
@pytest.mark.parametrize(
    ("button", "outcome"),
    [
        ("Log in", "201: alice has an auth token"),
        ("Deactivated user", "403 user_deactivated: stop"),
    ],
)
def test_outcome_comes_into_view(page: Page, button: str, outcome: str) -> None:
    """On a small screen too, whoever presses a button sees what came of it."""
    page.get_by_role("button", name=button).click()

    expect(page.locator("#outcome")).to_have_text(outcome)
    expect(page.locator("#outcome")).to_be_in_viewport()


@pytest.mark.browser
def test_returning_login_is_shorter(page: Page) -> None:
    """The second login of a user shows one call to CometChat."""
    page.get_by_role("button", name="Log in").click()
    expect(page.locator("#body")).to_contain_text('"userCreated": true')

    page.get_by_role("button", name="Log in").click()

    expect(page.locator("#body")).to_contain_text('"userCreated": false')
    assert "create user" not in page.locator(".step .label").all_inner_texts()


@pytest.mark.browser
@pytest.mark.parametrize(
    ("button", "status", "code", "action"),
    [
        ("Expired session", "401", "session_expired", "reauthenticate"),
        ("Over the limit", "429", "rate_limited", "retry"),
        ("Deactivated user", "403", "user_deactivated", "stop"),
    ],
)
def test_refusals_are_shown(page: Page, button: str, status: str, code: str, action: str) -> None:
    """Each way to be refused has a button, and shows the problem and what a client does."""
    page.get_by_role("button", name=button).click()

    expect(page.locator("#status")).to_have_text(status)
    expect(page.locator("#body")).to_contain_text(f'"code": "{code}"')
    expect(page.locator("#advice")).to_contain_text(f"{action}:")
    assert fits(page)


@pytest.mark.browser
def test_typed_user_that_is_no_uid(page: Page) -> None:
    """Whoever types an e-mail address sees why that is no uid, and nothing is run as HTML."""
    page.get_by_label("or type a user id").fill("<img src=x onerror=alert(1)>")
    page.get_by_role("button", name="Log in").click()

    expect(page.locator("#body")).to_contain_text("uid_not_allowed")
    assert page.locator("main img").count() == 0


def test_demo_prints_what_a_newcomer_needs(demo: Process) -> None:
    """The page's address, a session token and a curl line that works."""
    requests.get(f"{demo.url}/", timeout=5).raise_for_status()
    printed = _printed(demo, "Ctrl-C")

    endpoint, token = re.findall(
        r"curl -i -X POST (\S+) -H 'Authorization: Bearer (\S+)'", printed
    )[0]
    answer = requests.post(endpoint, headers={"Authorization": f"Bearer {token}"}, timeout=5)
    assert f"{demo.url}/" in printed
    assert (answer.status_code, answer.json()["uid"]) == (201, "alice")


def test_demo_prints_how_to_look_inside(demo: Process) -> None:
    """In a terminal that has none of its variables the line shows this demo's database."""
    printed = _printed(demo, "Ctrl-C")
    token = re.findall(r"Bearer (\S+)'", printed)[0]
    service = re.findall(r"Service +(\S+)", printed)[0]
    headers = {"Authorization": f"Bearer {token}"}
    requests.post(f"{service}/v1/auth-tokens", headers=headers, timeout=5).raise_for_status()
    line = re.findall(r"^TOKENSVC_.* sync status$", printed, re.MULTILINE)[0]

    def shown(*words: str) -> str:
        asked = line.removesuffix(" sync status") + " " + shlex.join(words)
        bare = {"PATH": "/usr/bin:/bin", "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
        done = subprocess.run(["sh", "-c", asked], env=bare, capture_output=True, text=True)  # noqa: S603, S607, PLW1510 (what is printed is to be pasted)
        return done.stdout + done.stderr

    assert str(demo.stdout.with_name("tokensvc.db")) in shown("db", "status")
    assert re.search(r"^waiting +\d+$", shown("sync", "status"), re.MULTILINE)
    assert "alice: live at CometChat" in shown("users", "show", "alice")


def _printed(demo: Process, last: str) -> str:
    """Return what the demo has printed, once *last* is there."""
    for _ in range(100):
        printed = demo.stdout.read_text()
        if last in printed:
            return printed
        requests.get(f"{demo.url}/place", timeout=5)
    raise AssertionError(demo.stdout.read_text())


@pytest.mark.parametrize("host", ["evil.test", "127.0.0.1.evil.test:80"])
def test_demo_answers_nobody_elses_page(demo: Process, host: str) -> None:
    """Another page that gets here by its own host name can sign nobody in."""
    answer = requests.post(
        f"{demo.url}/sign-in", json={"user": "alice"}, headers={"Host": host}, timeout=5
    )

    assert (answer.status_code, "sessionToken" in answer.text) == (421, False)


@pytest.mark.parametrize(
    "wish", [None, [], {}, {"user": ""}, {"user": 7}, {"user": "x" * 101}, {"user": "a", "kind": 1}]
)
def test_demo_refuses_odd_wishes(demo: Process, wish: object) -> None:
    """The demo's own endpoint answers mistakes with a sentence."""
    answer = requests.post(f"{demo.url}/sign-in", json=wish, timeout=5)

    assert answer.status_code in {400, 415}
    assert answer.json()["error"]


def test_demo_with_half_of_a_real_app(tmp_path: Path) -> None:
    """Two of the three variables are a mistake, and the third is named."""
    with (
        pytest.raises(AssertionError, match="TOKENSVC_COMETCHAT__API_KEY"),
        running(
            tmp_path,
            *("--config", str(ROOT / "config/development.toml"), "demo"),
            url="http://127.0.0.1:9",
            environ={"TOKENSVC_COMETCHAT__APP_ID": "x", "TOKENSVC_COMETCHAT__REGION": "us"},
        ),
    ):
        pytest.fail("it started")


def test_demo_names_all_ports_that_are_taken() -> None:
    """Each with the option that chooses another."""
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as two,
    ):
        ports = [str(taken.getsockname()[1]) for taken in (one, two)]
        done = run("demo", "--service-port", ports[0], "--port", ports[1], environ=DEVELOPMENT)

    assert done.returncode == 1
    assert f"{ports[0]} (--service-port)" in done.stderr
    assert f"{ports[1]} (--port)" in done.stderr


def test_demo_without_settings_says_which_to_use() -> None:
    """Outside of `make run` somebody is told what to type, not what four settings lack."""
    done = run("demo", environ={})

    assert done.returncode == 2
    assert "--config config/development.toml demo" in done.stderr


@pytest.mark.parametrize("is_file", [False, True], ids=["key", "key file"])
def test_demo_of_a_real_app(tmp_path: Path, *, is_file: bool) -> None:
    """With an app of one's own there is no emulator, and the published secret opens nothing."""
    page_port, service_port = a_free_port(), a_free_port()
    key = "3c9d1e5f7a2b4068ace13579bdf02468"
    (tmp_path / "key").write_text(key)
    api_key = {"API_KEY_FILE": str(tmp_path / "key")} if is_file else {"API_KEY": key}
    real = {"APP_ID": "0realapp0", "REGION": "us", **api_key}
    with running(
        tmp_path,
        *("--config", str(ROOT / "config/development.toml"), "demo"),
        *("--port", str(page_port), "--service-port", str(service_port)),
        url=f"http://127.0.0.1:{service_port}",
        environ={f"TOKENSVC_COMETCHAT__{name}": value for name, value in real.items()},
    ) as process:
        process.url = f"http://127.0.0.1:{page_port}"
        printed = _printed(process, "Ctrl-C")
        place = requests.get(f"{process.url}/place", timeout=5).json()
        published = run("session-token", "--sub", "ceo", environ=DEVELOPMENT).stdout.strip()
        # Only a token that is refused is sent: a good one would call the real CometChat.
        refused = requests.post(
            place["endpoint"], headers={"Authorization": f"Bearer {published}"}, timeout=5
        )

    assert place["cometchat"] == "https://0realapp0.api-us.cometchat.io/v3"
    assert place["deactivatedUser"] is None
    assert "Authorization: Bearer eyJ" in printed
    assert refused.json()["code"] == "session_invalid"


def test_demo_ends_with_everything(demo: Process) -> None:
    """Ctrl-C ends the page, the service and the emulator."""
    assert demo.interrupt() == 0
    with pytest.raises(requests.ConnectionError):
        requests.get(demo.url, timeout=2)
