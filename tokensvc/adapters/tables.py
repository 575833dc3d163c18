"""Tables: the one schema of both engines, as the code speaks of it.

A migration makes each table; a test compares the two.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    literal_column,
    text,
)

METADATA: Final = MetaData()


def _partial_index(name: str, *columns: str, where: str) -> Index:
    return Index(name, *columns, sqlite_where=text(where), postgresql_where=text(where))


WAITING: Final = literal_column("'waiting'", Text)
DONE: Final = literal_column("'done'", Text)
BURIED: Final = literal_column("'buried'", Text)
"""Written into the statements: with a parameter in its place an index of one state is not used."""

NUMBER: Final = BigInteger().with_variant(Integer(), "sqlite")
"""SQLite counts up by itself only what is called an integer."""

EVENTS: Final = Table(
    "events",
    METADATA,
    Column("number", NUMBER, primary_key=True),
    Column("source", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("body_hash", LargeBinary, nullable=False),
    Column("uid", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("profile", Text),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("reason", Text),
    Column("received_at", Float, nullable=False),
    Column("finished_at", Float),
    UniqueConstraint("source", "event_id", name="events_source_event_id"),
    CheckConstraint("state in ('waiting', 'done', 'buried')", name="events_state"),
    _partial_index("events_waiting", "uid", "number", where="state = 'waiting'"),
    _partial_index("events_buried", "number", where="state = 'buried'"),
    _partial_index("events_done", "finished_at", where="state = 'done'"),
    sqlite_autoincrement=True,
)
"""What was told. A waiting event may be leased or put off: its user's lane says so."""

LANES: Final = Table(
    "lanes",
    METADATA,
    Column("uid", Text, primary_key=True),
    Column("due_at", Float, nullable=False),
    Column("turn", BigInteger, nullable=False),
    Column("holding", Text, nullable=False),
    Column("number", BigInteger),
    Column("fence", Integer),
    CheckConstraint("holding in ('waiting', 'leased', 'retrying')", name="lanes_holding"),
    Index("lanes_due", "due_at", "turn"),
)
"""One row per user with waiting events, so that a claim looks at users and not at events:
however many events wait behind the first of a user, they cost nothing."""

ACCOUNTS: Final = Table(
    "accounts",
    METADATA,
    Column("uid", Text, primary_key=True),
    Column("profile", Text, nullable=False),
    Column("profile_version", BigInteger, nullable=False),
    Column("suspended", Boolean, nullable=False),
    Column("suspended_version", BigInteger, nullable=False),
    Column("deactivated", Boolean, nullable=False),
    Column("deactivated_version", BigInteger, nullable=False),
    Column("deleted", Boolean, nullable=False),
    Column("deleted_version", BigInteger, nullable=False),
    Column("purged_at", Float),
    Column("delete_at", Float),
    Column("sent_profile_hash", Text),
    Column("sent_state", Text),
    Column("revision", BigInteger, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
    Column("claims", Text),
    _partial_index("accounts_delete_at", "delete_at", where="delete_at is not null"),
)
