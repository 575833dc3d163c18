"""Revision 0001: events, lanes and accounts."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the first tables."""
    _make_events()
    _make_lanes()
    _make_accounts()


def _make_events() -> None:
    op.create_table(
        "events",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("body_hash", sa.LargeBinary, nullable=False),
        sa.Column("uid", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("profile", sa.Text),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("fence", sa.Integer, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("received_at", sa.Float, nullable=False),
        sa.Column("finished_at", sa.Float),
        sa.UniqueConstraint("source", "event_id", name="events_source_event_id"),
        sa.CheckConstraint("state in ('waiting', 'done', 'buried')", name="events_state"),
        sqlite_autoincrement=True,
    )
    _make_partial_index("events_waiting", "events", ["uid", "number"], "state = 'waiting'")
    _make_partial_index("events_buried", "events", ["number"], "state = 'buried'")
    _make_partial_index("events_done", "events", ["finished_at"], "state = 'done'")


def _make_lanes() -> None:
    op.create_table(
        "lanes",
        sa.Column("uid", sa.Text, primary_key=True),
        sa.Column("due_at", sa.Float, nullable=False),
        sa.Column("turn", sa.BigInteger, nullable=False),
        sa.Column("holding", sa.Text, nullable=False),
        sa.Column("number", sa.BigInteger),
        sa.Column("fence", sa.Integer),
        sa.CheckConstraint("holding in ('waiting', 'leased', 'retrying')", name="lanes_holding"),
    )
    op.create_index("lanes_due", "lanes", ["due_at", "turn"])


def _make_accounts() -> None:
    op.create_table(
        "accounts",
        sa.Column("uid", sa.Text, primary_key=True),
        sa.Column("profile", sa.Text, nullable=False),
        sa.Column("profile_version", sa.BigInteger, nullable=False),
        sa.Column("suspended", sa.Boolean, nullable=False),
        sa.Column("suspended_version", sa.BigInteger, nullable=False),
        sa.Column("deactivated", sa.Boolean, nullable=False),
        sa.Column("deactivated_version", sa.BigInteger, nullable=False),
        sa.Column("deleted", sa.Boolean, nullable=False),
        sa.Column("deleted_version", sa.BigInteger, nullable=False),
        sa.Column("purged_at", sa.Float),
        sa.Column("delete_at", sa.Float),
        sa.Column("sent_profile_hash", sa.Text),
        sa.Column("sent_state", sa.Text),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("updated_at", sa.Float, nullable=False),
    )
    _make_partial_index("accounts_delete_at", "accounts", ["delete_at"], "delete_at is not null")


def _make_partial_index(name: str, table: str, columns: list[str], where: str) -> None:
    condition = sa.text(where)
    op.create_index(name, table, columns, sqlite_where=condition, postgresql_where=condition)
