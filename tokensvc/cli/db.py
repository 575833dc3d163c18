"""The database: its schema, looked at and upgraded."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import click

from tokensvc.adapters.database import Database
from tokensvc.adapters.engines import Waits
from tokensvc.adapters.schema import REVISION, SchemaError, demand_schema, revision_of
from tokensvc.cli.commands import Commands
from tokensvc.cli.config import without_password
from tokensvc.cli.loading import end_for_storage, settings_or_exit
from tokensvc.domain.errors import StorageUnavailableError
from tokensvc.settings import Settings

AWAY: Final = 75
"""EX_TEMPFAIL of sysexits.h: the same command may succeed later."""
PATIENCE_S: Final = 600.0
"""A migration may rewrite a large table, and waits for whoever is at work in it."""


@click.group(cls=Commands)
def db() -> None:
    """Make, upgrade and look at the tables."""


@db.command()
def upgrade() -> None:
    """Bring the database to this release's schema; make it if there is none.

    Do so before the new release starts. What is there is kept; make a backup first.
    """
    settings = settings_or_exit()
    upgrade_storage(settings)
    click.echo(f"{without_password(settings.storage.url)} has schema {REVISION}.")


@db.command()
def status() -> None:
    """Tell which schema the database has; exit with 78 if this release cannot use it."""
    settings = settings_or_exit()
    database = Database(settings.storage.url.get_secret_value())
    with _faults_told():
        demand_schema(database)
        click.echo(f"database  {without_password(settings.storage.url)}")
        click.echo(f"schema    {revision_of(database)}, which this release needs")


def upgrade_storage(settings: Settings) -> None:
    """Upgrade the database of *settings*, or end the command and say why that cannot be."""
    # Alembic takes a while to load, and nothing else needs it.
    from tokensvc.adapters import upgrading  # noqa: PLC0415

    waits = Waits(pool_size=1, statement_timeout_s=PATIENCE_S)
    database = Database(settings.storage.url.get_secret_value(), waits)
    with _faults_told():
        upgrading.upgrade(database)
    database.close()


@contextmanager
def _faults_told() -> Iterator[None]:
    try:
        yield
    except SchemaError as error:
        end_for_storage(error)
    except StorageUnavailableError as error:
        click.echo(f"the database cannot be asked: {error.reason}", err=True)
        sys.exit(AWAY)
