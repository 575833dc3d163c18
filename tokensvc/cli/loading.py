"""What commands need before they begin: settings and a storage that can be used, or the faults."""

import os
import sys
from typing import Final, NoReturn

import click

from tokensvc.adapters.database import Database
from tokensvc.adapters.schema import SchemaError, demand_schema
from tokensvc.adapters.storage_faults import DAMAGED
from tokensvc.domain.errors import StorageUnavailableError
from tokensvc.services_storage import Storage, storage_of
from tokensvc.settings import Settings
from tokensvc.settings_faults import setting_name
from tokensvc.settings_loading import ConfigurationError, load_settings

BAD_CONFIGURATION = 78
"""EX_CONFIG of sysexits.h."""
CANNOT_BE_MADE: Final = (SchemaError, StorageUnavailableError)


def settings_or_exit() -> Settings:
    """Return the settings, or end the process with every fault named."""
    try:
        return load_settings(os.environ)
    except ConfigurationError as error:
        _tell(error)
        sys.exit(BAD_CONFIGURATION)


def demand_storage(settings: Settings) -> None:
    """Return if this release can use the database, or end the process and say what to do.

    This is for what answers logins. A database that cannot be asked at the moment is a
    warning: whoever is known can log in without it, and a restart during its outage must
    not end that. Where the default one cannot be made, logins alone go on without any.
    """
    storage = storage_of(settings)
    try:
        _make_default(storage)
    except CANNOT_BE_MADE as error:
        if settings.webhooks:
            end_for_storage(error)
        click.echo(
            f"warning: {error}; without a database nobody is known to be deleted or "
            "suspended: set storage.url (TOKENSVC_STORAGE__URL)",
            err=True,
        )
        return
    try:
        _demand_schema_or_exit(storage.database)
    except StorageUnavailableError as error:
        click.echo(f"warning: the database cannot be asked: {error.reason}", err=True)


def demand_database(settings: Settings) -> None:
    """Likewise, for what does nothing without a database.

    Raises `StorageUnavailableError` if it cannot be asked at the moment; a file that is
    damaged, or no database, will not be one after a while either.
    """
    storage = storage_of(settings)
    try:
        _make_default(storage)
    except CANNOT_BE_MADE as error:
        end_for_storage(error)
    try:
        _demand_schema_or_exit(storage.database)
    except StorageUnavailableError as error:
        if storage.database.file and error.reason == DAMAGED:
            end_for_storage(f"{storage.database.file} is damaged, or no database at all")
        raise


def schema_fault(settings: Settings) -> SchemaError | None:
    """Return what has to be done to the database before a start, as far as that can be told now."""
    storage = storage_of(settings)
    if storage.is_kept:
        try:
            demand_schema(storage.database)
        except SchemaError as error:
            return error
        except StorageUnavailableError:
            return None
        finally:
            storage.database.close()
    return None


def _make_default(storage: Storage) -> None:
    """Make the default database if there is none; raises `SchemaError` where that cannot be.

    One that the operator has named is not made: it may be on a volume that is missing,
    and with it all that is known of deleted users.
    """
    if not storage.is_kept:
        # Alembic takes a while to load, and nothing else needs it.
        from tokensvc.adapters import upgrading  # noqa: PLC0415

        upgrading.upgrade(storage.database)


def _demand_schema_or_exit(database: Database) -> None:
    try:
        demand_schema(database)
    except SchemaError as error:
        end_for_storage(error)
    finally:
        database.close()


def end_for_storage(error: object) -> NoReturn:
    """End the process, and say why the database cannot be used as faults of the settings are."""
    click.echo("tokensvc cannot start: 1 fault in the storage", err=True)
    click.echo(f"  {setting_name(['storage', 'url'])}: {error}", err=True)
    sys.exit(BAD_CONFIGURATION)


def _tell(error: ConfigurationError) -> None:
    count = len(error.faults)
    click.echo(f"tokensvc cannot start: {count} fault{'s' * (count > 1)} in the settings", err=True)
    for fault in error.faults:
        click.echo(f"  {fault}", err=True)
