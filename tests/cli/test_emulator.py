"""`tokensvc emulator`: an offline CometChat of one's own."""

import socket
from pathlib import Path

import requests

from tests.cli.test_commands import run
from tests.journeys.certificates import a_certificate
from tests.ports import a_free_port
from tests.processes import running

KEY = {"apikey": "key-of-the-emulator-0001"}


def test_emulator_answers(tmp_path: Path) -> None:
    """It serves the REST API with the key it was given, and ends on SIGTERM."""
    port = a_free_port()
    url = f"http://127.0.0.1:{port}"
    arguments = ("emulator", "--port", str(port), "--api-key", KEY["apikey"])
    with running(tmp_path, *arguments, url=url, environ={}, ready=None) as process:
        created = requests.post(
            f"{url}/v3/users", json={"uid": "Alice", "name": "A"}, headers=KEY, timeout=5
        )
        refused = requests.get(f"{url}/v3/users", headers={"apikey": "other"}, timeout=5)
        code = process.end()

    assert (created.json()["data"]["uid"], refused.status_code, code) == ("alice", 401, 0)
    assert f"{url}/v3" in process.stdout.read_text()


def test_emulator_over_tls(tmp_path: Path) -> None:
    """With a certificate it serves https."""
    certificate, port = a_certificate(tmp_path), a_free_port()
    arguments = ("--tls-cert", str(certificate.cert), "--tls-key", str(certificate.key))
    url = f"https://localhost:{port}"
    with running(
        tmp_path, "emulator", "--port", str(port), *arguments, url=url, environ={}, ready=None
    ):
        answer = requests.get(f"{url}/v3/users", timeout=5, verify=str(certificate.cert))

    assert answer.json()["error"]["code"] == "AUTH_ERR_EMPTY_APIKEY"


def test_emulator_on_a_taken_port() -> None:
    """A port that is taken is a sentence."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run("emulator", "--port", port, environ={})

    assert done.returncode == 1
    assert done.stderr == f"Error: port {port} is taken; choose another: --port\n"


def test_certificate_without_a_key(tmp_path: Path) -> None:
    """Half of a pair is a mistake in the command line."""
    done = run("emulator", "--tls-cert", str(a_certificate(tmp_path).cert), environ={})

    assert (done.returncode, "go together" in done.stderr) == (2, True)


def test_files_that_are_no_certificate(tmp_path: Path) -> None:
    """So are files that hold something else: the port is not to blame."""
    certificate = a_certificate(tmp_path)
    arguments = ("--tls-cert", str(certificate.key), "--tls-key", str(certificate.cert))

    done = run("emulator", "--port", str(a_free_port()), *arguments, environ={})

    assert (done.returncode, "no pair of PEM files" in done.stderr) == (1, True)
