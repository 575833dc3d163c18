"""What the databases' drivers complain of, in fixed words of ours."""

import re
from collections.abc import Mapping
from typing import Final

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from tokensvc.domain.errors import StorageUnavailableError

DAMAGED: Final = "database_damaged"
_OF_SQLITE: Final[Mapping[str, str]] = {
    "SQLITE_FULL": "disk_full",
    "SQLITE_BUSY": "database_locked",
    "SQLITE_LOCKED": "database_locked",
    "SQLITE_READONLY": "database_read_only",
    "SQLITE_IOERR_SHMSIZE": "disk_full",  # no room for what processes share beside the file
    "SQLITE_IOERR": "disk_error",
    "SQLITE_CANTOPEN": "database_unreachable",
    "SQLITE_PERM": "database_unreachable",
    "SQLITE_CORRUPT": DAMAGED,
    "SQLITE_NOTADB": DAMAGED,
    "SQLITE_INTERRUPT": "database_timed_out",
    "SQLITE_NOMEM": "out_of_memory",
}
"""By SQLite's own name for it, or by the first two words of that."""

_OF_POSTGRESQL: Final[Mapping[str, str]] = {
    "08": "database_unreachable",
    "25006": "database_read_only",
    "28": "database_refuses_login",
    "3D000": "database_unreachable",
    "40": "database_locked",
    "53100": "disk_full",
    "53200": "out_of_memory",
    "53300": "too_many_connections",
    "55P03": "database_locked",
    "57014": "database_timed_out",
    "57P": "database_unreachable",
    "58": "disk_error",
    "XX": DAMAGED,
}
"""By SQLSTATE, or by what it begins with."""

_NO_SUCH_TABLE: Final = frozenset({"42P01", "42703"})
_TOO_MANY: Final = re.compile(r"too many (clients|connections)|connection slots")
_MISSING: Final = ("no such table", "no such column", "has no column")
UNREACHABLE: Final = "database_unreachable"
SCHEMA_MISSING: Final = "schema_missing"


def unavailable(error: Exception) -> StorageUnavailableError:
    """Return what to raise in the place of *error*, whose text nobody else may see."""
    return StorageUnavailableError(_reason(error))


def _reason(error: Exception) -> str:
    if isinstance(error, PoolTimeoutError):
        return "connections_in_use"
    original = error.orig if isinstance(error, DBAPIError) else error
    sqlite_name = getattr(original, "sqlite_errorname", None)
    if isinstance(sqlite_name, str):
        return _of_sqlite(sqlite_name, str(original))
    return _of_postgresql(getattr(original, "sqlstate", None), str(original))


def _of_sqlite(name: str, text: str) -> str:
    if any(words in text for words in _MISSING):
        return SCHEMA_MISSING
    return _OF_SQLITE.get(name) or _OF_SQLITE.get("_".join(name.split("_")[:2]), "database_failed")


def _of_postgresql(sqlstate: object, text: str) -> str:
    if sqlstate in _NO_SUCH_TABLE:
        return SCHEMA_MISSING
    if not isinstance(sqlstate, str):
        # A connection that cannot be made, or that breaks, has a text and no state.
        return "too_many_connections" if _TOO_MANY.search(text) else UNREACHABLE
    known = (reason for state, reason in _OF_POSTGRESQL.items() if sqlstate.startswith(state))
    return next(known, "database_failed")


HARMLESS: Final = frozenset({"disk_full", "database_locked", "connections_in_use"})
"""After these a connection is as good as before: SQLite needs room to open another one."""
DRIVER_ERRORS: Final = (SQLAlchemyError, OSError)
