"""Rotation: a secret file that changes is in force soon, and a bad one changes nothing."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from tests.builders import (
    API_KEY,
    LOG_KEY,
    OTHER_SECRET,
    SECRET,
    Service,
    a_sessions_table,
    a_token,
    an_environment,
)
from tests.fakes import WatchedLog
from tests.raw_server import an_answer, raw_server
from tests.redis_server import OTHER_PASSWORD, a_redis
from tests.rotating import a_file, a_key_table, a_rig, an_api_key_file, signed
from tests.security.forging import RS, RS_OTHER, jwk, pem
from tokensvc.app import app_around
from tokensvc.rotation import SecretsInForce
from tokensvc.services import assemble
from tokensvc.settings_loading import load_settings

THIRD_SECRET: Final = "nV2xH7qKt9Bw4Zc6Lr8Jd3Sf5Gy1PmAe"
OTHER_API_KEY: Final = "77aa55cc33ee11bb99dd77ff55aa33cc11ee99bb"
THIRD_API_KEY: Final = "1f2e3d4c5b6a79880716253443526170fedcba98"
OTHER_LOG_KEY: Final = "Ur0tP5aS3dF8gH1jK6zX4bV9cN2wL7yQ"
ANSWER: Final = json.dumps({"data": {"uid": "alice", "authToken": "alice_1"}}).encode()
RECOVERY_S: Final = 10.0


def test_new_secret_is_in_force(tmp_path: Path) -> None:
    """After the next look the new secret verifies, and the old one does not."""
    rig = a_rig(tmp_path)
    rig.look()

    a_file(tmp_path, "secret", OTHER_SECRET + "\n")
    before = rig.status(a_token(key=SECRET)), rig.status(a_token(key=OTHER_SECRET))
    rig.look()
    after = rig.status(a_token(key=SECRET)), rig.status(a_token(key=OTHER_SECRET))

    assert (before, after) == ((201, 401), (401, 201))
    assert rig.events() == [
        {"event": "secret_reloaded", "setting": "sessions[0].secret_file", "alarm": False}
    ]


def test_change_before_the_first_look_is_seen(tmp_path: Path) -> None:
    """Between the start and the first look nothing is missed."""
    rig = a_rig(tmp_path)
    a_file(tmp_path, "secret", OTHER_SECRET)

    rig.look()

    assert rig.status(a_token(key=OTHER_SECRET)) == 201


def test_unchanged_file_is_no_event(tmp_path: Path) -> None:
    """A file that is touched, or written anew with the same content, says nothing."""
    rig = a_rig(tmp_path)
    rig.look()

    a_file(tmp_path, "secret", SECRET)
    rig.look()

    assert rig.events() == []


def test_both_secrets_verify(tmp_path: Path) -> None:
    """While a secret moves from one file to the other, tokens of both are good."""
    table = a_sessions_table(
        secret=None,
        secret_file=a_file(tmp_path, "secret", SECRET),
        secret_previous_file=a_file(tmp_path, "previous", THIRD_SECRET),
    )
    rig = a_rig(tmp_path, table)
    secrets = (THIRD_SECRET, SECRET, OTHER_SECRET)
    before = [rig.status(a_token(key=secret)) for secret in secrets]

    a_file(tmp_path, "previous", SECRET)
    a_file(tmp_path, "secret", OTHER_SECRET)
    rig.look()

    assert before == [201, 201, 401]
    assert [rig.status(a_token(key=secret)) for secret in secrets] == [401, 201, 201]
    settings = [event["setting"] for event in rig.events()]
    assert settings == ["sessions[0].secret_previous_file", "sessions[0].secret_file"]


def test_new_public_key_is_in_force(tmp_path: Path) -> None:
    """A PEM file is read anew, the previous one beside it too."""
    rig = a_rig(
        tmp_path,
        a_key_table(
            public_key_file=a_file(tmp_path, "key", pem(RS.public_key)),
            public_key_previous_file=a_file(tmp_path, "previous", pem(RS.public_key)),
        ),
    )
    rig.look()
    before = [rig.status(signed(signer)) for signer in (RS, RS_OTHER)]

    a_file(tmp_path, "key", pem(RS_OTHER.public_key))
    rig.look()
    both = [rig.status(signed(signer)) for signer in (RS, RS_OTHER)]
    a_file(tmp_path, "previous", pem(RS_OTHER.public_key))
    rig.look()
    after = [rig.status(signed(signer)) for signer in (RS, RS_OTHER)]

    assert (before, both, after) == ([201, 401], [201, 201], [401, 201])
    settings = [event["setting"] for event in rig.events()]
    assert settings == ["sessions[0].public_key_file", "sessions[0].public_key_previous_file"]


def test_new_jwks_is_in_force(tmp_path: Path) -> None:
    """A JWKS file is replaced as a whole: a key that is gone from it verifies no more."""
    rig = a_rig(
        tmp_path, a_key_table(jwks_file=a_file(tmp_path, "jwks", json.dumps({"keys": [jwk(RS)]})))
    )
    before = rig.status(signed(RS))

    a_file(tmp_path, "jwks", json.dumps({"keys": [jwk(RS_OTHER)]}))
    rig.look()

    assert before == 201
    assert [rig.status(signed(signer)) for signer in (RS, RS_OTHER)] == [401, 201]


def test_kubernetes_swaps_a_link(tmp_path: Path) -> None:
    """A mounted Secret is a link to a link: the target changes, the path never does."""
    for version, secret in (("..1", SECRET), ("..2", OTHER_SECRET)):
        (tmp_path / version).mkdir()
        (tmp_path / version / "secret").write_text(secret)
        # The same time and size, as two versions can have.
        os.utime(tmp_path / version / "secret", (1_800_000_000, 1_800_000_000))
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "mounted").symlink_to("..data/secret")
    rig = a_rig(tmp_path, a_sessions_table(secret=None, secret_file=str(tmp_path / "mounted")))
    rig.look()

    (tmp_path / "..new").symlink_to("..2")
    (tmp_path / "..new").rename(tmp_path / "..data")
    rig.look()

    assert rig.status(a_token(key=OTHER_SECRET)) == 201


def test_new_api_key_is_sent(tmp_path: Path) -> None:
    """The next call to CometChat carries the new key."""
    with raw_server(an_answer(ANSWER)) as vendor:
        settings = load_settings(
            an_environment(
                TOKENSVC_COMETCHAT__BASE_URL=f"{vendor.url}/v3",
                TOKENSVC_COMETCHAT__API_KEY=None,
                **an_api_key_file(tmp_path),
            )
        )
        services = assemble(settings, log_stream=WatchedLog())
        service = Service(app_around(services, settings), WatchedLog())
        service.login()

        a_file(tmp_path, "api_key", OTHER_API_KEY)
        services.watcher.look()
        service.login()

    known = (API_KEY, OTHER_API_KEY)
    sent = [key for request in vendor.requests for key in known if key.encode() in request]
    assert sent == [API_KEY, OTHER_API_KEY]


def test_new_previous_api_key_is_tried(tmp_path: Path) -> None:
    """Both REST keys are read again: where the new one is not taken yet, the old one is tried."""
    refusal = json.dumps({"error": {"code": "AUTH_ERR_APIKEY_NOT_FOUND", "message": ""}}).encode()
    answers = (an_answer(ANSWER), an_answer(refusal, status="401 Unauthorized"), an_answer(ANSWER))
    with raw_server(*answers) as vendor:
        settings = load_settings(
            an_environment(
                TOKENSVC_COMETCHAT__BASE_URL=f"{vendor.url}/v3",
                TOKENSVC_COMETCHAT__API_KEY=None,
                TOKENSVC_COMETCHAT__API_KEY_PREVIOUS_FILE=a_file(tmp_path, "before", THIRD_API_KEY),
                **an_api_key_file(tmp_path),
            )
        )
        services = assemble(settings, log_stream=WatchedLog())
        service = Service(app_around(services, settings), WatchedLog())
        service.login()

        a_file(tmp_path, "before", API_KEY)
        a_file(tmp_path, "api_key", OTHER_API_KEY)
        services.watcher.look()
        status = service.login().status_code

    known = (API_KEY, OTHER_API_KEY, THIRD_API_KEY)
    sent = [key for request in vendor.requests for key in known if key.encode() in request]
    assert (status, sent) == (201, [API_KEY, OTHER_API_KEY, API_KEY])


def test_new_log_key_gives_new_fingerprints(tmp_path: Path) -> None:
    """From then on tokens have other names in the log."""
    file = a_file(tmp_path, "log_key", LOG_KEY)
    rig = a_rig(tmp_path, TOKENSVC_AUDIT__LOG_KEY=None, TOKENSVC_AUDIT__LOG_KEY_FILE=file)
    prints = []
    for key in (LOG_KEY, OTHER_LOG_KEY):
        a_file(tmp_path, "log_key", key)
        rig.look()
        prints.append(rig.services.tokens.fingerprinter.log_key())

    assert prints == [LOG_KEY.encode(), OTHER_LOG_KEY.encode()]


def test_new_password_of_redis_is_used(tmp_path: Path) -> None:
    """Redis is lost when its password changes, and found again with the new one from the file."""
    with a_redis(tmp_path) as server:
        a_file(tmp_path, "redis_url", server.url)
        rig = a_rig(tmp_path)
        rig.status(a_token())

        server.change_password()
        rig.status(a_token())
        a_file(tmp_path, "redis_url", server.url_with(OTHER_PASSWORD))
        rig.look()
        rig.log.wait_for("limit_storage_back", RECOVERY_S)

        rig.status(a_token(sub="bob"))
        assert len(server.keys("LIMITS:*bob*")) == 1


def test_old_and_new_are_masked(tmp_path: Path) -> None:
    """A secret is masked from the moment it is read, and stays so when it is replaced."""
    rig = a_rig(tmp_path)
    a_file(tmp_path, "secret", OTHER_SECRET)
    rig.look()

    rig.service.login(headers={"User-Agent": f"app {SECRET} {OTHER_SECRET}"})

    assert rig.log.lines()[-1]["user_agent"] == "app [masked] [masked]"


def test_new_secret_is_masked_before_it_is_in_force(tmp_path: Path) -> None:
    """Whoever is told to mask it can rely on that nothing has used it yet."""
    settings = load_settings(
        an_environment(TOKENSVC_COMETCHAT__API_KEY=None, **an_api_key_file(tmp_path))
    )
    in_force_while_masking: list[str] = []

    def mask(secrets: Iterable[str]) -> None:
        assert OTHER_API_KEY in list(secrets)
        in_force_while_masking.extend(in_force.api_keys())

    in_force = SecretsInForce(settings, mask=mask)
    (file,) = in_force.files()
    a_file(tmp_path, "api_key", OTHER_API_KEY)

    assert file.reread()
    assert in_force_while_masking == [API_KEY]
    assert list(in_force.api_keys()) == [OTHER_API_KEY]


def test_no_thread_without_files(tmp_path: Path) -> None:
    """Where every secret is in the environment, there is nothing to look at."""
    with_files = a_rig(tmp_path).services.background
    without = a_rig(tmp_path, a_sessions_table()).services.background

    assert (len(with_files), len(without)) == (1, 0)
