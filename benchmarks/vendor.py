"""The fake vendor's process: started, trusted, and told how to behave."""

import datetime as dt
import ipaddress
import json
import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from benchmarks.processes import Process, running
from tests.ports import a_free_port

ROOT: Final = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Vendor:
    """A running fake vendor; without *certificate* it speaks plain HTTP."""

    process: Process
    certificate: Path | None = None

    @property
    def url(self) -> str:
        """Return where it is, without a path."""
        return f"http{'s' if self.certificate else ''}://127.0.0.1:{self.process.port}"

    @property
    def tls(self) -> ssl.SSLContext | None:
        """Return how to reach it oneself."""
        return ssl.create_default_context(cafile=self.certificate) if self.certificate else None

    def trusted_by(self) -> dict[str, str]:
        """Return the variables by which each language's clients trust its certificate."""
        if self.certificate is None:
            return {}
        names = ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS")
        return dict.fromkeys((*names, "TOKENSVC_COMETCHAT__CA_FILE"), str(self.certificate))

    def behaves(self, **order: float | str) -> int:
        """Let it behave otherwise; return how many tokens it has handed out so far."""
        port, tls = self.process.port, self.tls
        connection = (
            HTTPSConnection("127.0.0.1", port, context=tls, timeout=10)
            if tls
            else HTTPConnection("127.0.0.1", port, timeout=10)
        )
        connection.request("POST", "/control", json.dumps(order))
        told: dict[str, int] = json.load(connection.getresponse())
        connection.close()
        return told["answered"]


@contextmanager
def a_vendor(folder: Path, *, speaks_tls: bool) -> Iterator[Vendor]:
    """Run the fake vendor until the block ends."""
    port, certificate = a_free_port(), folder / "certificate.pem"
    words = [sys.executable, "-m", "benchmarks.fake_vendor", "--port", str(port)]
    if speaks_tls:
        key = folder / "key.pem"
        write_certificate(certificate, key)
        words += ["--certificate", str(certificate), "--key", str(key)]
    with running(words, {"PYTHONPATH": str(ROOT)}, port, folder, ready=None) as process:
        yield Vendor(process, certificate if speaks_tls else None)


def write_certificate(certificate: Path, key: Path) -> None:
    """Write a certificate for loopback, signed by itself, and its key."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fake vendor")])
    now = dt.datetime.now(dt.UTC)
    loopback = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
    identifier = x509.SubjectKeyIdentifier.from_public_key(private.public_key())
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName(loopback), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(identifier, critical=False)
        .sign(private, hashes.SHA256())
    )
    certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
