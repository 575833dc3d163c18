"""The emulator by itself: an offline CometChat to develop against."""

import signal
import ssl
import threading
from pathlib import Path
from typing import Any

import click

from tokensvc.emulator import EmulatorServer

EXISTING_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.option("--port", default=8090, show_default=True, help="The port on 127.0.0.1; 0: any.")
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
def emulator(**options: Any) -> None:  # noqa: ANN401 (click's, each with the type above)
    """Run an offline CometChat on loopback, until Ctrl-C.

    Users and tokens are kept in memory. Its REST and client sides answer under
    /v3 and /v3.0.
    """
    if (options["tls_cert"] is None) != (options["tls_key"] is None):
        raise click.UsageError("--tls-cert and --tls-key go together")
    ended = threading.Event()
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, lambda *_: ended.set())
    server = EmulatorServer(**options)
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
