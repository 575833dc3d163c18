"""Settings of webhooks: every fault at once, nothing weak, and no user of somebody else's."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.builders import ISSUER, SECRET, a_sessions_table, an_environment
from tests.web.signing import SOURCES, a_secret, a_whsec, write_jwks
from tokensvc.domain.account_book import IMPORT, OPERATOR
from tokensvc.domain.accounts import LOGIN
from tokensvc.domain.syncing import DUE
from tokensvc.settings import Settings
from tokensvc.settings_loading import ConfigurationError, load_settings


def a_table(**changes: Any) -> dict[str, Any]:
    """Return a good `[[webhooks]]` table; a change to None removes a member."""
    good = {
        "source": "app",
        "sender": "standard",
        "issuer": ISSUER,
        "secrets": [a_whsec("app")],
    }
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


def environment(*tables: Any, **changes: str) -> dict[str, str]:
    return an_environment(TOKENSVC_WEBHOOKS=json.dumps(list(tables)), **changes)


def loaded(*tables: Any) -> Settings:
    return load_settings(environment(*tables))


def faults_of(*tables: Any, **changes: str) -> list[str]:
    with pytest.raises(ConfigurationError) as raised:
        load_settings(environment(*tables, **changes))
    return raised.value.faults


def test_all_sources_can_be_configured(tmp_path: Path) -> None:
    """Every sender there is, side by side."""
    jwks_file = write_jwks(tmp_path)

    settings = loaded(*(source.table(jwks_file) for source in SOURCES.values()))

    assert [webhook.source for webhook in settings.webhooks] == list(SOURCES)


def test_all_faults_are_named_at_once(tmp_path: Path) -> None:
    """One start tells everything, also of the secrets of a table that has other faults."""
    faults = "\n".join(
        faults_of(
            a_table(source="A b", colour="red", secrets=["whsec_c2hvcnQ="]),
            a_table(sender="clark", issuer="https://nobody", secrets=["changeme" * 4]),
            a_table(source="login", sender="logto", secrets=[SECRET], options={"digest": "md5"}),
            a_table(sender="kinde", secrets=None, options={"jwks_file": str(tmp_path / "no")}),
            a_table(source="b", secrets=None, secrets_file=str(tmp_path / "no")),
        )
    )

    for expected in (
        "webhooks[0].source (TOKENSVC_WEBHOOKS): must match",
        "webhooks[0].colour (TOKENSVC_WEBHOOKS): is not a setting",
        "webhooks[0] (TOKENSVC_WEBHOOKS): a secret needs at least 24 bytes",
        "webhooks[1].sender (TOKENSVC_WEBHOOKS): must be one of standard, clerk,",
        "webhooks[1].issuer (TOKENSVC_WEBHOOKS): must be the issuer of one of [[sessions]]",
        "webhooks[1].secrets[0] (TOKENSVC_WEBHOOKS): is a placeholder",
        "webhooks[2].source (TOKENSVC_WEBHOOKS): must be none of due-deletion, import, login,",
        "webhooks[2].options.digest (TOKENSVC_WEBHOOKS): must be 'sha256' or 'sha1'",
        "webhooks[3] (TOKENSVC_WEBHOOKS): " + str(tmp_path / "no") + ": cannot be read",
        "webhooks[4].secrets_file (TOKENSVC_WEBHOOKS): cannot be read",
        "webhooks: two tables have the same source",
        "webhooks: a secret is set twice",
    ):
        assert expected in faults
    assert "needs secrets" not in faults


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"secrets": None}, "needs secrets or a secrets_file"),
        ({"secrets": []}, "needs secrets or a secrets_file"),
        ({"secrets": ["whsec_!"]}, "is no base64"),
        ({"secrets": ["whpk_AAAA"]}, "no Ed25519 public key"),
        ({"secrets": [a_secret("x")]}, "begins with whsec_"),
        ({"secrets": ["whsec_" + "QUFB" * 16]}, "is a placeholder"),
        ({"secrets": [a_whsec("x")] * 2}, "a secret is set twice"),
        ({"secrets": [a_whsec(str(n)) for n in range(9)]}, "must have at most 8 members"),
        ({"secrets": "x"}, "must be a list"),
        ({"sender": None}, "is missing"),
        ({"source": None}, "is missing"),
        *(({"source": own}, "must be none of") for own in (LOGIN, IMPORT, OPERATOR, DUE)),
        ({"issuer": None}, "is missing"),
        ({"options": {"scheme": "bearer"}}, "the sender standard takes no options.scheme"),
        ({"options": {"jwks_file": "/x"}}, "the sender standard takes no options.jwks_file"),
        (
            {"options": {"scheme": "bearer", "digest": "sha1"}},
            "the sender standard takes no options.digest, options.scheme",
        ),
        ({"options": {"header": "X Y"}}, "must match"),
        ({"options": {"algorithms": ["none"]}}, "must be one of"),
        ({"options": {"colour": "red"}}, "is not a setting"),
        ({"options": "x"}, "must be a table"),
        ({"uid_claim": ""}, "must have 1 or more characters"),
        ({"sender": "auth0", "secrets": ["short"]}, "needs at least 24 bytes"),
        ({"sender": "auth0", "secrets": [a_secret("a") + "é"]}, "printable ASCII"),
        (
            {"sender": "auth0", "secrets": [a_secret("a")], "options": {"scheme": "basic"}},
            "user:password",
        ),
        (
            {"sender": "auth0", "secrets": ["u:" + "a" * 30], "options": {"scheme": "basic"}},
            "is a placeholder",
        ),
        ({"sender": "logto", "secrets": ["this-is-a-very-long-jwt-signing-secret"]}, "guessed"),
        ({"sender": "kinde"}, "needs options.jwks_file"),
        ({"sender": "fusionauth", "secrets": None}, "needs secrets or a secrets_file"),
        ({"sender": "fusionauth", "secrets": ["Zk3vQ8pLr2Xw9TbN6mHs4JdYc7Fg"]}, "32 bytes"),
        (
            {"sender": "logto", "secrets": ["development-only-7c1d5e0b92a84f36"]},
            "published with this project",
        ),
    ],
)
def test_sources_that_cannot_be_trusted(change: dict[str, Any], expected: str) -> None:
    """What is missing, weak, useless or wrong is told in a sentence."""
    assert any(expected in fault for fault in faults_of(a_table(**change)))


def test_keycloak_by_key_needs_an_audience(tmp_path: Path) -> None:
    """Else any token of the realm with a body's hash would do; and keys exclude secrets."""
    options = {"jwks_file": write_jwks(tmp_path), "algorithms": ["ES256"]}
    keyed = a_table(sender="keycloak", secrets=None, options=options)
    both = a_table(sender="keycloak", secrets=[a_secret("x")], options=options)

    assert any("needs options.audience" in fault for fault in faults_of(keyed))
    assert any("not both" in fault for fault in faults_of(both))


