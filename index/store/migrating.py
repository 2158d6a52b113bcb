"""Bringing a database to the newest revision, once, however many processes start together."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

import filelock
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from index.errors import DatabaseUnavailable
from index.store.database import Database, migration_lock

# Any number will do, as long as every Beholder takes the same.
ADVISORY_LOCK = 0x_BE_401DE2
LOCK_WAIT_SECONDS = 120


def migrate(database: Database, *, wait_seconds: float = 30, revision: str = "head") -> str:
    """Upgrade the database to `revision`; gives the revision it is at then.

    Waits up to `wait_seconds` for a database that does not answer yet, and for another process
    that migrates at the same moment. Running it again changes nothing.

    Raises DatabaseUnavailable.
    """
    _wait_for(database, wait_seconds)
    config = alembic_config()
    head = ScriptDirectory.from_config(config).get_current_head()
    assert head is not None, "the history has a head"
    wanted = head if revision == "head" else revision
    with _exclusive(database) as connection:
        present = MigrationContext.configure(connection).get_current_revision()
        connection.rollback()
        if present != wanted:
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
            connection.commit()
    return wanted


def alembic_config() -> Config:
    """Alembic's configuration, with the revisions that are installed beside this package."""
    config = Config()
    config.set_main_option("script_location", str(resources.files("migrations")))
    config.set_main_option("path_separator", "os")
    return config


def _wait_for(database: Database, wait_seconds: float) -> None:
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            with database.reading() as session:
                session.execute(text("SELECT 1"))
            return
        except DatabaseUnavailable:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.5)


@contextmanager
def _exclusive(database: Database) -> Iterator[Connection]:
    if database.is_sqlite and database.url.database:
        # Alembic's batch mode ends transactions on its way, so SQLite's own lock would not hold.
        lock = filelock.FileLock(
            migration_lock(Path(database.url.database)), timeout=LOCK_WAIT_SECONDS
        )
        with lock, database.engine.connect() as connection:
            yield connection
        return
    with database.engine.connect() as holder, database.engine.connect() as connection:
        holder.execute(text(f"SELECT pg_advisory_lock({ADVISORY_LOCK})"))
        try:
            yield connection
        finally:
            holder.execute(text(f"SELECT pg_advisory_unlock({ADVISORY_LOCK})"))
