"""Refused secrets: what would not have started does not go into force later either."""

import json
from pathlib import Path
from typing import Final

import pytest

from tests.builders import (
    OTHER_SECRET,
    SECRET,
    a_sessions_table,
    a_token,
)
from tests.rotating import a_file, a_key_table, a_rig, an_api_key_file, signed
from tests.security.forging import ES, RS, jwk, pem

BAD_SECRETS: Final = {
    "empty": (b"\n", "is empty"),
    "not-utf-8": (b"\xff" * 48, "is not UTF-8"),
    "too-short": (b"Zk3vQ8pLr2Xw9TbN", "needs at least 32 bytes"),
    "placeholder": (b"change-me-change-me-change-me-change-me", "is a placeholder"),
    "guessable": (b"this is the secret key for the jwt tokens", "can be guessed"),
    "published": (b"development-only-shared-secret-7c1d5e0b92a84f36", "is published"),
    "public-key": (pem(ES.public_key), "PEM"),
    "too-large": (b"x" * 1024 * 1024 + b"y", "is larger than"),
}


@pytest.mark.parametrize("case", BAD_SECRETS)
def test_bad_secret_changes_nothing(tmp_path: Path, case: str) -> None:
    """What would not have started is refused: the old one stays, and the operator is told once."""
    content, reason = BAD_SECRETS[case]
    rig = a_rig(tmp_path)
    rig.look()

    a_file(tmp_path, "secret", content)
    rig.look()
    rig.look()

    assert rig.status(a_token(key=SECRET)) == 201
    (event,) = rig.events()
    assert (event["event"], event["alarm"]) == ("secret_refused", True)
    assert event["setting"] == "sessions[0].secret_file"
    assert reason in event["reason"]


@pytest.mark.parametrize("is_folder", [False, True])
def test_missing_file_changes_nothing(tmp_path: Path, *, is_folder: bool) -> None:
    """A file that is gone, or is no file, leaves the old value in force; its return is told."""
    rig = a_rig(tmp_path)
    rig.look()
    (tmp_path / "secret").unlink()
    if is_folder:
        (tmp_path / "secret").mkdir()
    rig.look()
    rig.look()
    status = rig.status(a_token(key=SECRET))

    if is_folder:
        (tmp_path / "secret").rmdir()
    a_file(tmp_path, "secret", SECRET)
    rig.look()

    assert status == rig.status(a_token(key=SECRET)) == 201
    assert [event["event"] for event in rig.events()] == ["secret_refused", "secret_reloaded"]
    assert "cannot be read" in rig.events()[0]["reason"]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("key", b"no key", "not a PEM public key"),
        ("key", pem(ES.public_key), "cannot be used with RS256"),
        ("previous", b"", "not a PEM public key"),
        ("jwks", b'{"keys": []}', "has no key for the algorithms"),
        ("jwks", json.dumps({"keys": [{"kty": "oct", "k": "AAAA"}]}).encode(), "secret or private"),
    ],
)
def test_bad_key_file_changes_nothing(
    tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    """Key files are held to the same policy as at the start."""
    files = {"public_key_file": a_file(tmp_path, "key", pem(RS.public_key))}
    files["public_key_previous_file"] = a_file(tmp_path, "previous", pem(RS.public_key))
    if name == "jwks":
        files = {"jwks_file": a_file(tmp_path, "jwks", json.dumps({"keys": [jwk(RS)]}))}
    rig = a_rig(tmp_path, a_key_table(**files))
    rig.look()

    a_file(tmp_path, name, content)
    rig.look()

    assert rig.status(signed(RS)) == 201
    (event,) = rig.events()
    assert (event["event"], reason in event["reason"]) == ("secret_refused", True)


def test_file_that_is_missing_at_the_first_look_is_told(tmp_path: Path) -> None:
    """It was there at the start, and is gone right after."""
    rig = a_rig(tmp_path)
    (tmp_path / "secret").unlink()

    rig.look()

    assert [event["event"] for event in rig.events()] == ["secret_refused"]


def test_bad_file_leaves_the_others_alone(tmp_path: Path) -> None:
    """A good change goes into force beside a bad one."""
    rig = a_rig(tmp_path, TOKENSVC_COMETCHAT__API_KEY=None, **an_api_key_file(tmp_path))
    rig.look()

    a_file(tmp_path, "api_key", "")
    a_file(tmp_path, "secret", OTHER_SECRET)
    rig.look()

    assert rig.status(a_token(key=OTHER_SECRET)) == 201
    assert [event["event"] for event in rig.events()] == ["secret_refused", "secret_reloaded"]


def test_issuers_still_share_no_secret(tmp_path: Path) -> None:
    """Two issuers with one secret do not start, and do not come about later either."""
    first = a_sessions_table(
        secret=None, secret_file=a_file(tmp_path, "secret", SECRET), uid_prefix="a-"
    )
    second = a_sessions_table(issuer="https://b", secret=OTHER_SECRET, uid_prefix="b-")
    rig = a_rig(tmp_path, first, second)

    a_file(tmp_path, "secret", OTHER_SECRET)
    rig.look()

    assert rig.status(a_token(key=SECRET)) == 201
    assert "could sign for the other" in rig.events()[0]["reason"]


@pytest.mark.parametrize(
    "url", ["redis://:x1y2z3@127.0.0.1:9/1", "redis://127.0.0.1:9/0", "memory://"]
)
def test_another_redis_needs_a_restart(tmp_path: Path, url: str) -> None:
    """Only the password changes while we run; a line says so when more than that does."""
    a_file(tmp_path, "redis_url", "redis://:a1b2c3@127.0.0.1:9/0")
    rig = a_rig(tmp_path)

    a_file(tmp_path, "redis_url", url)
    rig.look()

    assert "needs a restart" in rig.events()[0]["reason"]


def test_what_a_bad_file_holds_is_not_told(tmp_path: Path) -> None:
    """The event names the setting and the reason, and quotes nothing."""
    rig = a_rig(tmp_path)
    for content in ("canary", "change-me-canary", "\0canary" * 8, "-----BEGIN canary" * 4):
        a_file(tmp_path, "secret", content)
        rig.look()

    assert len(rig.events()) == 4
    assert "canary" not in rig.log.getvalue()
