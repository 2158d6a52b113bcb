"""How Alembic runs here: on the connection that `index.store.migrating` holds under its lock."""

from __future__ import annotations

from alembic import context

from index.store.schema import Base

connection = context.config.attributes["connection"]
is_sqlite = connection.dialect.name == "sqlite"
# Batch mode rebuilds tables, and dropping the old one would cascade into others. SQLite ignores the
# pragma inside a transaction, so it goes to the driver before SQLAlchemy begins one.
driver = connection.connection.driver_connection
if is_sqlite:
    driver.execute("PRAGMA foreign_keys=OFF")
context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    render_as_batch=is_sqlite,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
if is_sqlite:
    broken = driver.execute("PRAGMA foreign_key_check").fetchall()
    if broken:
        raise RuntimeError(f"the migration left rows that point nowhere: {broken[:5]}")
    # The transaction that read the revision is still open, and would swallow this one too.
    connection.commit()
    driver.execute("PRAGMA foreign_keys=ON")
