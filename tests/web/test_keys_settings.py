"""Settings of fetched keys: each one that an operator may change changes what happens."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.builders import a_service, a_sessions_table, an_environment
from tests.faults.idp_rows import ANSWERS
from tests.journeys.certificates import a_certificate
from tests.raw_server import an_answer
from tests.remote_issuers import (
    Clock,
    Provider,
    a_provider,
    a_remote_service,
    a_remote_table,
    published,
    signed_by,
)
from tests.security.forging import RS
from tokensvc.adapters.http_client import Bounds
from tokensvc.services_keys import key_sources
from tokensvc.settings_loading import ConfigurationError, load_settings

BUSY = an_answer(b"", status="503 Busy")


@pytest.fixture
def provider() -> Iterator[Provider]:
    with a_provider(published(RS)) as running:
        yield running


def faults_of(section: dict[str, Any] | None = None, **table: Any) -> str:
    """Return the faults of settings with this `[keys]` section and this issuer."""
    chosen = a_remote_table(**{"jwks_url": "https://login.example.test/jwks", **table})
    environ = an_environment(TOKENSVC_SESSIONS=json.dumps([chosen]))
    with pytest.raises(ConfigurationError) as caught:
        load_settings(environ, overrides={"keys": section or {}})
    return "\n".join(caught.value.faults)


# Where keys come from.


def test_jwks_url(tmp_path: Path, provider: Provider) -> None:
    """The keys come from the URL that is set."""
    clock = Clock()
    service = a_remote_service(tmp_path, clock, a_remote_table(jwks_url=provider.jwks_url))
    service.fetch()

    assert service.outcome(signed_by(RS, clock)) == (201, "ok")


@pytest.mark.parametrize(
    "table",
    [
        {"jwks_url": None},
        {"discovery": True},
        {"secret": "Zk3vQ8pLr2Xw9TbN6mHs4JdYc7FgA1eU"},
        {"jwks_file": "/etc/keys.json"},
        {"public_key_file": "/etc/key.pem"},
    ],
    ids=["none", "url and discovery", "url and secret", "url and file", "url and key"],
)
def test_exactly_one_source(table: dict[str, Any]) -> None:
    """Keys of two origins would be as safe as the worse of them; of none, there are none."""
    assert "set exactly one of" in faults_of(**table)


@pytest.mark.parametrize(
    "url", ["http://login.example.test/jwks", "https://u:p@x.test/", "login", "https://x.test/#a"]
)
def test_url_that_cannot_be_trusted(url: str) -> None:
    """Keys come over https, and the fault quotes nothing of the URL."""
    faults = faults_of(jwks_url=url)

    assert "sessions[0].jwks_url (TOKENSVC_SESSIONS): must" in faults
    assert url not in faults


@pytest.mark.parametrize("issuer", ["login", "http://login.example.test", "https://x.test/#a"])
def test_discovery_needs_an_issuer_with_an_address(issuer: str) -> None:
    """What is discovered is found at the issuer's own address."""
    faults = faults_of(jwks_url=None, discovery=True, issuer=issuer)

    assert "with discovery the issuer must" in faults


@pytest.mark.parametrize("algorithms", [["HS256"], ["RS256", "HS256"]])
@pytest.mark.parametrize("discovery", [False, True])
def test_secret_algorithms_are_refused(algorithms: list[str], *, discovery: bool) -> None:
    """What everybody can fetch is nobody's secret."""
    url = None if discovery else "https://login.example.test/jwks"
    faults = faults_of(algorithms=algorithms, discovery=discovery, jwks_url=url)

    assert "cannot be used with HS256" in faults


# The section [keys].


def test_directory(tmp_path: Path, provider: Provider) -> None:
    """The copies are kept where the operator wants them."""
    clock = Clock()
    table = a_remote_table(jwks_url=provider.jwks_url)
    service = a_remote_service(tmp_path, clock, table, directory=tmp_path / "mine")
    service.fetch()

    assert list((tmp_path / "mine").glob("*.json"))
    assert not (tmp_path / "keys").exists()


@pytest.mark.parametrize(("max_age_s", "fetches"), [(60, 2), (3600, 1)])
def test_max_age(tmp_path: Path, provider: Provider, max_age_s: int, fetches: int) -> None:
    """However long the issuer says that its keys are good, it is not longer than this."""
    clock = Clock()
    provider.answer = published(RS, cache_control="max-age=86400")
    table = a_remote_table(jwks_url=provider.jwks_url)
    service = a_remote_service(tmp_path, clock, table, max_age_s=max_age_s)
    service.fetch()
    clock.advance(60)
    service.fetch()

    assert provider.fetches == fetches


