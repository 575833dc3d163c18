"""docs/sync.md does what it says: its senders are taken in, and its recipes can be used."""

import json
import re
import shutil
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from werkzeug.serving import make_server

from tests.builders import a_sessions_table, an_environment
from tests.web.signing import SOURCES, a_secret, a_whsec, write_jwks
from tests.web.webhook_service import WebhookService, webhook_service
from tokensvc.settings_loading import load_settings

PAGE = Path(__file__).parents[2] / "docs/sync.md"
PYTHON, COGNITO = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
JAVASCRIPT, FIREBASE = re.findall(r"```js\n(.*?)```", PAGE.read_text(), re.DOTALL)
RECIPES: list[dict[str, Any]] = [
    tomllib.loads(block)["webhooks"][0]
    for block in re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)
]
BODY = {"type": "user.updated", "data": {"id": "alice", "name": "Alice Ü."}}
SECRET = SOURCES["standard"].secret


@dataclass
class Listening:
    """The service on a port, and what is behind it."""

    url: str
    service: WebhookService


@pytest.fixture
def listening() -> Iterator[Listening]:
    """Run the service on loopback, with a source for the app's own backend."""
    service = webhook_service(SOURCES["standard"].table(""), now=time.time)
    server = make_server("127.0.0.1", 0, service.client.application, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield Listening(f"http://127.0.0.1:{server.server_port}/v1/webhooks/standard", service)
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def node() -> str:
    """Return where Node.js is, or skip."""
    found = shutil.which("node")
    if found is None:
        pytest.skip("Node.js was not found; get it with: apt install npm")
    return found


Ended = subprocess.CompletedProcess[str]


def run(*command: str, cwd: Path, **environ: str) -> Ended:
    return subprocess.run(  # noqa: S603 (our own page's code, run by what this test found)
        command, cwd=cwd, env=environ, capture_output=True, text=True, timeout=60, check=False
    )


def in_python(folder: Path, url: str, secret: str) -> Ended:
    (folder / "deliver.py").write_text(PYTHON)
    call = f"deliver({url!r}, {secret!r}, 'msg-1', {json.dumps(BODY).encode()!r})"
    return run(sys.executable, "-c", f"from deliver import deliver\n{call}", cwd=folder)


def in_javascript(node: str, folder: Path, url: str, secret: str) -> Ended:
    (folder / "deliver.mjs").write_text(JAVASCRIPT)
    arguments = ", ".join(json.dumps(text) for text in (url, secret, "msg-1", json.dumps(BODY)))
    script = f'import {{ deliver }} from "./deliver.mjs"; await deliver({arguments});'
    (folder / "run.mjs").write_text(script)
    return run(node, "run.mjs", cwd=folder)


def names(listening: Listening) -> list[str | None]:
    """Return the names in the profiles that were stored."""
    return [event.profile.name for event in listening.service.events() if event.profile]


def test_sender_in_python(listening: Listening, tmp_path: Path) -> None:
    """Its delivery is stored, and stored once when it is sent again."""
    runs = [in_python(tmp_path, listening.url, SECRET) for _ in range(2)]

    assert [run.returncode for run in runs] == [0, 0], runs[0].stderr
    assert names(listening) == ["Alice Ü."]


def test_sender_in_python_with_another_secret(listening: Listening, tmp_path: Path) -> None:
    """A refusal raises."""
    refused = in_python(tmp_path, listening.url, a_whsec("other"))

    assert refused.returncode == 1
    assert "401" in refused.stderr
    assert names(listening) == []


def test_sender_in_javascript(node: str, listening: Listening, tmp_path: Path) -> None:
    """The same in JavaScript."""
    runs = [in_javascript(node, tmp_path, listening.url, SECRET) for _ in range(2)]

    assert [run.returncode for run in runs] == [0, 0], runs[0].stderr
    assert names(listening) == ["Alice Ü."]


def test_sender_in_javascript_with_another_secret(
    node: str, listening: Listening, tmp_path: Path
) -> None:
    """A refusal throws there, too."""
    refused = in_javascript(node, tmp_path, listening.url, a_whsec("other"))

    assert refused.returncode == 1
    assert "tokensvc answered 401" in refused.stderr
    assert names(listening) == []


def test_senders_are_short() -> None:
    """Each fits on half a screen."""
    assert [len(code.strip().splitlines()) for code in (PYTHON, JAVASCRIPT)] == [15, 15]


def test_function_for_cognito(listening: Listening, tmp_path: Path) -> None:
    """Cognito's trigger is handed its events back, and tells of a sign-up alone, with its time."""
    (tmp_path / "deliver.py").write_text(PYTHON)
    (tmp_path / "trigger.py").write_text(COGNITO)
    attributes = {"request": {"userAttributes": {"sub": "5f2c-1", "name": "Ada"}}}
    events = [
        {"triggerSource": f"PostConfirmation_{trigger}", **attributes}
        for trigger in ("ConfirmSignUp", "ConfirmForgotPassword")
    ]
    call = (
        f"from trigger import handler; events = {events!r}; "
        "assert [handler(event, None) for event in events] == events"
    )

    done = run(
        *(sys.executable, "-c", call),
        cwd=tmp_path,
        TOKENSVC_URL=listening.url,
        TOKENSVC_SECRET=SECRET,
    )

    assert done.returncode == 0, done.stderr
    (told,) = listening.service.events()
    assert (told.uid, str(told.kind)) == ("5f2c-1", "created")
    assert told.event_id == f"5f2c-1-{told.version // 1000}"
    assert told.version % 1000 == 0


def test_functions_for_firebase(node: str, listening: Listening, tmp_path: Path) -> None:
    """Firebase's triggers tell of a new and of a deleted user; its package is played by a file."""
    package = tmp_path / "node_modules/firebase-functions"
    package.mkdir(parents=True)
    (package / "package.json").write_text('{"type": "module", "exports": {"./v1": "./v1.js"}}')
    (package / "v1.js").write_text(
        "const hand = (f) => f; export const auth = "
        "{ user: () => ({ onCreate: hand, onDelete: hand }) };"
    )
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "deliver.js").write_text(JAVASCRIPT)
    (tmp_path / "index.js").write_text(FIREBASE)
    user = '{ uid: "u-1", displayName: "Ada", photoURL: null }'
    (tmp_path / "run.js").write_text(
        'import { created, deleted } from "./index.js";'
        f'await created({user}, {{ eventId: "e-1", timestamp: "2027-01-15T08:00:00.000Z" }});'
        f'await deleted({user}, {{ eventId: "e-2", timestamp: "2027-01-15T09:00:00.000Z" }});'
    )

    done = run(node, "run.js", cwd=tmp_path, TOKENSVC_URL=listening.url, TOKENSVC_SECRET=SECRET)

    assert done.returncode == 0, done.stderr
    assert [str(event.kind) for event in listening.service.events()] == ["created", "deleted"]
    assert names(listening) == ["Ada"]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe["source"])
def test_recipe_can_be_used(recipe: dict[str, Any], tmp_path: Path) -> None:
    """With a secret and keys of one's own, each table of the page is accepted as it stands."""
    secret = a_whsec("x") if recipe["sender"] in {"standard", "clerk"} else a_secret("x")
    options = dict(recipe.get("options", {}))
    keys = tmp_path / "secret"
    keys.write_text(secret)
    if "jwks_file" in options:
        options |= {"jwks_file": write_jwks(tmp_path), "algorithms": ["ES256"]}
    files = {"secrets_file": str(keys)} if "secrets_file" in recipe else {}
    table = {**recipe, **files, "options": options}

    settings = load_settings(
        an_environment(
            TOKENSVC_SESSIONS=json.dumps([a_sessions_table(issuer=recipe["issuer"])]),
            TOKENSVC_WEBHOOKS=json.dumps([table]),
        )
    )

    assert settings.webhooks[0].source == recipe["source"]


def test_every_sender_has_a_recipe() -> None:
    """A sender that nobody can set up is none."""
    text = PAGE.read_text()

    senders = {source.sender for source in SOURCES.values()}
    assert [name for name in senders if f'sender = "{name}"' not in text] == []
