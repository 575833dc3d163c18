"""Settings: every fault at once, by the name to set; and nothing weak gets through."""

import base64
import json
import os
import random
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.builders import API_KEY, OTHER_SECRET, SECRET, a_sessions_table, an_environment
from tokensvc.domain.secrecy import looks_guessable, looks_like_placeholder
from tokensvc.settings import Settings
from tokensvc.settings_loading import ConfigurationError, load_settings, setting_names
from tokensvc.settings_sections import SessionSettings
from tokensvc.settings_webhooks import WebhookSettings

ROOT = Path(__file__).parents[1]


def faults_of(
    environ: Mapping[str, str] | None = None, config_file: Path | None = None, **changes: Any
) -> list[str]:
    """Return the faults of an environment that is good but for *changes*."""
    chosen = an_environment(**changes) if environ is None else environ
    with pytest.raises(ConfigurationError) as raised:
        load_settings(chosen, config_file=config_file)
    return raised.value.faults


def sessions(*tables: dict[str, Any]) -> dict[str, Any]:
    return {"TOKENSVC_SESSIONS": json.dumps(list(tables))}


def test_environment_alone_is_enough() -> None:
    """A container needs no file."""
    settings = load_settings(an_environment())

    assert settings.cometchat.api_key.get_secret_value() == API_KEY
    assert settings.sessions[0].audiences == {"chat"}


def test_all_faults_are_named_at_once(tmp_path: Path) -> None:
    """One start tells everything: what is missing, unknown, weak, wrong or unreadable."""
    config = tmp_path / "config.toml"
    config.write_text('colour = "red"\n[cometchat]\nappid = "x"\n[limits]\nper_user = "often"\n')
    environ = {
        "TOKENSVC_COMETCHAT__BASE_URL": "http://api.example.test",
        "TOKENSVC_COMETCHAT__API_KEY": "<your api key>",
        "TOKENSVC_LOG_KEY": "x",
        "TOKENSVC_AUDIT__LOG_KEY_FILE": str(tmp_path / "missing"),
        "TOKENSVC_PROVISIONING__DEFAULT_TAGS": '["a"]',
        **sessions(
            a_sessions_table(secret="short", uid_prefix="a"),
            a_sessions_table(issuer="https://b", uid_prefix="ab", leeway_s=999, colour="red"),
        ),
    }

    faults = "\n".join(faults_of(environ, config))

    for expected in (
        "TOKENSVC_LOG_KEY: is not a setting",
        "colour (TOKENSVC_COLOUR): is not a setting",
        "cometchat.appid (TOKENSVC_COMETCHAT__APPID): is not a setting",
        "cometchat.app_id (TOKENSVC_COMETCHAT__APP_ID): is missing",
        "cometchat.region (TOKENSVC_COMETCHAT__REGION): is missing",
        "cometchat.api_key (TOKENSVC_COMETCHAT__API_KEY): is a placeholder",
        "cometchat.base_url (TOKENSVC_COMETCHAT__BASE_URL): must be https",
        "audit.log_key_file (TOKENSVC_AUDIT__LOG_KEY_FILE): cannot be read",
        "limits.per_user (TOKENSVC_LIMITS__PER_USER): must look like",
        "sessions[0] (TOKENSVC_SESSIONS): a shared secret needs at least 32 bytes",
        "sessions[0].secret (TOKENSVC_SESSIONS): can be guessed",
        "sessions[1].leeway_s (TOKENSVC_SESSIONS): ",
        "sessions[1].colour (TOKENSVC_SESSIONS): is not a setting",
        "uid_prefix 'a' begins uid_prefix 'ab'",
    ):
        assert expected in faults


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"jwks_file": "/no/keys.json"}, "/no/keys.json: cannot be read: No such file"),
        ({"public_key_file": str(ROOT / "wsgi.py")}, "wsgi.py: not a PEM public key"),
        ({}, "set exactly one of"),
    ],
    ids=["missing", "no key", "none"],
)
def test_a_key_files_fault_names_it_beside_others(keys: dict[str, str], expected: str) -> None:
    """Which file it is stands in the sentence, also where the same issuer has another fault."""
    table = a_sessions_table(secret=None, algorithms=["RS256"], leeway_s=999, issuer="", **keys)

    faults = faults_of(**sessions(table))

    assert [fault for fault in faults if expected in fault]
    assert [fault for fault in faults if "leeway_s" in fault]
    assert not [fault for fault in faults if "is missing" in fault]


