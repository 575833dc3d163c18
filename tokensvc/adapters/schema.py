"""Schema: which revision a database has, and whether this release can use it."""

import os
import re
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Final

from sqlalchemy import inspect, text

from tokensvc.adapters.database import Database
from tokensvc.adapters.filesystems import FilesystemOf, filesystem_of, is_over_a_network
from tokensvc.adapters.tables import METADATA

REVISION: Final = "0002"
"""The newest revision of `migrations/`. They are numbers, so that older and newer can be told."""
UPGRADE: Final = "type: tokensvc db upgrade"
MOST_NAMES: Final = 3
_REVISION: Final = re.compile(r"\d{4}")
_VERSIONS: Final = "alembic_version"


class SchemaError(Exception):
    """The database cannot be used as it is; the text is for the operator, and holds no secret."""


def demand_schema(database: Database, *, filesystem: FilesystemOf = filesystem_of) -> None:
    """Return if this release can use *database*.

    Raises `SchemaError` if somebody has to do something first, and
    `StorageUnavailableError` if a server cannot be asked at the moment.
    """
    if database.file:
        demand_place(database.file, filesystem)
        demand_access(database.file)
    found = revision_of(database)
    if found is None:
        raise SchemaError(f"the database is empty; {UPGRADE}")
    if found < REVISION:
        raise SchemaError(f"the database has schema {found}, and needs {REVISION}; {UPGRADE}")
    if found > REVISION:
        raise SchemaError(
            f"the database has schema {found}, of a newer release; this one knows {REVISION}"
        )


def revision_of(database: Database) -> str | None:
    """Return the revision that the database has, or None if it has no table yet.

    Raises `SchemaError` if it is another program's.
    """
    try:
        found, tables = _version_and_tables(database)
    except ImportError:
        raise SchemaError(
            "PostgreSQL needs psycopg; type: pip install 'tokensvc[postgresql]'"
        ) from None
    ours = tables & METADATA.tables.keys()
    is_ours = _REVISION.fullmatch(found) and ours if found else ours == tables
    if not is_ours:
        names = f"schema {found}" if found else ", ".join(sorted(tables - ours)[:MOST_NAMES])
        raise SchemaError(
            f"the database is another program's (it has {names}); give tokensvc one of its "
            "own, or on PostgreSQL a schema: ?options=-csearch_path%3Dtokensvc"
        )
    return found


def _version_and_tables(database: Database) -> tuple[str | None, AbstractSet[str]]:
    with database.read() as connection:
        tables = set(inspect(connection).get_table_names())
        if _VERSIONS not in tables:
            return None, tables
        found = connection.execute(text(f"SELECT version_num FROM {_VERSIONS}")).scalar()  # noqa: S608 (our own name)
        return found, tables - {_VERSIONS}


def demand_place(file: Path, filesystem: FilesystemOf) -> None:
    """Return if SQLite can be trusted with a file there; raises `SchemaError`."""
    found = filesystem(file)
    if is_over_a_network(found):
        raise SchemaError(
            f"{file} is on a network file system ({found}), where SQLite loses data; "
            "name a file on a local disk, or use PostgreSQL"
        )


def demand_access(file: Path) -> None:
    """Return if this user can write to the file; raises `SchemaError`."""
    if not _may(file, os.F_OK) and (_may(file.parent, os.X_OK) or not _may(file.parent, os.F_OK)):
        raise SchemaError(f"there is no database at {file} yet; {UPGRADE}")
    # Beside it the write-ahead log is made.
    for path in (file.parent, file):
        if not _may(path, os.R_OK | os.W_OK):
            raise SchemaError(f"{path} cannot be written to by this user")


def _may(path: Path, mode: int) -> bool:
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)
