"""Migrations: run by Alembic in the transaction that it is handed."""

from alembic import context

from tokensvc.adapters.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    # All steps or none, on SQLite too: the transaction is one that it was told to begin.
    transactional_ddl=True,
)
context.run_migrations()