def test_what_cannot_be_read_is_not_said_to_be_missing_too() -> None:
    """One mistake is one sentence."""
    faults = faults_of(
        TOKENSVC_COMETCHAT__API_KEY=None,
        TOKENSVC_COMETCHAT__API_KEY_FILE="/no/key",
    )

    (fault,) = faults
    assert "API_KEY_FILE): cannot be read" in fault


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("DEVELOPMENT", "maybe", "must be true or false"),
        ("COMETCHAT__APP_ID", "a b", "must match ^[A-Za-z0-9_-]{1,64}$"),
        ("COMETCHAT__READ_TIMEOUT_S", "soon", "must be a number"),
        ("COMETCHAT__TOTAL_TIMEOUT_S", "61", "must be at most 60"),
        ("COMETCHAT__TOTAL_TIMEOUT_S", "nan", "must be a"),
        ("COMETCHAT__CONNECT_TIMEOUT_S", "0", "must be more than 0"),
        ("COMETCHAT__MAX_IN_FLIGHT", "1.5", "must be a whole number"),
        ("COMETCHAT__MAX_IN_FLIGHT", "0", "must be at least 1"),
        ("UIDS__STRATEGY", "lower", "must be 'exact' or 'encoded'"),
        ("HTTP__TRUSTED_PROXIES", '["10.0.0.1/8"]', "must be a network like 10.0.0.0/8"),
        ("HTTP__ALLOWED_ORIGINS", '{"a": 1}', "must be a list"),
        ("PROVISIONING__DEFAULT_TAGS", "[1]", "must be a text"),
        ("COMETCHAT", "[1]", "must be a table"),
        ("SERVER__HOST", "x" * 1001, "must have at most 1000 characters"),
    ],
)
def test_faults_are_said_in_words_of_ours(name: str, value: str, expected: str) -> None:
    """A sentence says what the value must be, without the library's jargon."""
    (fault, *_) = faults_of(an_environment(**{f"TOKENSVC_{name}": value}))

    assert expected in fault
    assert not [word for word in ("input", "valid", "parse", "should") if word in fault.lower()]


@pytest.mark.parametrize("name", ["APP_ID", "REGION", "API_KEY"])
def test_what_is_missing_is_named(name: str) -> None:
    """A missing value is named by its variable."""
    (fault,) = faults_of(**dict[str, Any]({f"TOKENSVC_COMETCHAT__{name}": None}))

    assert fault == f"cometchat.{name.lower()} (TOKENSVC_COMETCHAT__{name}): is missing"


def test_empty_variable_counts_as_not_set() -> None:
    """`FOO=` in a compose file is no value."""
    (fault,) = faults_of(TOKENSVC_COMETCHAT__REGION="")

    assert "is missing" in fault


def test_unknown_variable_suggests_the_known_one() -> None:
    """A typing mistake is a fault, and says what was meant."""
    (fault,) = faults_of(TOKENSVC_COMETCHAT__APIKEY="x")

    assert fault.endswith("did you mean TOKENSVC_COMETCHAT__API_KEY?")


@pytest.mark.parametrize("name", ["SERVICE_HOST", "SERVICE_PORT_HTTP", "PORT", "PORT_80_TCP_ADDR"])
def test_variables_of_kubernetes_are_no_fault(name: str) -> None:
    """A Service that is called tokensvc puts such variables into every pod."""
    load_settings(an_environment(**{f"TOKENSVC_{name}": "tcp://10.0.0.1:80"}))


