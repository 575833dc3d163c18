"""Canaries that are rotated: old, new and refused secrets, under faults; none of them comes out."""

import json
import secrets
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
import requests

from tests.builders import APP_ID, a_sessions_table, a_token, an_environment, bearer
from tests.cli.test_reload import soon
from tests.processes import Process, serving
from tests.rotating import a_file
from tests.security.test_canaries import requests_of_all_kinds, text_of
from tokensvc.adapters.key_sets import key_from_pem, key_from_secret, keys_from_jwks
from tokensvc.adapters.redis_limits import CurrentCredentials
from tokensvc.adapters.secrets import CurrentKeys, WatchedFile
from tokensvc.emulator import EmulatorServer
from tokensvc.emulator.faults import parse_fault
from tokensvc.rotation import SecretsInForce
from tokensvc.settings_loading import ConfigurationError, load_settings


class Canaries:
    """One set of unique secrets, each in a file of its own."""

    def __init__(self) -> None:
        self.secret, self.previous, self.log_key = (secrets.token_urlsafe(40) for _ in range(3))
        self.api_key = secrets.token_hex(20)
        self.redis_password = secrets.token_hex(16)

    def write(self, folder: Path) -> dict[str, str]:
        """Write the files and return their paths."""
        contents = {
            "secret": self.secret,
            "previous": self.previous,
            "log_key": self.log_key,
            "api_key": self.api_key,
            "redis_url": f"redis://:{self.redis_password}@127.0.0.1:9/0",
        }
        return {name: a_file(folder, name, content) for name, content in contents.items()}

    def values(self) -> tuple[str, ...]:
        """Return what must not come out."""
        return (self.secret, self.previous, self.log_key, self.api_key, self.redis_password)


FAULTS: Final = (
    *("status=401", "status=500", "429=junk", "reset", "reset-in-body", "truncated"),
    *("wrong-length", "html", "empty", "not-json", "wrong-uid", "huge", "gzip-bomb"),
    *("redirect=https://x.test/", "late-500"),
)


def an_environment_of(files: dict[str, str]) -> dict[str, str]:
    table = a_sessions_table(
        secret=None, secret_file=files["secret"], secret_previous_file=files["previous"]
    )
    return {
        "TOKENSVC_SESSIONS": json.dumps([table]),
        "TOKENSVC_COMETCHAT__API_KEY": "",
        "TOKENSVC_COMETCHAT__API_KEY_FILE": files["api_key"],
        "TOKENSVC_AUDIT__LOG_KEY": "",
        "TOKENSVC_AUDIT__LOG_KEY_FILE": files["log_key"],
        "TOKENSVC_LIMITS__STORAGE_URL_FILE": files["redis_url"],
        "TOKENSVC_LIMITS__PER_USER": "1000 per minute",
        "TOKENSVC_HTTP__SERVER_TIMING": "true",
        "TOKENSVC_HTTP__METRICS": "true",
    }


def say_everything(process: Process, *canaries: str) -> list[requests.Response]:
    """Send each canary where a text of the client's is written down, and look at the metrics."""
    endpoint = f"{process.url}/v1/auth-tokens"
    return [
        *(
            requests.post(
                endpoint,
                headers={**bearer(a_token(key=canaries[0], jti=canary)), "User-Agent": canary},
                timeout=10,
            )
            for canary in canaries
        ),
        *(requests.get(f"{process.url}/{canary}", timeout=10) for canary in canaries),
        *(requests.get(f"{process.url}/{path}", timeout=10) for path in ("metrics", "docs")),
        requests.get(f"{process.url}/openapi.json", timeout=10),
    ]


