"""The emulator by itself: an offline CometChat to develop against."""

import signal
import ssl
import threading
import time
from pathlib import Path
from typing import Any

import click

from tokensvc.emulator import EmulatorServer
from tokensvc.emulator.faults import KINDS, FaultError, parse_fault

PORT_OR_ANY = click.IntRange(0, 65535)
EXISTING_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.option(
    "--port", type=PORT_OR_ANY, default=8090, show_default=True, help="On 127.0.0.1; 0: any."
)
@click.option("--tls-cert", type=EXISTING_FILE, help="Serve https with this PEM certificate.")
@click.option("--tls-key", type=EXISTING_FILE, help="The certificate's private key.")
@click.option("--app-id", default="emulated0app0001", show_default=True)
@click.option("--region", default="us", show_default=True)
@click.option(
    "--api-key",
    default="development-only-rest-key-of-the-emulator",
    show_default=True,
    help="The REST API key (scope fullAccess).",
)
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="KIND[=VALUE][;NAME=VALUE...]",
    help="Misbehave; `--fault help` lists how.",
)
def emulator(faults: tuple[str, ...], **options: Any) -> None:  # noqa: ANN401 (click's, each with the type above)
    """Run an offline CometChat on loopback, until Ctrl-C.

    Users and tokens are kept in memory. Its REST and client sides answer under
    /v3 and /v3.0. Faults can also be ordered while it runs: POST, GET and DELETE
    /emulator/faults with the apikey header and {"fault": "429=15;times=3"}.
    """
    if "help" in faults:
        click.echo(_faults_explained())
        return
    if (options["tls_cert"] is None) != (options["tls_key"] is None):
        raise click.UsageError("--tls-cert and --tls-key go together")
    ended = threading.Event()
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, lambda *_: ended.set())
    server = EmulatorServer(**options)
    for text in faults:
        try:
            server.faults.order(parse_fault(text, time.time()))
        except FaultError as error:
            raise click.BadParameter(str(error), param_hint="--fault") from None
    try:
        server.start()
    except ssl.SSLError:
        raise click.ClickException("--tls-cert and --tls-key are no pair of PEM files") from None
    except OSError:
        msg = f"port {options['port']} is taken; choose another: --port"
        raise click.ClickException(msg) from None
    click.echo(f"An emulated CometChat answers at {server.rest_url}; Ctrl-C ends it.")
    ended.wait()
    server.stop()


def _faults_explained() -> str:
    width = max(map(len, KINDS))
    kinds = "\n".join(f"  {kind:{width}}  {text}" for kind, text in KINDS.items())
    return f"""--fault 'KIND[=VALUE][;method=POST][;path=*/users/*][;uid=alice][;times=3][;for=10]'

{kinds}

times: for so many requests; for: so many seconds from now on. The first that fits strikes."""
