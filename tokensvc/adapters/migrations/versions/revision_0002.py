"""Revision 0002: what logins claim of single fields, beside the whole profile."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Give accounts a place for it; nobody has claimed anything yet."""
    op.add_column("accounts", sa.Column("claims", sa.Text))
