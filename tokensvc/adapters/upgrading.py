"""Upgrading: the migrations, run on a database by the one command that is for it."""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, text

from tokensvc.adapters.database import Database
from tokensvc.adapters.engines import make_file
from tokensvc.adapters.filesystems import FilesystemOf, filesystem_of
from tokensvc.adapters.schema import (
    REVISION,
    SchemaError,
    demand_access,
    demand_place,
    revision_of,
)

_ONE_AT_A_TIME: Final = 0x746F6B656E737663
"""Names the lock under which PostgreSQL is upgraded."""


def upgrade(database: Database, *, filesystem: FilesystemOf = filesystem_of) -> None:
    """Bring the database to this release's schema, in one transaction; make a file if need be.

    Raises `SchemaError` where that cannot be, and `StorageUnavailableError`.
    """
    if database.file:
        demand_place(database.file, filesystem)
        try:
            make_file(database.file)
        except OSError as error:
            raise SchemaError(f"{database.file} cannot be made: {error.strerror}") from None
        demand_access(database.file)
    found = revision_of(database)
    if found is not None and found > REVISION:
        raise SchemaError(f"the database has schema {found}, of a newer release")
    try:
        database.write(_upgrade_alone)
    except CommandError:
        raise SchemaError(f"the database has schema {found}, which no release has made") from None


def _upgrade_alone(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ONE_AT_A_TIME})
    migrate(connection)


def migrate(connection: Connection, revision: str = REVISION) -> None:
    """Run what leads to *revision* in the transaction of *connection*."""
    command.upgrade(configuration(connection), revision)


def configuration(connection: Connection | None = None) -> Config:
    """Return what Alembic needs to know: where the migrations are, and on what to run them."""
    config = Config()
    # A percent sign would be read as the beginning of a reference.
    place = str(Path(__file__).with_name("migrations")).replace("%", "%%")
    config.set_main_option("script_location", place)
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
