"""Schema: the migrations make what the code speaks of, and nobody runs on anything else."""

from functools import partial
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex

from tests.builders import a_uid
from tests.databases import PostgreSQL, a_sqlite_database, sqlite_url
from tokensvc.adapters.accounts import SQLAccounts
from tokensvc.adapters.database import Database
from tokensvc.adapters.engines import make_file
from tokensvc.adapters.filesystems import filesystem_of, is_over_a_network
from tokensvc.adapters.schema import REVISION, SchemaError, demand_schema, revision_of
from tokensvc.adapters.tables import METADATA
from tokensvc.adapters.upgrading import configuration, migrate, upgrade

MOUNTS = """\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
23 22 0:21 / /mnt/nfs rw - nfs4 server:/x rw
24 22 0:22 / /mnt/nfs/local rw shared:7 - xfs /dev/vdb rw
25 22 0:23 / /mnt/with\\040blank rw - fuse.sshfs host:/ rw
26 22 0:24 / /mnt/twice rw - ext4 /dev/vdc rw
27 22 0:25 / /mnt/twice rw - cifs //host/share rw
a line that is none
"""
OF_0001 = """\
INSERT INTO accounts (
  uid, profile, profile_version, suspended, suspended_version, deactivated,
  deactivated_version, deleted, deleted_version, revision, created_at, updated_at
) VALUES ('al', '{}', 5, 0, 0, 0, 0, 0, 0, 1, 0, 0)
"""
VERSIONED = "CREATE TABLE alembic_version (version_num VARCHAR(32))"
FOREIGN = (VERSIONED, "INSERT INTO alembic_version VALUES ('ae1027a6acf')")
ALBUMS = ("CREATE TABLE album (title TEXT)",)
NUMBERED = (VERSIONED, "INSERT INTO alembic_version VALUES ('0001')", *ALBUMS)
HAVE_0000 = "UPDATE alembic_version SET version_num = '0000'"


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of a database without tables, on each engine."""
    if request.param == "sqlite":
        make_file(tmp_path / "empty.db")
        return sqlite_url(tmp_path / "empty.db")
    server: PostgreSQL = request.getfixturevalue("postgresql")
    return server.an_empty_database()


def test_migrations_make_the_tables(database_url: str) -> None:
    """On each engine a migrated database has what `tables.py` says, no more and no less."""
    database = Database(database_url)
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})

        assert compare_metadata(context, METADATA) == []
    database.close()


def test_indices_are_the_same(sqlite_url: str) -> None:
    """So are the indices, with their conditions, word for word."""
    expected = {
        str(CreateIndex(index).compile(dialect=sqlite.dialect()))
        for table in METADATA.tables.values()
        for index in table.indexes
    }
    database = Database(sqlite_url)
    made = text("SELECT sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")
    with database.read() as connection:
        assert set(connection.execute(made).scalars()) == expected
    database.close()


def test_accounts_of_before_the_claims_are_kept(tmp_path: Path) -> None:
    """Revision 0002 finds the accounts of 0001, and nothing claimed in them."""
    database = Database(sqlite_url(tmp_path / "db"))
    make_file(tmp_path / "db")
    database.write(partial(migrate, revision="0001"))
    database.write(lambda connection: connection.execute(text(OF_0001)))

    upgrade(database)

    account = SQLAccounts(database).find(a_uid("al"))
    assert account is not None
    assert (account.whole_version, account.claims) == (5, {})
    database.close()


def test_revisions_are_numbers_in_a_row() -> None:
    """Older and newer are told by comparing texts, and the newest is what the code demands."""
    revisions = list(ScriptDirectory.from_config(configuration()).walk_revisions())

    assert [script.revision for script in revisions] == [
        f"{number:04}" for number in range(len(revisions), 0, -1)
    ]
    assert revisions[0].revision == REVISION


def test_partial_conditions_are_the_same() -> None:
    """An index of one state has the same condition on both engines."""
    for table in METADATA.tables.values():
        for index in table.indexes:
            found = [str(index.dialect_options[name]["where"]) for name in ("sqlite", "postgresql")]
            assert found[0] == found[1]


def test_good_database_is_taken(database_url: str) -> None:
    """With the schema of this release nothing is in the way."""
    database = Database(database_url)
    demand_schema(database)
    database.close()


def test_empty_server_is_refused_and_upgraded(postgresql: PostgreSQL) -> None:
    """A database without tables is told what it needs, and then has it."""
    database = Database(postgresql.an_empty_database())
    with pytest.raises(SchemaError, match="is empty; type: tokensvc db upgrade"):
        demand_schema(database)

    upgrade(database)

    assert revision_of(database) == REVISION
    database.close()


@pytest.mark.parametrize("made_by", [ALBUMS, FOREIGN, NUMBERED])
def test_database_of_another_program_is_left_alone(
    empty_url: str, made_by: tuple[str, ...]
) -> None:
    """Tables that are not ours, or a version that is none of ours, are nothing to add to."""
    database = Database(empty_url)

    def have_tables(connection: Connection) -> None:
        for statement in made_by:
            connection.execute(text(statement))

    database.write(have_tables)
    for act in (demand_schema, upgrade):
        with pytest.raises(SchemaError, match="the database is another program's"):
            act(database)

    with database.read() as connection:
        assert "lanes" not in inspect(connection).get_table_names()
    database.close()


def test_schema_that_nobody_knows_is_not_upgraded(sqlite_url: str) -> None:
    """A number that no migration begins with has a sentence too."""
    database = Database(sqlite_url)
    database.write(lambda connection: connection.execute(text(HAVE_0000)))

    with pytest.raises(SchemaError, match="schema 0000, which no release has made"):
        upgrade(database)
    database.close()


def test_failed_migration_leaves_nothing(tmp_path: Path) -> None:
    """A migration is whole or it was not: on SQLite too tables are made in a transaction."""
    file = tmp_path / "tokensvc.db"
    database = Database(a_sqlite_database(file))

    def undo_and_spoil(connection: Connection) -> None:
        for name in ("events", "alembic_version"):
            connection.execute(text(f"DROP TABLE {name}"))

    database.write(undo_and_spoil)
    # `lanes` is in the way, which comes after `events`.
    with pytest.raises(Exception, match="database_failed"):
        upgrade(database)

    with database.read() as connection:
        tables = connection.execute(text("SELECT name FROM sqlite_master")).scalars().all()
    assert "events" not in tables
    assert "alembic_version" not in tables
    database.close()


@pytest.mark.parametrize("filesystem", ["nfs4", "cifs", "9p", "fuse.sshfs", "fuse"])
def test_network_file_systems_are_refused(tmp_path: Path, filesystem: str) -> None:
    """Where locks do not hold no database is made, and none is used."""
    database = Database(a_sqlite_database(tmp_path / "tokensvc.db"))
    new = Database(sqlite_url(tmp_path / "new" / "tokensvc.db"))
    words = rf"on a network file system \({filesystem}\)"

    with pytest.raises(SchemaError, match=words):
        demand_schema(database, filesystem=lambda _: filesystem)
    with pytest.raises(SchemaError, match=words):
        upgrade(new, filesystem=lambda _: filesystem)

    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("filesystem", ["ext4", "xfs", "btrfs", "zfs", "overlay", "tmpfs", ""])
def test_local_file_systems_are_not(filesystem: str) -> None:
    """A local disk may be used, and so may what nothing is known of."""
    assert not is_over_a_network(filesystem)


@pytest.mark.parametrize(
    ("path", "filesystem"),
    [
        ("/srv/tokensvc.db", "ext4"),
        ("/mnt/nfs/deep/not/there/yet.db", "nfs4"),
        ("/mnt/nfs/local/x.db", "xfs"),
        ("/mnt/nfsx/x.db", "ext4"),
        ("/mnt/with blank/x.db", "fuse.sshfs"),
        ("/mnt/twice/x.db", "cifs"),
    ],
)
def test_file_system_of_a_path(tmp_path: Path, path: str, filesystem: str) -> None:
    """The innermost mount counts, and of two on one place the later one."""
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS)

    assert filesystem_of(Path(path), mounts=mounts) == filesystem


def test_file_system_of_this_machine(tmp_path: Path) -> None:
    """What is read of the machine itself is a word, or nothing where there is no such list."""
    assert not is_over_a_network(filesystem_of(tmp_path))
    assert filesystem_of(tmp_path, mounts=tmp_path / "none") == ""
