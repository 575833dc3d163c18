"""The keys command: what an operator sees, and how soon every process follows."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.builders import SECRET, a_sessions_table, an_environment, bearer
from tests.cli.test_commands import run
from tests.processes import Process, serving
from tests.raw_server import an_answer, raw_server
from tests.remote_issuers import (
    Provider,
    a_provider,
    a_remote_table,
    a_set,
    a_signer,
    published,
)
from tests.security.forging import ED, RS, Signer, pem, token
from tokensvc.adapters.key_copies import KeyCopy
from tokensvc.adapters.key_store import KeyStore

NEW = a_signer(kid="key-2")
WITHIN_S = 10.0
LOGIN = json.dumps({"data": {"uid": "alice", "authToken": "alice_1"}}).encode()


@pytest.fixture
def provider() -> Iterator[Provider]:
    with a_provider(published(RS, cache_control="max-age=3600")) as running:
        yield running


def environ_of(folder: Path, *tables: dict[str, Any]) -> dict[str, str]:
    return an_environment(
        TOKENSVC_SESSIONS=json.dumps(list(tables)), TOKENSVC_KEYS__DIRECTORY=str(folder / "keys")
    )


def signed(signer: Signer) -> str:
    """Return a token of *signer* that is good now."""
    now = time.time()
    return token(signer, payload={"iat": now, "exp": now + 600})


# Refresh.


def test_refresh_says_what_changed(tmp_path: Path, provider: Provider) -> None:
    """The first fetch adds, the next one says what came and went, the third that nothing did."""
    environ = environ_of(tmp_path, a_remote_table(jwks_url=provider.jwks_url))
    first = run("keys", "refresh", environ=environ)
    provider.answer = published(NEW)
    second = run("keys", "refresh", environ=environ)
    third = run("keys", "refresh", environ=environ)

    assert [done.returncode for done in (first, second, third)] == [0, 0, 0]
    assert first.stdout == f"{RS.issuer}: fetched; this changed:\n  added     key-1  RS256\n"
    assert second.stdout.splitlines()[1:] == [
        "  added     key-2  RS256",
        "  removed   key-1  RS256",
    ]
    assert third.stdout == f"{RS.issuer}: fetched; nothing changed\n"


def test_refresh_of_a_replaced_key(tmp_path: Path, provider: Provider) -> None:
    """Another key under the same kid does not go unnoticed."""
    environ = environ_of(tmp_path, a_remote_table(jwks_url=provider.jwks_url))
    run("keys", "refresh", environ=environ)
    provider.answer = published(a_signer())

    assert "  replaced  key-1  RS256\n" in run("keys", "refresh", environ=environ).stdout


def test_refresh_after_the_clock_was_set_back(tmp_path: Path, provider: Provider) -> None:
    """A set that was not kept is not told as if it were: the removed key is still in use."""
    environ = environ_of(tmp_path, a_remote_table(jwks_url=provider.jwks_url))
    store = KeyStore(tmp_path / "keys", now=lambda: time.time() + 50)
    store.save(KeyCopy(RS.issuer, provider.jwks_url, time.time() + 45, 300.0, a_set(RS)))
    provider.answer = published(NEW)

    done = run("keys", "refresh", environ=environ)

    assert (done.returncode, done.stdout) == (1, "")
    assert "fetched, but not kept: copy_from_the_future" in done.stderr


def test_refresh_that_fails(tmp_path: Path, provider: Provider) -> None:
    """An issuer that cannot be fetched is named and exits with 1; the others are fetched."""
    tables = (
        a_remote_table(jwks_url="http://localhost:9/jwks", uid_prefix="a-"),
        a_remote_table(
            Signer("https://b.example.test", "RS256", RS.key),
            jwks_url=provider.jwks_url,
            uid_prefix="b-",
        ),
    )
    done = run("keys", "refresh", environ=environ_of(tmp_path, *tables))

    assert done.returncode == 1
    assert done.stderr == (f"{RS.issuer}: not fetched: connection_failed; the old set stays\n")
    assert done.stdout.startswith("https://b.example.test: fetched")


def test_refused_set_leaves_the_old_one(tmp_path: Path, provider: Provider) -> None:
    """A set that is refused says why, and the old one is still there."""
    environ = environ_of(tmp_path, a_remote_table(jwks_url=provider.jwks_url))
    run("keys", "refresh", environ=environ)
    provider.answer = an_answer(b'{"keys": []}')
    failed = run("keys", "refresh", environ=environ)
    shown = run("keys", "show", environ=environ)

    assert failed.returncode == 1
    assert "keys_refused (the JWKS has no key for the algorithms of this issuer)" in failed.stderr
    assert "key-1" in shown.stdout


def test_refresh_without_a_directory(tmp_path: Path, provider: Provider) -> None:
    """What cannot be kept reaches no process, and that is a failure."""
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys").chmod(0o777)
    environ = environ_of(tmp_path, a_remote_table(jwks_url=provider.jwks_url))
    done = run("keys", "refresh", environ=environ)

    assert done.returncode == 1
    assert done.stderr == f"{RS.issuer}: fetched, but not kept: directory_open_to_others\n"


def test_refresh_of_one_issuer(tmp_path: Path, provider: Provider) -> None:
    """One issuer can be chosen; one that is unknown or has no URL is a mistake."""
    tables = (
        a_remote_table(jwks_url=provider.jwks_url, uid_prefix="a-"),
        a_sessions_table(issuer="https://here.example.test", uid_prefix="b-"),
    )
    environ = environ_of(tmp_path, *tables)
    good = run("keys", "refresh", "--issuer", RS.issuer, environ=environ)
    local = run("keys", "refresh", "--issuer", "https://here.example.test", environ=environ)
    unknown = run("keys", "refresh", "--issuer", "https://x.test", environ=environ)

    assert [done.returncode for done in (good, local, unknown)] == [0, 2, 2]
    assert "has its keys in the settings" in local.stderr
    assert "is no issuer in the settings" in unknown.stderr


def test_refresh_of_nothing() -> None:
    """Without such an issuer there is nothing to do, and it is said."""
    done = run("keys", "refresh", environ=an_environment())

    assert (done.returncode, done.stderr) == (0, "")
    assert "nothing to fetch" in done.stdout


# Show.


def test_show(tmp_path: Path, provider: Provider) -> None:
    """Every issuer is shown with its source, kids and algorithms; fetched ones with their age."""
    (tmp_path / "ed.pem").write_bytes(pem(ED.public_key))
    tables = (
        a_remote_table(jwks_url=provider.jwks_url, uid_prefix="a-"),
        a_sessions_table(issuer="https://here.example.test", uid_prefix="b-"),
        a_remote_table(ED, public_key_file=str(tmp_path / "ed.pem"), uid_prefix="c-"),
    )
    environ = environ_of(tmp_path, *tables)
    run("keys", "refresh", environ=environ)
    done = run("keys", "show", environ=environ)
    remote, secret, file = done.stdout.split("\n\n")

    assert done.returncode == 0
    assert remote.splitlines()[:2] == [RS.issuer, f"  source   jwks_url  {provider.jwks_url}"]
    assert " s ago)" in remote.splitlines()[2]
    assert remote.splitlines()[3] == "  key      key-1  RS256"
    assert secret.splitlines()[1:] == ["  source   secret", "  key      (any kid)  HS256"]
    assert file.splitlines()[1] == f"  source   public_key_file  {tmp_path / 'ed.pem'}"
    assert SECRET not in done.stdout


def test_show_as_json(tmp_path: Path, provider: Provider) -> None:
    """The same for programs."""
    environ = environ_of(tmp_path, a_remote_table(jwks_url=provider.jwks_url))
    run("keys", "refresh", environ=environ)
    (shown,) = json.loads(run("keys", "show", "--json", environ=environ).stdout)

    assert shown.pop("fetched_at").endswith("+00:00")
    assert 0 <= shown.pop("age_s") < 60
    assert shown == {
        "issuer": RS.issuer,
        "source": "jwks_url",
        "location": provider.jwks_url,
        "keys": {"key-1": ["RS256"]},
        "fault": None,
    }


def test_show_before_any_fetch(tmp_path: Path, provider: Provider) -> None:
    """Nothing is fetched for a look; an issuer without keys exits with 1."""
    environ = environ_of(tmp_path, a_remote_table(jwks_url=provider.jwks_url))
    done = run("keys", "show", environ=environ)

    assert (done.returncode, provider.fetches) == (1, 0)
    assert "  fault    never_fetched" in done.stdout


def test_show_quotes_odd_kids(tmp_path: Path) -> None:
    """A kid that could move the terminal's cursor, or deceive the eye, is shown in escapes."""
    file = tmp_path / "jwks.json"
    file.write_bytes(a_set(a_signer(kid="\x1b[2Jkey"), a_signer(kid="k\u202eey")))
    done = run("keys", "show", environ=environ_of(tmp_path, a_remote_table(jwks_file=str(file))))

    assert (done.returncode, "\x1b" in done.stdout, "\u202e" in done.stdout) == (0, False, False)
    assert '"\\u001b[2Jkey"' in done.stdout