def test_environment_wins_over_the_file(tmp_path: Path) -> None:
    """A value from the environment replaces the file's, and leaves its neighbours."""
    config = tmp_path / "config.toml"
    config.write_text('[provisioning]\ndefault_role = "guest"\nreactivate_on_login = true\n')

    settings = load_settings(
        an_environment(TOKENSVC_PROVISIONING__DEFAULT_ROLE="staff"), config_file=config
    )

    assert settings.provisioning.default_role == "staff"
    assert settings.provisioning.reactivate_on_login is True


def test_config_variable_names_the_file(tmp_path: Path) -> None:
    """TOKENSVC_CONFIG chooses the file."""
    config = tmp_path / "config.toml"
    config.write_text('[uids]\nstrategy = "encoded"\n')

    settings = load_settings(an_environment(TOKENSVC_CONFIG=str(config)))

    assert settings.uids.strategy == "encoded"


@pytest.mark.parametrize("text", ["[cometchat", "a = 1\na = 2", "\xff"])
def test_file_that_is_no_toml(tmp_path: Path, text: str) -> None:
    """A broken file is one fault, with its name."""
    config = tmp_path / "config.toml"
    config.write_bytes(text.encode("latin-1"))

    (fault,) = faults_of(config_file=config)

    assert str(config) in fault


def test_file_that_is_missing(tmp_path: Path) -> None:
    """So is a missing one."""
    (fault,) = faults_of(config_file=tmp_path / "none.toml")

    assert "cannot be read" in fault


@pytest.mark.parametrize("text", ["", "# [cometchat]\n# app_id = ...\n"], ids=["empty", "comments"])
def test_file_in_which_nothing_is_said(tmp_path: Path, text: str) -> None:
    """What is missing is named as without the file."""
    config = tmp_path / "config.toml"
    config.write_text(text)

    faults = faults_of({}, config_file=config)

    assert "cometchat.app_id (TOKENSVC_COMETCHAT__APP_ID): is missing" in faults
    assert faults == faults_of({})


def test_secret_from_a_file(tmp_path: Path) -> None:
    """A secret can be a file, as Docker and Kubernetes mount them, without its last newline."""
    file = tmp_path / "key"
    file.write_text(API_KEY + "\n")

    settings = load_settings(
        an_environment(TOKENSVC_COMETCHAT__API_KEY=None, TOKENSVC_COMETCHAT__API_KEY_FILE=str(file))
    )

    assert settings.cometchat.api_key.get_secret_value() == API_KEY


def test_session_secret_from_a_file(tmp_path: Path) -> None:
    """Inside TOKENSVC_SESSIONS too."""
    file = tmp_path / "secret"
    file.write_text(SECRET)

    settings = load_settings(
        an_environment(**sessions(a_sessions_table(secret=None, secret_file=str(file))))
    )

    assert settings.sessions[0].secret is not None
    assert settings.sessions[0].secret.get_secret_value() == SECRET


def test_secret_given_twice(tmp_path: Path) -> None:
    """Which of two would win is nothing to guess at."""
    file = tmp_path / "key"
    file.write_text(API_KEY)

    (fault,) = faults_of(TOKENSVC_COMETCHAT__API_KEY_FILE=str(file))

    assert "not both" in fault


def test_secret_file_wins_over_the_toml(tmp_path: Path) -> None:
    """A file from the environment takes the place of a value in the TOML file."""
    config, file = tmp_path / "config.toml", tmp_path / "key"
    config.write_text('[audit]\nlog_key = "Jc7FgA1eUZk3vQ8pLr2Xw9TbN6mHs4"\n')
    file.write_text(OTHER_SECRET)

    settings = load_settings(
        an_environment(TOKENSVC_AUDIT__LOG_KEY=None, TOKENSVC_AUDIT__LOG_KEY_FILE=str(file)),
        config_file=config,
    )

    assert settings.audit.log_key is not None
    assert settings.audit.log_key.get_secret_value() == OTHER_SECRET


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe"])
def test_secret_file_that_holds_no_secret(tmp_path: Path, content: bytes) -> None:
    """An empty mount is a fault, not an empty key."""
    file = tmp_path / "key"
    file.write_bytes(content)

    faults = faults_of(TOKENSVC_COMETCHAT__API_KEY=None, TOKENSVC_COMETCHAT__API_KEY_FILE=str(file))

    assert any("API_KEY_FILE): is " in fault for fault in faults)