@pytest.mark.parametrize(("max_stale_s", "status"), [(300, 503), (7200, 201)])
def test_max_stale(tmp_path: Path, provider: Provider, max_stale_s: int, status: int) -> None:
    """An hour into an outage known keys are good, if the operator lets them be."""
    clock = Clock()
    table = a_remote_table(jwks_url=provider.jwks_url)
    service = a_remote_service(tmp_path, clock, table, max_stale_s=max_stale_s)
    service.fetch()
    provider.answer = BUSY
    clock.advance(3600)
    service.fetch()

    assert service.outcome(signed_by(RS, clock))[0] == status


def test_timeouts(tmp_path: Path, provider: Provider) -> None:
    """A fetch has the time that is set, and no more: a drip that never ends is cut off."""
    clock = Clock()
    provider.answer = ANSWERS["dripping body"][0]
    table = a_remote_table(jwks_url=provider.jwks_url)
    service = a_remote_service(tmp_path, clock, table, total_timeout_s=0.2)
    service.fetch()

    assert service.events()[0]["reason"] == "timeout"


def test_timeouts_reach_the_source() -> None:
    """Each of the two is handed on as it is."""
    chosen = load_settings(
        an_environment(
            TOKENSVC_SESSIONS=json.dumps([a_remote_table(jwks_url="https://x.test/jwks")]),
            TOKENSVC_KEYS__CONNECT_TIMEOUT_S="0.5",
            TOKENSVC_KEYS__TOTAL_TIMEOUT_S="7",
        )
    )

    (source,) = key_sources(chosen)
    assert source.reach.bounds == Bounds(connect_s=0.5, read_s=7, total_s=7)


@pytest.mark.parametrize("is_set", [True, False])
def test_ca_file(tmp_path: Path, *, is_set: bool) -> None:
    """An authority of one's own is trusted where it is set, and only there."""
    certificate = a_certificate(tmp_path)
    changes = {"ca_file": str(certificate.cert)} if is_set else {}
    environ = an_environment(
        TOKENSVC_SESSIONS=json.dumps([a_remote_table(jwks_url="https://x.test/jwks")])
    )
    (source,) = key_sources(load_settings(environ, overrides={"keys": changes}))

    assert source.reach.ca_file == (certificate.cert if is_set else None)


@pytest.mark.parametrize(
    "section",
    [
        {"max_age_s": 59},
        {"max_age_s": 3601},
        {"max_stale_s": 59},
        {"max_stale_s": 31 * 86400},
        {"max_age_s": 600, "max_stale_s": 599},
        {"connect_timeout_s": 0},
        {"total_timeout_s": 61},
        {"ca_file": "/nowhere/ca.pem"},
        {"colour": "red"},
    ],
)
def test_bounds(section: dict[str, Any]) -> None:
    """What makes no sense does not start."""
    assert "keys" in faults_of(section)


# Being ready.


def test_ready_once_keys_were_asked_for(tmp_path: Path, provider: Provider) -> None:
    """No login is sent to an instance before its first fetch has ended."""
    service = a_remote_service(tmp_path, Clock(), a_remote_table(jwks_url=provider.jwks_url))
    before = service.client.get("/readyz")
    service.fetch()

    assert (before.status_code, before.get_json()["code"]) == (503, "keys_unavailable")
    assert before.headers["Retry-After"] == "1"
    assert service.client.get("/readyz").status_code == 200


def test_ready_though_an_issuer_is_down(tmp_path: Path, provider: Provider) -> None:
    """An issuer that is down takes no instance away from the others' users; all are alive."""
    provider.answer = BUSY
    service = a_remote_service(tmp_path, Clock(), a_remote_table(jwks_url=provider.jwks_url))
    assert service.client.get("/livez").status_code == 200
    service.fetch()

    assert service.client.get("/readyz").status_code == 200


def test_ready_without_anything_to_fetch() -> None:
    """Where all keys are in the settings, an instance is ready at once."""
    service = a_service({"sessions": [a_sessions_table()]})

    assert service.client.get("/readyz").status_code == 200