@pytest.mark.parametrize("arguments", [("keys",), ("keys", "show"), ("keys", "refresh")])
def test_help_reads_well(arguments: tuple[str, ...]) -> None:
    """Each command explains itself, in lines that fit a terminal."""
    done = run(*arguments, "--help", environ={})

    assert done.returncode == 0
    assert max(map(len, done.stdout.splitlines())) <= 100


# Running processes.


def login(process: Process, text: str) -> int:
    answer = requests.post(f"{process.url}/v1/auth-tokens", headers=bearer(text), timeout=10)
    return answer.status_code


def test_removed_key_is_refused_by_every_process(tmp_path: Path, provider: Provider) -> None:
    """Ten seconds after the command no process takes the removed key any more."""
    environ = environ_of(tmp_path, a_remote_table(jwks_url=provider.jwks_url))
    with (
        raw_server(an_answer(LOGIN)) as vendor,
        serving(
            tmp_path,
            vendor_url=vendor.url,
            TOKENSVC_SESSIONS=environ["TOKENSVC_SESSIONS"],
            TOKENSVC_KEYS__DIRECTORY=environ["TOKENSVC_KEYS__DIRECTORY"],
            TOKENSVC_SERVER__WORKERS="2",
            TOKENSVC_LIMITS__PER_USER="1000000 per minute",
            TOKENSVC_LIMITS__FAILED_PER_ADDRESS="1000000 per minute",
        ) as process,
    ):
        deadline = time.monotonic() + WITHIN_S
        # One that began after the command would have no key to remove.
        while process.stdout.read_text().count("keys_changed") < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        before = {login(process, signed(RS)) for _ in range(20)}
        provider.answer = published(NEW)
        done = run("keys", "refresh", environ=environ)
        fetches = provider.fetches
        refused_in_a_row, deadline = 0, time.monotonic() + WITHIN_S
        # With two processes on one port, forty in a row are not one process alone.
        while refused_in_a_row < 40 and time.monotonic() < deadline:
            refused_in_a_row = refused_in_a_row + 1 if login(process, signed(RS)) == 401 else 0
        after = {login(process, signed(NEW)) for _ in range(20)}
        process.end()

    assert (done.returncode, before, refused_in_a_row, after) == (0, {201}, 40, {201})
    assert provider.fetches == fetches
    changes = [line for line in process.records() if line["event"] == "keys_changed"]
    assert len([line for line in changes if line["removed"] == 1]) == 2


def test_start_during_an_outage(tmp_path: Path) -> None:
    """The service starts with its issuer down; when that is back, so are the logins."""
    with (
        raw_server(an_answer(LOGIN)) as vendor,
        a_provider(an_answer(b"", status="503 Busy")) as provider,
        serving(
            tmp_path,
            vendor_url=vendor.url,
            TOKENSVC_SESSIONS=json.dumps([a_remote_table(jwks_url=provider.jwks_url)]),
            TOKENSVC_KEYS__DIRECTORY=str(tmp_path / "keys"),
            TOKENSVC_LIMITS__PER_USER="1000000 per minute",
        ) as process,
    ):
        during = login(process, signed(RS))
        provider.answer = published(RS)
        status, deadline = during, time.monotonic() + WITHIN_S
        while status != 201 and time.monotonic() < deadline:
            status = login(process, signed(RS))
        process.end()

    assert (during, status) == (503, 201)
    events = [line["event"] for line in process.records() if line["event"] != "request"]
    assert events[0] == "keys_fetch_failed"
    assert events[-2:] == ["keys_fetch_recovered", "keys_changed"]
    assert "Traceback" not in process.stderr.read_text()
