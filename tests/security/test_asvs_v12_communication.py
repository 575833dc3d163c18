"""ASVS V12: who is at the other end is proven, and nobody listens in."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.builders import (
    API_KEY,
    APP_ID,
    Service,
    a_service,
    a_service_with,
    a_token,
    an_environment,
    settings,
)
from tests.cli.test_commands import run
from tests.fakes import FakeDirectory
from tests.journeys.certificates import Certificate, a_certificate
from tokensvc.emulator import EmulatorServer
from tokensvc.settings_loading import ConfigurationError

TLS_FAILED = {"connection_failed", "tls_failed"}


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    """Return a certificate for localhost, which no authority has signed."""
    return a_certificate(tmp_path)


@dataclass
class TLSServer:
    """A server that takes what TLS it can; `handshakes` are the versions agreed upon."""

    port: int
    handshakes: list[str | None] = field(default_factory=list)


@contextmanager
def tls_server(
    certificate: Certificate, *, only: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2
) -> Iterator[TLSServer]:
    """Run a server that speaks this version of TLS, and says nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.cert, certificate.key)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = only
    listener = socket.create_server(("127.0.0.1", 0))
    server = TLSServer(listener.getsockname()[1])

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with suppress(OSError), context.wrap_socket(connection, server_side=True) as wire:
                    server.handshakes.append(wire.version())

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def old_client_at(port: int, certificate: Certificate, version: ssl.TLSVersion) -> None:
    """Shake hands as a client that takes anything, to show that the server would."""
    context = ssl.create_default_context(cafile=str(certificate.cert))
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.minimum_version = version
    with (
        socket.create_connection(("127.0.0.1", port), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as wire,
    ):
        wire.read()


# The old versions are deprecated, which is the point.
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize("version", ["TLSv1", "TLSv1_1"])
def test_v12_1_1_old_tls_is_refused(certificate: Certificate, version: str) -> None:
    """A CometChat that speaks TLS 1.0 or 1.1 alone is not talked to; an old client would."""
    old = ssl.TLSVersion[version]
    with tls_server(certificate, only=old) as server:
        answer = a_service_towards(server.port, certificate).login()
        refused = list(server.handshakes)
        old_client_at(server.port, certificate, old)

    assert (answer.status_code, refused, len(server.handshakes)) == (503, [], 1)


def a_service_towards(port: int, certificate: Certificate | None = None) -> Service:
    """Return a service whose CometChat is on localhost, over TLS."""
    trust = {"ca_file": str(certificate.cert)} if certificate else {}
    return a_service({"cometchat": {"base_url": f"https://localhost:{port}/v3", **trust}})


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_v12_1_1_new_tls_is_spoken(certificate: Certificate, version: ssl.TLSVersion) -> None:
    """TLS 1.2 and 1.3 are spoken."""
    with tls_server(certificate, only=version) as server:
        a_service_towards(server.port, certificate).login()

    assert {str(agreed).replace(".", "_") for agreed in server.handshakes} == {version.name}


@pytest.mark.parametrize(
    "url", ["http://api.example.com/v3", "http://localhost.example.com/v3", "ftp://x.test/v3"]
)
def test_v12_3_1_cometchat_over_https_alone(url: str) -> None:
    """A base URL without TLS does not start, unless it is this machine."""
    with pytest.raises(ConfigurationError, match="https"):
        settings(cometchat={"base_url": url})


def test_v12_3_1_https_does_not_fall_back(certificate: Certificate) -> None:
    """Where CometChat stops speaking TLS nothing is sent in the clear."""
    heard: list[bytes] = []

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def listen() -> None:
            connection, _ = listener.accept()
            with connection:
                heard.append(connection.recv(65536))

        thread = threading.Thread(target=listen)
        thread.start()
        answer = a_service_towards(listener.getsockname()[1], certificate).login()
        thread.join(5)

    assert answer.status_code == 503
    assert heard[0].startswith(b"\x16\x03")
    assert API_KEY.encode() not in heard[0]


@pytest.mark.parametrize(
    ("url", "warned"),
    [
        ("redis://redis.example.com:6379/0", True),
        ("rediss://redis.example.com:6379/0", False),
        ("redis://127.0.0.1:6379/0", False),
    ],
)
def test_v12_3_1_unencrypted_redis_is_warned_of(url: str, *, warned: bool) -> None:
    """A Redis on another host without TLS is named before the service starts."""
    done = run("config", "check", environ=an_environment(TOKENSVC_LIMITS__STORAGE_URL=url))

    assert done.returncode == 0
    assert ("use rediss://" in done.stderr) == warned


def test_v12_3_2_unknown_authority_gets_no_request(certificate: Certificate) -> None:
    """A CometChat whose certificate nobody we trust has signed learns no key; trusted it would."""
    with EmulatorServer(
        app_id=APP_ID, api_key=API_KEY, tls_cert=certificate.cert, tls_key=certificate.key
    ) as emulator:
        refusing = a_service_towards(emulator.port)
        refused = refusing.login()
        calls = len(emulator.requests)
        accepted = a_service_towards(emulator.port, certificate).login()

    assert (refused.status_code, calls, accepted.status_code) == (503, 0, 201)
    assert refusing.records()[0]["reason"] in TLS_FAILED


def test_v12_3_2_certificate_of_another_host_gets_no_request(certificate: Certificate) -> None:
    """A good certificate for another name proves nothing."""
    with EmulatorServer(
        app_id=APP_ID, api_key=API_KEY, tls_cert=certificate.cert, tls_key=certificate.key
    ) as emulator:
        url = f"https://127.0.0.1:{emulator.port}/v3"
        trust = {"base_url": url, "ca_file": str(certificate.cert)}
        answer = a_service({"cometchat": trust}).login()

    assert (answer.status_code, emulator.requests) == (503, [])


def test_v12_3_2_unknown_redis_gets_nothing(certificate: Certificate) -> None:
    """A Redis that nobody we trust has signed is told nothing; limits hold in the process."""
    with tls_server(certificate) as server:
        limits = {"per_user": "1 per day", "storage_url": f"rediss://localhost:{server.port}/0"}
        service = a_service_with(FakeDirectory(), limits=limits)
        statuses = [service.login(a_token()).status_code for _ in range(2)]

    assert (statuses, server.handshakes) == ([201, 429], [])


@pytest.mark.parametrize(
    "option", ["ssl_cert_reqs=none", "ssl_cert_reqs=%6eone", "ssl_check_hostname=false"]
)
def test_v12_3_2_verification_cannot_be_turned_off(option: str) -> None:
    """A Redis URL that asks for unverified certificates does not start."""
    with pytest.raises(ConfigurationError, match="verification of certificates"):
        settings(limits={"storage_url": f"rediss://redis.example.com/0?{option}"})
    settings(limits={"storage_url": "rediss://redis.example.com/0?ssl_cert_reqs=required"})