def test_nothing_comes_out_of_rotation(tmp_path: Path) -> None:
    """Of old, new and refused secrets none is ever said, whatever CometChat does meanwhile."""
    old, new, refused = Canaries(), Canaries(), f"change-me-{secrets.token_hex(16)}"
    with (
        EmulatorServer(app_id=APP_ID, api_key=old.api_key) as emulator,
        serving(
            tmp_path, vendor_url=emulator.url, **an_environment_of(old.write(tmp_path))
        ) as process,
    ):
        answers = requests_of_all_kinds(process.url, a_token(key=old.secret))
        new.write(tmp_path)
        emulator.world.add_app(APP_ID, region="us", api_key=new.api_key)
        reloaded = "secret_reloaded"
        assert soon(lambda: process.stdout.read_text().count(reloaded) == 5)
        a_file(tmp_path, "secret", refused)
        assert soon(lambda: "secret_refused" in process.stdout.read_text())
        for fault in FAULTS:
            emulator.faults.order(parse_fault(f"{fault};times=1", time.time()))
            answers.append(
                requests.post(
                    f"{process.url}/v1/auth-tokens",
                    headers=bearer(a_token(key=new.secret)),
                    timeout=10,
                )
            )
        answers += say_everything(process, *new.values(), *old.values())
        process.end()

    said = process.stdout.read_text() + process.stderr.read_text()
    said += "".join(map(text_of, answers))
    assert [canary for canary in (*old.values(), *new.values(), refused) if canary in said] == []
    assert {answer.status_code for answer in answers} >= {200, 201, 401, 404, 502, 503}
    assert any("tokensvc_requests_total" in answer.text for answer in answers)


CANARY: Final = "canary-" + secrets.token_hex(24)
PEM: Final = f"-----BEGIN PUBLIC KEY-----\n{CANARY}\n-----END PUBLIC KEY-----\n"


def refused_settings(**changes: Any) -> None:
    load_settings(an_environment(**changes))


@pytest.mark.parametrize(
    "raising",
    [
        lambda: key_from_secret(CANARY[:20].encode(), ["HS256"]),
        lambda: key_from_secret(PEM.encode(), ["HS256"]),
        lambda: key_from_pem(PEM.encode(), ["RS256"]),
        lambda: key_from_pem(CANARY.encode(), ["RS256"]),
        lambda: keys_from_jwks(CANARY.encode(), ["RS256"]),
        lambda: keys_from_jwks(
            json.dumps({"keys": [{"kty": "RSA", "n": CANARY, "e": CANARY}]}).encode(), ["RS256"]
        ),
        lambda: refused_settings(TOKENSVC_COMETCHAT__API_KEY=f"{CANARY} "),
        lambda: refused_settings(TOKENSVC_LIMITS__STORAGE_URL=f"redis://:[{CANARY}@h"),
        lambda: refused_settings(TOKENSVC_SESSIONS=f'[{{"secret": "{CANARY}"}}]'),
        lambda: refused_settings(TOKENSVC_AUDIT__LOG_KEY=f"change-me-{CANARY}"),
    ],
)
def test_exceptions_quote_no_secret(raising: Callable[[], object]) -> None:
    """What is raised about a secret does not hold it, in its text or in its traceback."""
    with pytest.raises((ValueError, ConfigurationError)) as raised:
        raising()

    shown = "".join(traceback.format_exception(raised.value)) + repr(raised.value)
    # Lines of this very file are the test's, and name the variable alone.
    assert CANARY[:20] not in shown


def test_holders_do_not_print_their_secrets() -> None:
    """Whatever holds a secret in force can be printed."""
    settings = load_settings(
        an_environment(
            TOKENSVC_COMETCHAT__API_KEY=CANARY,
            TOKENSVC_LIMITS__STORAGE_URL=f"redis://:{CANARY}@127.0.0.1:9/0",
            TOKENSVC_SESSIONS=json.dumps([a_sessions_table(secret=CANARY)]),
        )
    )
    in_force = SecretsInForce(settings, mask=lambda _: None)

    shown = [
        repr(settings),
        str(settings),
        repr(in_force),
        repr(in_force.session_keys),
        repr(key_from_secret(CANARY.encode(), ["HS256"])),
        repr(CurrentKeys(key_from_secret(CANARY.encode(), ["HS256"]))),
        repr(CurrentCredentials(in_force.storage_url)),
        *(repr(file) for file in in_force.files()),
        repr(WatchedFile("x", Path("x"), lambda: True)),
    ]
    assert CANARY not in "".join(shown)