def test_secret_of_an_issuer_is_nobody_elses() -> None:
    """A sender that knew the secret of session tokens could log in as anybody."""
    (fault,) = faults_of(a_table(sender="logto", secrets=[SECRET]))

    assert "a secret is set twice" in fault


def test_secrets_of_two_sources_differ() -> None:
    """Else one sender could speak for the other; also in the spelling of Supabase."""
    tables = [
        a_table(),
        a_table(source="b", sender="supabase-auth", secrets=[f"v1,{a_whsec('app')}"]),
    ]

    assert any("a secret is set twice" in fault for fault in faults_of(*tables))


def test_secrets_from_a_file(tmp_path: Path) -> None:
    """One in each line: the current and the previous."""
    file = tmp_path / "secrets"
    file.write_text(f"{a_whsec('new')}\r\n{a_whsec('old')}\n\n")

    settings = loaded(a_table(secrets=None, secrets_file=str(file)))

    assert [secret.get_secret_value() for secret in settings.webhooks[0].secrets] == [
        a_whsec("new"),
        a_whsec("old"),
    ]


@pytest.mark.parametrize(
    ("content", "expected"), [(b"\n\n", "is empty"), (b"\xff", "is not UTF-8")]
)
def test_secrets_file_that_holds_none(tmp_path: Path, content: bytes, expected: str) -> None:
    """An empty mount is a fault, and so is one that is no text."""
    file = tmp_path / "secrets"
    file.write_bytes(content)

    faults = faults_of(a_table(secrets=None, secrets_file=str(file)))

    assert any(expected in fault for fault in faults)


def test_secrets_are_not_given_twice(tmp_path: Path) -> None:
    """Which of two would win is nothing to guess at."""
    assert any("not both" in fault for fault in faults_of(a_table(secrets_file=str(tmp_path))))


def test_faults_quote_no_secret() -> None:
    """A fault is printed at start-up: it must not hold what it is about."""
    faults = faults_of(
        a_table(secrets=["whsec_canary!"]),
        a_table(source="b", sender="logto", secrets=["canary"]),
        a_table(source="c", sender="auth0", secrets=["canary" * 9 + "é"], options={"x": "canary"}),
        a_table(source="d", secrets={"canary": 1}),
        "canary",
    )

    assert faults
    assert "canary" not in "\n".join(faults)


@pytest.mark.parametrize("webhooks", ["{}", "7", '"x"', "[7]", "[[]]", "[null]"])
def test_odd_tables_are_faults(webhooks: str) -> None:
    """However odd the tables are, what comes back is a sentence."""
    with pytest.raises(ConfigurationError):
        load_settings(an_environment(TOKENSVC_WEBHOOKS=webhooks))


def test_two_issuers_may_have_sources_each() -> None:
    """A source goes by its issuer's rules, whichever of several it is."""
    sessions = [
        a_sessions_table(uid_prefix="a-"),
        a_sessions_table(issuer="https://b", uid_prefix="b-", secret=a_secret("b")),
    ]
    environ = environment(a_table(issuer="https://b"), TOKENSVC_SESSIONS=json.dumps(sessions))

    assert load_settings(environ).webhooks[0].issuer == "https://b"
