"""TLS towards CometChat: who is at the other end is proven, or there is no call."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builders import API_KEY, APP_ID
from tests.journeys.certificates import Certificate, a_certificate
from tokensvc.adapters.http_client import HTTPClient, HTTPFailureError
from tokensvc.emulator import EmulatorServer

CREATE = ("POST", "/users", b'{"uid": "alice", "name": "Alice"}', {"apikey": API_KEY})


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    """Return a certificate for localhost, which no authority has signed."""
    return a_certificate(tmp_path)


@pytest.fixture
def emulator(certificate: Certificate) -> Iterator[EmulatorServer]:
    """Run the emulator over https."""
    with EmulatorServer(
        app_id=APP_ID, api_key=API_KEY, tls_cert=certificate.cert, tls_key=certificate.key
    ) as server:
        yield server


def test_trusted_certificate(emulator: EmulatorServer, certificate: Certificate) -> None:
    """With its authority in ca_file the call goes through."""
    url = f"https://localhost:{emulator.port}/v3"

    answer = HTTPClient(url, pool_size=2, ca_file=certificate.cert).send(*CREATE)

    assert answer.status == 200


def test_unknown_authority(
    emulator: EmulatorServer, certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it there is no call, whatever the environment says about bundles."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate.cert))
    monkeypatch.setenv("CURL_CA_BUNDLE", str(certificate.cert))

    with pytest.raises(HTTPFailureError):
        HTTPClient(f"https://localhost:{emulator.port}/v3", pool_size=2).send(*CREATE)

    assert emulator.requests == []


def test_wrong_host(emulator: EmulatorServer, certificate: Certificate) -> None:
    """A certificate for another name proves nothing: 127.0.0.1 is not in it."""
    client = HTTPClient(f"{emulator.url}/v3", pool_size=2, ca_file=certificate.cert)

    with pytest.raises(HTTPFailureError) as raised:
        client.send(*CREATE)

    assert (raised.value.reason, raised.value.is_sent) == ("tls_failed", False)
    assert emulator.requests == []