@pytest.mark.parametrize(
    "secret",
    [
        "changeme-changeme-changeme-changeme",
        "your-256-bit-secret-your-256-bit-secret",
        "<insert a random secret of 32 bytes>",
        "super-secret-key-that-is-32-bytes-long",
        "a" * 64,
        "abcdefgh" * 8,
        "secretsecretsecretsecretsecretsecret",
        "development-only-shared-secret-7c1d5e0b92a84f36",
        "this-is-a-very-long-jwt-signing-secret-for-production",
        "0123456789012345678901234567890123456789",
    ],
)
def test_weak_secrets_are_refused(secret: str) -> None:
    """What stands in tutorials and templates opens no door."""
    assert faults_of(**sessions(a_sessions_table(secret=secret)))


@pytest.mark.parametrize(
    "secret",
    [SECRET, "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "é" * 4 + SECRET],
)
def test_good_secrets_pass(secret: str) -> None:
    """And random ones are not mistaken for them."""
    load_settings(an_environment(**sessions(a_sessions_table(secret=secret))))


def test_random_secrets_are_never_mistaken() -> None:
    """Of ten thousand secrets as `openssl rand -base64 48` makes them, none is refused."""
    numbers = random.Random(7)
    made = [base64.b64encode(numbers.randbytes(48)).decode() for _ in range(10_000)]

    assert [text for text in made if looks_like_placeholder(text) or looks_guessable(text)] == []


@pytest.mark.parametrize("key", ["<your REST API key>", "changeme", "aaaaaaaa", "a b", "clé"])
def test_bad_api_keys_are_refused(key: str) -> None:
    """A REST key is printable, whole, and somebody's own."""
    assert faults_of(TOKENSVC_COMETCHAT__API_KEY=key)


def test_faults_quote_no_secret() -> None:
    """A fault is printed at start-up: it must not hold what it is about."""
    faults = faults_of(
        TOKENSVC_COMETCHAT__API_KEY="canary canary",
        TOKENSVC_LIMITS__STORAGE_URL="ftp://user:canary@host",
        **sessions(a_sessions_table(secret="canary", audience=7)),
    )

    assert faults
    assert "canary" not in "\n".join(faults)


@pytest.mark.parametrize(
    "url", ["http://api.example.test/v3", "http://10.0.0.1/v3", "ftp://127.0.0.1", "x"]
)
def test_base_url_off_loopback_is_https(url: str) -> None:
    """The key does not travel in clear text."""
    assert faults_of(TOKENSVC_COMETCHAT__BASE_URL=url)


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:1/v3", "http://localhost:1/v3", "http://[::1]:1/v3", "https://x.test/v3"],
)
def test_base_urls_that_pass(url: str) -> None:
    """Loopback may be http, anything else is https."""
    assert load_settings(an_environment(TOKENSVC_COMETCHAT__BASE_URL=url)).cometchat.rest_url == url


def test_base_url_comes_from_app_and_region() -> None:
    """Without one it is the app's own host."""
    settings = load_settings(an_environment(TOKENSVC_COMETCHAT__BASE_URL=None))

    assert settings.cometchat.rest_url == "https://1234567890abcdef.api-us.cometchat.io/v3"


@pytest.mark.parametrize(
    "name",
    ["APP_ID", "REGION"],
)
def test_app_and_region_cannot_choose_the_host(name: str) -> None:
    """They become part of a host name: nothing but letters and digits gets in."""
    changes: dict[str, Any] = {f"TOKENSVC_COMETCHAT__{name}": "x.evil.test/"}

    assert faults_of(TOKENSVC_COMETCHAT__BASE_URL=None, **changes)


