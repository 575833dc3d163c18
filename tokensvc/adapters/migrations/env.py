"""Migrations: run by Alembic in the transaction that it is handed."""

from alembic import context

from tokensvc.adapters.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
)
context.run_migrations()
