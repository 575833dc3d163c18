"""What commands need before they begin: settings and a storage that can be used, or the faults."""

import os
import sys

import click

from tokensvc.adapters.database import Database
from tokensvc.adapters.schema import SchemaError, demand_schema
from tokensvc.domain.errors import StorageUnavailableError
from tokensvc.services_storage import storage_of
from tokensvc.settings import Settings
from tokensvc.settings_faults import setting_name
from tokensvc.settings_loading import ConfigurationError, load_settings

BAD_CONFIGURATION = 78
"""EX_CONFIG of sysexits.h."""


def settings_or_exit() -> Settings:
    """Return the settings, or end the process with every fault named."""
    try:
        return load_settings(os.environ)
    except ConfigurationError as error:
        _tell(error)
        sys.exit(BAD_CONFIGURATION)


def demand_storage(settings: Settings) -> None:
    """Return if this release can use the database, or end the process and say what to do.

    A server that cannot be asked at the moment is a warning: whoever is known can
    log in without it, and a restart during its outage must not end that. The default
    database is made if there is none. One that the operator has named is not: it may
    be on a volume that is missing, and with it all that is known of deleted users.
    """
    storage = storage_of(settings)
    if not storage.is_kept and not _is_made(settings, storage.database):
        return
    database = storage.database
    try:
        demand_schema(database)
    except SchemaError as error:
        tell_storage_fault(error)
        sys.exit(BAD_CONFIGURATION)
    except StorageUnavailableError as error:
        click.echo(f"warning: the database cannot be asked: {error.reason}", err=True)
    finally:
        database.close()


def _is_made(settings: Settings, database: Database) -> bool:
    """Make the default database; where that cannot be, logins alone go on without one."""
    # Alembic takes a while to load, and nothing else needs it.
    from tokensvc.adapters import upgrading  # noqa: PLC0415

    try:
        upgrading.upgrade(database)
    except (SchemaError, StorageUnavailableError) as error:
        if not settings.webhooks:
            click.echo(
                f"warning: {error}; without a database nobody is known to be deleted or "
                "suspended: set storage.url (TOKENSVC_STORAGE__URL)",
                err=True,
            )
            return False
    return True


def tell_storage_fault(error: SchemaError) -> None:
    """Say why the database cannot be used, as faults of the settings are said."""
    click.echo("tokensvc cannot start: 1 fault in the storage", err=True)
    click.echo(f"  {setting_name(['storage', 'url'])}: {error}", err=True)


def _tell(error: ConfigurationError) -> None:
    count = len(error.faults)
    click.echo(f"tokensvc cannot start: {count} fault{'s' * (count > 1)} in the settings", err=True)
    for fault in error.faults:
        click.echo(f"  {fault}", err=True)