@pytest.mark.parametrize(
    "origin",
    [
        *("*", "https://*.example.test", "https://a.test/", "a.test", "null", "https://u@a.test"),
        *("https://(app|.+)", "https://a^", "https://h:abc", "http://[", "https://a b", ""),
        *("https://a.test:0443", "https://a.test:0", "https://a.test:99999", "https://[::1::2]"),
    ],
)
def test_origins_are_exact(origin: str) -> None:
    """An origin is a scheme, a host and a port; no pattern."""
    assert faults_of(TOKENSVC_HTTP__ALLOWED_ORIGINS=json.dumps([origin]))


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("https://App.Example.test:443", "https://app.example.test"),
        ("http://localhost:80", "http://localhost"),
        ("http://localhost:443", "http://localhost:443"),
        ("https://[::1]:8443", "https://[::1]:8443"),
        ("https://[0:0:0:0:0:0:0:1]:443", "https://[::1]"),
    ],
)
def test_origins_are_kept_as_browsers_send_them(written: str, sent: str) -> None:
    """An origin that is spelled in another way would pass the check, and match nobody."""
    environ = an_environment(TOKENSVC_HTTP__ALLOWED_ORIGINS=json.dumps([written]))

    assert load_settings(environ).http.allowed_origins == [sent]


def test_variable_that_is_no_json_hides_nothing() -> None:
    """A list that is no JSON is a fault of its own, and the others are told all the same."""
    faults = faults_of(
        TOKENSVC_HTTP__ALLOWED_ORIGINS="https://a.test",
        TOKENSVC_SESSIONS="[{",
        TOKENSVC_SERVER__PORT="abc",
        TOKENSVC_COMETCHAT__REGION=None,
    )

    assert {fault.partition(":")[0] for fault in faults} == {
        "TOKENSVC_HTTP__ALLOWED_ORIGINS",
        "TOKENSVC_SESSIONS",
        "server.port (TOKENSVC_SERVER__PORT)",
        "cometchat.region (TOKENSVC_COMETCHAT__REGION)",
        "sessions (TOKENSVC_SESSIONS)",
    }


def test_absent_section_names_its_values() -> None:
    """Whoever sets nothing learns of each value that must be set."""
    faults = "\n".join(faults_of({}))

    for name in ("COMETCHAT__APP_ID", "COMETCHAT__REGION", "COMETCHAT__API_KEY", "SESSIONS"):
        assert f"(TOKENSVC_{name}): is missing" in faults


@pytest.mark.parametrize(
    "change",
    [
        {"secret": None},
        {"jwks_file": "x.json"},
        {"algorithms": []},
        {"algorithms": ["none"]},
        {"algorithms": ["HS256", "RS256"]},
        {"algorithms": ["RS256"]},
        {"secret": "s" * 31},
        {"leeway_s": 121},
        {"leeway_s": -1},
        {"issuer": ""},
        {"audience": []},
        {"uid_prefix": "A"},
        {"uid_prefix": "a" * 41},
    ],
)
def test_sessions_that_cannot_be_trusted(change: dict[str, Any]) -> None:
    """Exactly one key source, algorithms that fit it, sane bounds."""
    assert faults_of(**sessions(a_sessions_table(**change)))


@pytest.mark.parametrize(
    ("key", "algorithm", "fits"),
    [
        (rsa.generate_private_key(65537, 2048), "RS256", True),
        (rsa.generate_private_key(65537, 2048), "PS512", True),
        (rsa.generate_private_key(65537, 1024), "RS256", False),  # noqa: S505 (weak on purpose)
        (ec.generate_private_key(ec.SECP256R1()), "ES256", True),
        (ec.generate_private_key(ec.SECP256R1()), "ES384", False),
        (ec.generate_private_key(ec.SECP256R1()), "RS256", False),
        (ec.generate_private_key(ec.SECP256R1()), "HS256", False),
    ],
)
def test_public_key_files(
    tmp_path: Path,
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
    algorithm: str,
    *,
    fits: bool,
) -> None:
    """A key file is loaded at start-up, so that a bad one is a fault and no 401."""
    file = tmp_path / "key.pem"
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    file.write_bytes(public)
    table = a_sessions_table(secret=None, public_key_file=str(file), algorithms=[algorithm])

    if fits:
        load_settings(an_environment(**sessions(table)))
    else:
        assert faults_of(**sessions(table))


