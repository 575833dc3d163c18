"""The demo: the emulator, the service and a page to log in with, all on loopback."""

import json
import os
import secrets
import shlex
import sys
import threading
import time
from collections.abc import Iterator, MutableMapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import click
import requests

from tokensvc.cli.db import upgrade_storage
from tokensvc.cli.demo_app import DemoPlace, demo_app, serving
from tokensvc.cli.loading import settings_or_exit
from tokensvc.cli.serve import is_free, run_server
from tokensvc.cli.session_token import DevelopmentSigner
from tokensvc.cli.side_process import worker_beside
from tokensvc.domain.secrecy import DEVELOPMENT_MARK
from tokensvc.emulator import EmulatorServer
from tokensvc.settings import Settings
from tokensvc.settings_loading import CONFIG_NAME
from tokensvc.settings_sections import CometChatSettings

HOST: Final = "127.0.0.1"
PORT: Final = click.IntRange(1, 65535)
APP_ID, REGION, API_KEY = (
    f"TOKENSVC_COMETCHAT__{name}" for name in ("APP_ID", "REGION", "API_KEY")
)
API_KEY_FILE: Final = f"{API_KEY}_FILE"
SAMPLE_USER: Final = "alice"
DEACTIVATED_USER: Final = "dora"
READY_WITHIN_S: Final = 30.0
READY_POLL_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the demo listens."""

    page: int
    service: int
    emulator: int


@click.command()
@click.option("--port", type=PORT, default=8000, show_default=True, help="The page's port.")
@click.option("--service-port", type=PORT, default=8080, show_default=True)
@click.option("--emulator-port", type=PORT, default=8090, show_default=True)
def demo(port: int, service_port: int, emulator_port: int) -> None:
    """Start the emulator, the service and a page to log in with.

    With TOKENSVC_COMETCHAT__APP_ID, __REGION and __API_KEY (or __API_KEY_FILE) in the
    environment the service talks to the real CometChat, and no emulator is started.
    Ctrl-C ends all.
    """
    if not any(os.environ.get(name) for name in (CONFIG_NAME, "TOKENSVC_SESSIONS")):
        raise click.UsageError("which settings? tokensvc --config config/development.toml demo")
    ports = Ports(page=port, service=service_port, emulator=emulator_port)
    real = _wants_real_app(os.environ)
    _point_service(os.environ, ports, real=real)
    _demand_free(ports, real=real)
    with _storage_of_its_own(os.environ, real=real):
        _run(ports, real=real)


def _run(ports: Ports, *, real: bool) -> None:
    settings = settings_or_exit()
    upgrade_storage(settings)
    signer = DevelopmentSigner.of(settings)
    place = DemoPlace(
        service_url=f"http://{HOST}:{ports.service}",
        cometchat=settings.cometchat.rest_url if real else "the emulator",
        deactivated_user=None if real else DEACTIVATED_USER,
    )
    hosts = frozenset({f"{HOST}:{ports.page}", f"localhost:{ports.page}"})
    with ExitStack() as parts:
        if not real:
            parts.enter_context(_emulator(settings.cometchat, ports.emulator))
        app = demo_app(signer, place, hosts=hosts)
        parts.enter_context(_on_port("--port", ports.page, serving(app, HOST, ports.page)))
        session_token = signer.sign(_sample_claims(), lifetime_s=3600)
        announcement = _announcement(ports, place, session_token, _look_inside(settings))
        threading.Thread(target=_announce, args=(place, announcement), daemon=True).start()
        parts.enter_context(worker_beside())
        run_server(settings)


def _wants_real_app(environ: MutableMapping[str, str]) -> bool:
    key = API_KEY_FILE if environ.get(API_KEY_FILE) else API_KEY
    missing = [name for name in (APP_ID, REGION, key) if not environ.get(name)]
    given = [name for name in (APP_ID, REGION, key) if name not in missing]
    if given and missing:
        raise click.ClickException(f"for the real CometChat set {' and '.join(missing)} too")
    return bool(given)


def _demand_free(ports: Ports, *, real: bool) -> None:
    """End the command if ports are taken: all of them at once, each with its option."""
    wanted = {"--port": ports.page, "--service-port": ports.service}
    wanted |= {} if real else {"--emulator-port": ports.emulator}
    taken = [f"{port} ({option})" for option, port in wanted.items() if not is_free(HOST, port)]
    if taken:
        raise click.ClickException(f"these ports are taken, choose others: {', '.join(taken)}")


def _private_sessions() -> dict[str, object]:
    """Return an issuer with a secret of this run: the published one opens no real app."""
    return {
        "issuer": "https://app.localhost",
        "audience": "chat",
        "algorithms": ["HS256"],
        "secret": DEVELOPMENT_MARK + secrets.token_urlsafe(48),
    }


def _point_service(environ: MutableMapping[str, str], ports: Ports, *, real: bool) -> None:
    """Tell the service's processes where everything is."""
    base_url = f"http://{HOST}:{ports.emulator}/v3"
    if real:
        base_url = f"https://{environ[APP_ID]}.api-{environ[REGION]}.cometchat.io/v3"
        environ["TOKENSVC_SESSIONS"] = json.dumps([_private_sessions()])
    environ["TOKENSVC_COMETCHAT__BASE_URL"] = base_url
    environ["TOKENSVC_SERVER__HOST"] = HOST
    environ["TOKENSVC_SERVER__PORT"] = str(ports.service)
    environ["TOKENSVC_HTTP__ALLOWED_ORIGINS"] = (
        f'["http://{HOST}:{ports.page}", "http://localhost:{ports.page}"]'
    )


