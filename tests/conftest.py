"""What every test may ask for."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest

from tests.databases import PostgreSQL, a_sqlite_database


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """Run one PostgreSQL server for all tests that ask for it."""
    # Its socket's path must be short, and another user must get there.
    server = PostgreSQL(Path(mkdtemp(prefix="tokensvc-pg-")) / "data")
    yield server
    server.remove()


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """Return the URL of an empty SQLite database with the schema."""
    return a_sqlite_database(tmp_path / "tokensvc.db")


@pytest.fixture
def postgresql_url(postgresql: PostgreSQL) -> str:
    """Return the URL of an empty PostgreSQL database with the schema."""
    return postgresql.a_database()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """Return the URL of an empty database with the schema, on each engine."""
    return str(request.getfixturevalue(f"{request.param}_url"))