def test_no_sessions_at_all() -> None:
    """Without an issuer nobody can log in."""
    assert faults_of(TOKENSVC_SESSIONS="[]")
    assert faults_of(TOKENSVC_SESSIONS=None)


@pytest.mark.parametrize("prefixes", [("", ""), ("", "b-"), ("a", "ab"), ("x-", "x-")])
def test_issuers_never_share_a_user(prefixes: tuple[str, str]) -> None:
    """With several issuers no prefix begins another's."""
    first, second = prefixes

    faults = faults_of(
        **sessions(
            a_sessions_table(uid_prefix=first),
            a_sessions_table(issuer="https://b", uid_prefix=second),
        )
    )

    assert any("two issuers could name the same user" in fault for fault in faults)


def test_two_tables_of_one_issuer() -> None:
    """An issuer is configured once."""
    faults = faults_of(
        **sessions(a_sessions_table(uid_prefix="a-"), a_sessions_table(uid_prefix="b-"))
    )

    assert "sessions: two tables have the same issuer" in faults


def test_probes_find_a_thread() -> None:
    """More calls in flight than threads would leave the probes without one."""
    (fault,) = faults_of(TOKENSVC_SERVER__THREADS="64")

    assert "max_in_flight" in fault


def test_development_stays_on_loopback() -> None:
    """The published keys open nothing that others can reach."""
    faults = faults_of(TOKENSVC_DEVELOPMENT="true", TOKENSVC_SERVER__HOST="0.0.0.0")  # noqa: S104

    assert any("loopback" in fault for fault in faults)


def test_development_file_can_be_used() -> None:
    """config/development.toml is complete."""
    settings = load_settings({}, config_file=ROOT / "config/development.toml")

    assert settings.development


def test_development_keys_open_nothing_else(tmp_path: Path) -> None:
    """The same file without `development = true` is refused for its keys."""
    text = (ROOT / "config/development.toml").read_text()
    config = tmp_path / "config.toml"
    config.write_text(text.replace("development = true", "development = false"))

    faults = faults_of({}, config)

    assert any("sessions[0].secret" in fault and "published" in fault for fault in faults)


def test_emulators_key_opens_the_emulator_alone() -> None:
    """The published REST key may be used on loopback, and nowhere else."""
    key: dict[str, Any] = {
        "TOKENSVC_COMETCHAT__API_KEY": "development-only-rest-key-of-the-emulator"
    }

    load_settings(an_environment(TOKENSVC_COMETCHAT__BASE_URL="http://127.0.0.1:8090/v3", **key))

    (fault,) = faults_of(TOKENSVC_COMETCHAT__BASE_URL=None, **key)
    assert "published" in fault


def test_production_example_is_complete() -> None:
    """config/production.example.toml names every setting, and nothing else."""
    text = (ROOT / "config/production.example.toml").read_text()

    assert set(_names_in(text)) == {
        *(name for name in setting_names(Settings) if name not in {"sessions", "webhooks"}),
        *(f"sessions.{name}" for name in setting_names(SessionSettings)),
        *(f"webhooks.{name}" for name in setting_names(WebhookSettings)),
    }


def _names_in(text: str) -> list[str]:
    """Return the dotted names of the settings in *text*, commented out or not."""
    section, names = "", []
    for line in text.splitlines():
        bare = line.removeprefix("# ")
        if bare.startswith("["):
            section = bare.strip("[]") + "."
        elif " = " in bare and bare.partition(" = ")[0].replace("_", "").isalpha():
            names.append(section + bare.partition(" = ")[0])
    return names