@contextmanager
def _emulator(cometchat: CometChatSettings, port: int) -> Iterator[None]:
    """Run the emulator with one user who is deactivated."""
    api_key = cometchat.api_key.get_secret_value()
    server = EmulatorServer(
        port=port, app_id=cometchat.app_id, region=cometchat.region, api_key=api_key
    )
    with _on_port("--emulator-port", port, server):
        with requests.Session() as session:
            session.trust_env = False
            session.headers["apikey"] = api_key
            users = f"{server.rest_url}/users"
            user = {"uid": DEACTIVATED_USER, "name": DEACTIVATED_USER.title()}
            session.post(users, json=user, timeout=5).raise_for_status()
            session.delete(f"{users}/{DEACTIVATED_USER}", timeout=5).raise_for_status()
        yield


@contextmanager
def _on_port(option: str, port: int, part: object) -> Iterator[None]:
    """Enter *part*, or say which port is taken and how to choose another."""
    with ExitStack() as stack:
        try:
            stack.enter_context(part)  # type: ignore[arg-type]  # (any context manager)
        except (OSError, SystemExit):
            # werkzeug ends the process by itself when a port is taken.
            raise click.ClickException(f"port {port} is taken; choose another: {option}") from None
        yield


@contextmanager
def _storage_of_its_own(environ: MutableMapping[str, str], *, real: bool) -> Iterator[None]:
    """Have a database that ends with the emulator: accounts of users who are gone are no use."""
    if real or any(environ.get(f"TOKENSVC_STORAGE__URL{suffix}") for suffix in ("", "_FILE")):
        yield
        return
    with TemporaryDirectory(prefix="tokensvc-demo-") as folder:
        environ["TOKENSVC_STORAGE__URL"] = f"sqlite:///{folder}/tokensvc.db"
        yield


def _sample_claims() -> dict[str, object]:
    return {"sub": SAMPLE_USER, "name": SAMPLE_USER.title()}


def _announce(place: DemoPlace, announcement: str) -> None:
    """Print *announcement* as soon as the service answers."""
    deadline = time.monotonic() + READY_WITHIN_S
    with requests.Session() as session:
        session.trust_env = False
        while time.monotonic() < deadline:
            try:
                ready = session.get(f"{place.service_url}/readyz", timeout=1).ok
            except requests.RequestException:
                ready = False
            if ready:
                click.echo(announcement)
                return
            time.sleep(READY_POLL_S)
    click.echo(f"{place.service_url} does not answer; the lines above may say why.", err=True)


def _look_inside(settings: Settings) -> str:
    """Return what to type in another terminal, which has none of the demo's variables."""
    storage_url = settings.storage.url.get_secret_value()
    told = {"TOKENSVC_COMETCHAT__BASE_URL": settings.cometchat.rest_url}
    if storage_url.startswith("sqlite:"):  # Another one may hold a password.
        told["TOKENSVC_STORAGE__URL"] = storage_url
    words = [f"{name}={shlex.quote(value)}" for name, value in told.items()]
    config_file = os.environ.get(CONFIG_NAME)
    words += [*_own_command(), *(["--config", shlex.quote(config_file)] if config_file else [])]
    return " ".join([*words, "sync status"])


def _own_command() -> list[str]:
    """Return what this command was called by: a virtual environment is on nobody's PATH."""
    called = Path(sys.argv[0])
    words = [sys.argv[0]] if called.name == "tokensvc" else [sys.executable, "-m", "tokensvc"]
    return [shlex.quote(word) for word in words]


def _announcement(ports: Ports, place: DemoPlace, session_token: str, look_inside: str) -> str:
    return f"""
  Demo page   http://{HOST}:{ports.page}/
  Service     {place.service_url}
  CometChat   {place.cometchat}

  A session token of {SAMPLE_USER}, as your own app would sign it (good for an hour):

{session_token}

  Log in with it:

curl -i -X POST {place.service_url}/v1/auth-tokens -H 'Authorization: Bearer {session_token}'

  Look into its inbox, in another terminal (`users show {SAMPLE_USER}` at the end works too):

{look_inside}

  Ctrl-C ends everything.
"""
