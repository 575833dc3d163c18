"""The settings, looked at: whether they can be used, and which they are."""

import json
import sys
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

import click
from pydantic import SecretStr

from tokensvc.adapters.key_urls import is_loopback
from tokensvc.cli.commands import Commands
from tokensvc.cli.loading import schema_fault, settings_or_exit
from tokensvc.domain.secrecy import DEVELOPMENT_MARK
from tokensvc.services_online import Neighbour, NotUsableError, neighbours
from tokensvc.settings import Settings

MASKED = "********"
NOT_USABLE = 1


@click.group(cls=Commands)
def config() -> None:
    """Check and show the settings."""


@config.command()
@click.option("--online", is_flag=True, help="Ask everybody whom they name, once.")
def check(*, online: bool) -> None:
    """Tell whether the settings can be used; exit with 78 and all faults if not.

    With --online also whether CometChat takes each REST key, and whether the issuers'
    keys, Redis and the database can be had: exit with 1 if something is not usable now.
    """
    settings = settings_or_exit()
    click.echo("The settings can be used.")
    for warning in warnings_about(settings):
        click.echo(f"warning: {warning}", err=True)
    if online:
        unusable = [one for one in neighbours(settings) if not _is_usable(one)]
        sys.exit(NOT_USABLE if unusable else 0)
    if fault := schema_fault(settings):
        click.echo(f"warning: nothing starts on this database: {fault}", err=True)


def _is_usable(neighbour: Neighbour) -> bool:
    """Ask *neighbour*, and say what came of it."""
    try:
        click.echo(f"{neighbour.name} {neighbour.ask()}")
    except NotUsableError as error:
        click.echo(f"{neighbour.name} {error}")
        return False
    return True


@config.command()
def show() -> None:
    """Print the settings in force as TOML, secrets masked."""
    settings = settings_or_exit()
    values = settings.model_dump()
    values["cometchat"]["base_url"] = settings.cometchat.rest_url
    values["storage"]["url"] = without_password(settings.storage.url)
    values["limits"]["storage_url"] = without_password(settings.limits.storage_url)
    for line in _toml(values):
        click.echo(line)


def warnings_about(settings: Settings) -> Iterator[str]:
    """Yield what is allowed and may surprise."""
    if settings.development:
        yield "development is true: the published keys are trusted; never do this in production"
    elif settings.cometchat.api_key.get_secret_value().startswith(DEVELOPMENT_MARK):
        yield "the REST API key is the emulator's"
    in_memory = settings.limits.storage_url.get_secret_value().startswith("memory")
    if in_memory and settings.server.workers != 1:
        yield (
            "limits.storage_url is memory://: each worker process counts by itself, so that "
            "with several of them a user may do more; use Redis to count together"
        )
    storage = urlsplit(settings.limits.storage_url.get_secret_value())
    if storage.scheme == "redis" and not is_loopback(storage.hostname):
        yield "limits.storage_url is redis:// to another host: unencrypted; use rediss://"
    if not settings.http.allowed_origins:
        yield "http.allowed_origins is empty: no web page may call the service"


def without_password(secret: SecretStr) -> str:
    """Return a URL as it is, but for the password in it."""
    text = secret.get_secret_value()
    url = urlsplit(text)
    if url.password is None:
        return text
    return url._replace(netloc=f"{url.username}:{MASKED}@{url.netloc.rpartition('@')[2]}").geturl()


def _toml(values: Mapping[str, object], path: str = "") -> Iterator[str]:
    tables = {name: _tables_in(value) for name, value in values.items()}
    for name, value in values.items():
        if not tables[name] and value is not None:
            yield f"{name} = {_toml_value(value)}"
    for name, found in tables.items():
        heading = f"{path}{name}"
        for table in found:
            yield f"\n[[{heading}]]" if isinstance(values[name], list) else f"\n[{heading}]"
            yield from _toml(table, f"{heading}.")


def _tables_in(value: object) -> list[dict[str, object]]:
    if isinstance(value, dict):
        return [value]
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _toml_value(value: object) -> str:
    if isinstance(value, SecretStr):
        return json.dumps(MASKED)
    if isinstance(value, list):
        return f"[{', '.join(_toml_value(item) for item in value)}]"
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    return json.dumps(str(value))