def test_production_example_is_toml_with_all_lines_in() -> None:
    """Each commented-out setting is TOML too: whoever removes the # gets what they expect."""
    text = (ROOT / "config/production.example.toml").read_text()
    for line in text.splitlines():
        if _names_in(line):
            tomllib.loads(line.removeprefix("# "))


def test_production_example_is_refused_as_it_stands() -> None:
    """Its placeholders do not start."""
    faults = "\n".join(faults_of({}, ROOT / "config/production.example.toml"))

    assert "app_id" in faults
    assert "cannot be read" in faults


@pytest.mark.parametrize(
    "url",
    [
        *(
            "redis://:p[canary]x@host:6379",
            "redis://:canary\u2100x@host",
            "redis://:c#canary@host:1",
        ),
        *(
            "redis://host/0?password=canary",
            "redis://host/0?username=canary",
            "redis://:x@127.0.0.1:6canary",
            "redis://h/0?db=canary",
        ),
    ],
)
def test_broken_redis_urls_are_faults_that_quote_nothing(url: str) -> None:
    """A URL that would break later is a fault now, and no part of its password is printed."""
    faults = faults_of(TOKENSVC_LIMITS__STORAGE_URL=url)

    assert "limits.storage_url" in faults[0]
    assert "canary" not in "".join(faults)


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1/0?socket_timeout=30",
        "redis://127.0.0.1/0?socket_connect_timeout=30",
        "redis://127.0.0.1/0?db=1&foo=bar",
        "redis://127.0.0.1/0?foo=",
        "redis://127.0.0.1/0?ssl_ca_certs=/etc/ca.pem",
        "rediss://redis.test/0?ssl_ciphers=ALL",
        "rediss://redis.test/0?max_connections=1",
        "redis+unix:///run/redis.sock?timeout=9",
        "memory://?x=1",
    ],
)
def test_options_of_a_storage_are_those_we_know(url: str) -> None:
    """One that would lengthen our time-outs, or break the first login, is a fault at the start."""
    (fault,) = faults_of(TOKENSVC_LIMITS__STORAGE_URL=url)

    assert "limits.storage_url" in fault
    assert "may have no options but" in fault


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1?db=1",
        "rediss://redis.test/0?ssl_ca_certs=/etc/ca.pem&ssl_certfile=a&ssl_keyfile=b",
        "rediss://redis.test/0?ssl_ca_path=/etc/ssl",
        "redis+unix:///run/redis.sock?db=1",
    ],
)
def test_options_of_a_storage_that_are_taken(url: str) -> None:
    """Where the data are, and how TLS is proven."""
    load_settings(an_environment(TOKENSVC_LIMITS__STORAGE_URL=url))


@pytest.mark.parametrize("network", ["0.0.0.0/0", "::/0"])
def test_everybody_is_no_proxy(network: str) -> None:
    """Else each client says itself which address its failures count against."""
    (fault,) = faults_of(TOKENSVC_HTTP__TRUSTED_PROXIES=json.dumps([network]))

    assert "http.trusted_proxies" in fault
    assert "must not be all addresses" in fault


@pytest.mark.parametrize("url", ["https://:canary@127.0.0.1/v3", "https://[canary"])
def test_base_url_holds_no_credentials(url: str) -> None:
    """Nor does the base URL, in any spelling."""
    (fault,) = faults_of(TOKENSVC_COMETCHAT__BASE_URL=url)

    assert "canary" not in fault


@pytest.mark.parametrize(
    "limit",
    ["0 per minute", "10 per 0 minute", "10 per minute;5 per minute", "1 per 99999999999 year", ""],
)
def test_limits_make_sense(limit: str) -> None:
    """A limit that shuts everybody out, counts twice or never ends is a mistake."""
    changes: dict[str, Any] = {"TOKENSVC_LIMITS__PER_USER": limit or ";"}

    assert faults_of(**changes)


