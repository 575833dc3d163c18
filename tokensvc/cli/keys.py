"""The keys that session tokens are verified with: fetched now, and shown."""

import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Final

import click

from tokensvc.adapters.key_copies import KeyStoreError
from tokensvc.adapters.key_refresh import KeyChange, KeyName, refresh
from tokensvc.adapters.key_sets import KeyPolicyError, keys_from_jwks
from tokensvc.adapters.key_source import KeyFetchError, KeySource
from tokensvc.adapters.key_store import KeyStore
from tokensvc.cli.commands import Commands
from tokensvc.cli.loading import settings_or_exit
from tokensvc.services_keys import key_sources, key_store
from tokensvc.settings import Settings
from tokensvc.settings_sections import SessionSettings

ANY_KID: Final = "(any kid)"
NO_KID: Final = "(no kid)"
"""A pinned key answers to any kid; a key of a set that has none, to tokens without one."""
_FILES: Final = ("secret_file", "public_key_file", "jwks_file")


@click.group(cls=Commands)
def keys() -> None:
    """Fetch and show the keys that session tokens are verified with."""


@keys.command("refresh")
@click.option("--issuer", help="This issuer alone. [default: all whose keys are fetched]")
def refresh_keys(issuer: str | None) -> None:
    """Fetch key sets now, and keep them where running processes look every few seconds.

    Run it as the user and with the settings of the service. A key that the issuer
    has removed is refused within 10 seconds. Exits with 1 if a set could not be
    fetched or kept; then the old one stays in use.
    """
    settings = settings_or_exit()
    store = key_store(settings)
    outcomes = [_refreshed(source, store) for source in _chosen(settings, issuer)]
    if not outcomes:
        click.echo("No issuer has its keys at a URL: there is nothing to fetch.")
    if not all(outcomes):
        sys.exit(1)


@keys.command("show")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def show_keys(*, as_json: bool) -> None:
    """Print each issuer's keys: where they are from, their kids and algorithms, their age.

    Fetches nothing: of issuers with a URL it shows the last good set on disk.
    Exits with 1 if an issuer has no keys that could be used.
    """
    shown = list(_shown(settings_or_exit()))
    if as_json:
        click.echo(json.dumps([asdict(one) for one in shown], indent=1))
    else:
        click.echo("\n\n".join("\n".join(_lines(one)) for one in shown))
    if not all(one.keys for one in shown):
        sys.exit(1)


@dataclass(frozen=True, slots=True)
class ShownKeys:
    """One issuer's keys, as a person or a program wants to see them."""

    issuer: str
    source: str
    location: str | None
    keys: Mapping[str, list[str]] = field(default_factory=dict)
    fetched_at: str | None = None
    age_s: int | None = None
    fault: str | None = None


def _chosen(settings: Settings, issuer: str | None) -> list[KeySource]:
    sources = [one for one in key_sources(settings) if issuer in {None, one.issuer}]
    if issuer is not None and not sources:
        known = issuer in {table.issuer for table in settings.sessions}
        problem = "has its keys in the settings" if known else "is no issuer in the settings"
        raise click.BadParameter(f"{issuer!r} {problem}", param_hint="--issuer")
    return sources


def _refreshed(source: KeySource, store: KeyStore) -> bool:
    """Fetch and keep one set; say how that went, and return whether it went well."""
    try:
        change = refresh(source, store, now=time.time)
    except KeyFetchError as error:
        reason = f"{error.reason} ({error.detail})" if error.detail else error.reason
        click.echo(f"{source.issuer}: not fetched: {reason}; the old set stays", err=True)
        return False
    except KeyStoreError as error:
        click.echo(f"{source.issuer}: fetched, but not kept: {error.reason}", err=True)
        return False
    click.echo(f"{source.issuer}: fetched; {'this changed:' if change else 'nothing changed'}")
    for line in _change_lines(change):
        click.echo(line)
    return True


def _change_lines(change: KeyChange) -> Iterator[str]:
    for word in ("added", "removed", "replaced"):
        for kid, algorithms in _by_kid(getattr(change, word)).items():
            yield f"  {word:8}  {kid}  {', '.join(algorithms)}"


def _shown(settings: Settings) -> Iterator[ShownKeys]:
    sources = {source.issuer: source for source in key_sources(settings)}
    store = key_store(settings)
    for table in settings.sessions:
        source = sources.get(table.issuer)
        yield _of_copy(source, store) if source else _of_settings(table)


def _of_settings(table: SessionSettings) -> ShownKeys:
    loaded = table.load_keys()
    location = next((str(getattr(table, name)) for name in _FILES if getattr(table, name)), None)
    kind = next(name for name in ("secret", *_FILES[1:]) if getattr(table, name) is not None)
    names: Iterable[KeyName | str] = loaded.keys
    return ShownKeys(table.issuer, kind, location, _by_kid(names))


def _of_copy(source: KeySource, store: KeyStore) -> ShownKeys:
    kind = "discovery" if source.is_discovery else "jwks_url"
    try:
        copy = store.load(source.issuer, source.url)
        if copy is None:
            return ShownKeys(source.issuer, kind, source.url, fault="never_fetched")
        found = keys_from_jwks(copy.jwks, source.algorithms)
    except KeyStoreError as error:
        return ShownKeys(source.issuer, kind, source.url, fault=error.reason)
    except KeyPolicyError:
        return ShownKeys(source.issuer, kind, source.url, fault="copy_refused")
    fetched_at = datetime.fromtimestamp(int(copy.fetched_at), UTC).isoformat()
    age_s = max(0, int(time.time() - copy.fetched_at))
    return ShownKeys(source.issuer, kind, source.url, _by_kid(found.keys), fetched_at, age_s)


def _by_kid(names: Iterable[KeyName | str]) -> dict[str, list[str]]:
    """Return the algorithms by kid; a kid that could move a terminal's cursor is quoted."""
    found: dict[str, list[str]] = {}
    for name in names:
        kid, algorithm = (ANY_KID, name) if isinstance(name, str) else name
        shown = NO_KID if kid is None else kid
        if not (shown.isascii() and shown.isprintable()):
            shown = json.dumps(shown)
        found.setdefault(shown, []).append(algorithm)
    return {kid: sorted(algorithms) for kid, algorithms in sorted(found.items())}


def _lines(shown: ShownKeys) -> Iterator[str]:
    yield shown.issuer
    yield f"  source   {shown.source}" + (f"  {shown.location}" if shown.location else "")
    if shown.fetched_at:
        yield f"  fetched  {shown.fetched_at}  ({shown.age_s} s ago)"
    if shown.fault:
        yield f"  fault    {shown.fault}"
    width = max(map(len, shown.keys), default=0)
    for kid, algorithms in shown.keys.items():
        yield f"  key      {kid:{width}}  {', '.join(algorithms)}"