def test_issuers_do_not_share_a_secret() -> None:
    """With one secret each of two issuers could sign for the other."""
    faults = faults_of(
        **sessions(
            a_sessions_table(uid_prefix="a-"),
            a_sessions_table(issuer="https://b", uid_prefix="b-"),
        )
    )

    assert any("the same secret" in fault for fault in faults)


def test_issuers_do_not_share_a_previous_secret() -> None:
    """Nor could one of them still sign for the other with its secret of before."""
    first = a_sessions_table(uid_prefix="a-", secret_previous=OTHER_SECRET)
    second = a_sessions_table(issuer="https://b", uid_prefix="b-", secret=OTHER_SECRET)

    assert any("the same secret" in fault for fault in faults_of(**sessions(first, second)))


def test_previous_may_be_the_current_one() -> None:
    """In the middle of a rotation both files hold the same."""
    load_settings(an_environment(**sessions(a_sessions_table(secret_previous=SECRET))))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"secret_previous": "short"}, "secret_previous: a shared secret needs at least 32 bytes"),
        (
            {"secret_previous": "change-me" * 5},
            "sessions[0].secret_previous (TOKENSVC_SESSIONS): is",
        ),
        ({"secret_previous_file": "/nowhere"}, "sessions[0].secret_previous_file"),
        ({"public_key_previous_file": "/nowhere"}, "goes with public_key_file alone"),
        (
            {"secret": None, "jwks_file": "/nowhere", "secret_previous": OTHER_SECRET},
            "goes with secret alone",
        ),
    ],
)
def test_previous_secrets_are_secrets(changes: dict[str, Any], expected: str) -> None:
    """They are held to what the current ones are held to."""
    faults = faults_of(**sessions(a_sessions_table(**changes)))

    assert any(expected in fault for fault in faults)


def test_previous_key_file_is_named(tmp_path: Path) -> None:
    """Which of the two files is bad, the fault says."""
    good, bad = tmp_path / "key.pem", tmp_path / "bad.pem"
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    good.write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    bad.write_text("no key")
    files = {"public_key_file": str(good), "public_key_previous_file": str(bad)}

    (fault,) = faults_of(**sessions(a_sessions_table(secret=None, algorithms=["ES256"], **files)))

    assert f"{bad}: not a PEM public key" in fault


def test_pipes_and_devices_are_no_files(tmp_path: Path) -> None:
    """What would be waited for, or would never end, is refused."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    for file in (pipe, Path("/dev/zero"), tmp_path):
        table = a_sessions_table(secret=None, jwks_file=str(file), algorithms=["RS256"])
        assert any("cannot be read" in fault for fault in faults_of(**sessions(table)))
        assert faults_of(config_file=file)


@pytest.mark.parametrize(
    "text",
    [
        "x = " + "[" * 5000,
        '[cometchat]\napi_key_file = "a\\u0000b"',
        "[cometchat]\nmax_in_flight = inf",
    ],
)
def test_odd_files_are_faults(tmp_path: Path, text: str) -> None:
    """However odd a file is, what comes back is a sentence."""
    config = tmp_path / "config.toml"
    config.write_text(text)

    assert faults_of(environ=an_environment(TOKENSVC_COMETCHAT__API_KEY=None), config_file=config)


def test_deep_json_is_a_fault() -> None:
    """So is a variable that is nested too deeply."""
    assert faults_of(TOKENSVC_SESSIONS="[" * 50_000)


def test_broken_file_hides_no_other_fault(tmp_path: Path) -> None:
    """What else is wrong is told together with the file, and nothing is called missing."""
    faults = faults_of(
        environ={"TOKENSVC_FOO": "1", "TOKENSVC_LIMITS__PER_USER": "junk"},
        config_file=tmp_path / "none.toml",
    )

    assert [fault.partition(":")[0].partition(" ")[0] for fault in faults] == [
        "TOKENSVC_FOO",
        str(tmp_path / "none.toml"),
        "limits.per_user",
    ]
