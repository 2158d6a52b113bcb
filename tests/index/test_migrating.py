"""The SQL history: up and down with rows in it, once at a time, equal to the models."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from index.errors import DatabaseUnavailable
from index.store import (
    changes,
    collections,
    embeddings,
    images,
    job_leases,
    job_records,
    jobs,
    model_versions,
    near_duplicates,
    pairs,
    picture_hashes,
    probes,
    reindex_claims,
)
from index.store.database import Database, sqlite_url
from index.store.images import NewImage
from index.store.migrating import alembic_config, migrate
from index.store.near_duplicates import Comparison, NearDuplicate
from index.store.pairs import Placed


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An empty database."""
    opened = Database(database_url)
    yield opened
    opened.close()


def fill(database: Database) -> None:
    """A row in every table."""
    with database.writing() as session:
        version = model_versions.register(
            session, weights="x", fingerprint="f", architecture="a", dimension=24, origin="test"
        )
        model_versions.promote(session, version.id)
        image = images.add(
            session,
            NewImage(
                sha256="0" * 64,
                collection="default",
                filename="é.png",
                format="png",
                media_type="image/png",
                width=1,
                height=1,
                size_bytes=10,
                taken_at=datetime(2026, 5, 1, 0, 30, tzinfo=UTC),
                tags=("t",),
                metadata={"k": [1, {"x": None}]},
            ),
        )
        collections.add(session, [image.collection])
        embeddings.put(session, version.id, {image.number: np.eye(1, 24, dtype=np.float32)[0]})
        picture_hashes.put(session, {image.number: bytes(32)})
        probes.put(session, "p", fingerprint="f", content=b"x", details={"labels": ["a"]})
        pairs.place(session, [Placed(image.number, image.number, "train")])
        pairs.add(session, [(image.number, "a text")])
        near_duplicates.put(
            session, version.id, [NearDuplicate(image.number, image.number, "same", 3, 0.5)]
        )
        near_duplicates.set_comparison(session, version.id, Comparison(1, 0.5, 0.5, 0))
        reindex_claims.begin(session, version.id, "worker")
        changes.append(session, "add", [image.number])
        jobs.enqueue(
            session, "reindex", {"model_version": version.id}, unit="images", turn="model-versions"
        )
        job = job_leases.claim(session, "worker", lease_seconds=30)
        assert job is not None
        job_records.append(session, job.id, "worker", "curve", {"step": 1})


Contents = dict[str, list[dict[str, Any]]]


def contents(database: Database) -> Contents:
    """Every row of every table."""
    tables = [
        name for name in inspect(database.engine).get_table_names() if name != "alembic_version"
    ]
    with database.engine.connect() as connection:
        return {
            name: [
                dict(row) for row in connection.execute(text(f'SELECT * FROM "{name}"')).mappings()
            ]
            for name in tables
        }


def common(rows: Contents, other: Contents) -> Contents:
    """The tables and columns of `rows` that `other` has too."""
    return {
        name: [{column: row[column] for column in other[name][0]} for row in found]
        for name, found in rows.items()
        if name in other
    }


def test_models_and_revisions_agree(database: Database) -> None:
    """A database made by the revisions is the one that the code expects."""
    migrate(database)
    with database.engine.connect() as connection:
        config = alembic_config()
        config.attributes["connection"] = connection
        command.check(config)


def test_every_step_down_and_up_keeps_the_rows(database: Database) -> None:
    """Each revision can be taken back and applied again with rows in every table it knows."""
    migrate(database)
    fill(database)
    before = contents(database)
    assert all(before.values()), "a table is empty, so its rows prove nothing"
    script = ScriptDirectory.from_config(alembic_config())
    revisions = [revision.revision for revision in script.walk_revisions()]
    for revision in revisions[1:]:
        with database.engine.connect() as connection:
            config = alembic_config()
            config.attributes["connection"] = connection
            command.downgrade(config, revision)
            connection.commit()
        older = contents(database)
        assert all(older.values()), "a step down lost rows"
        assert common(before, older) == older
    oldest = contents(database)
    for revision in reversed(revisions):
        migrate(database, revision=revision)
        assert common(contents(database), oldest) == oldest
    migrate(database)
    assert contents(database).keys() == before.keys()


def test_foreign_keys_hold_on_every_connection_of_a_restarted_service(database: Database) -> None:
    """A migration switches them off for itself alone, whether there was anything to do or not."""
    for _ in range(2):
        migrate(database)
        if database.is_sqlite:
            with database.engine.connect() as one, database.engine.connect() as other:
                for connection in (one, other):
                    assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    fill(database)
    migrate(database)
    with database.writing() as session:
        (image,) = images.page(session, limit=2)
        images.delete(session, image.id)
    rows = contents(database)
    assert rows["embeddings"] == rows["image_tags"] == rows["pairs"] == []


def test_rows_that_point_nowhere_are_removed(tmp_path: Path) -> None:
    """What an older release left behind does not keep a newer one from starting."""
    database = Database(sqlite_url(tmp_path / "test.db"))
    migrate(database)
    fill(database)
    with database.engine.connect() as connection:
        config = alembic_config()
        config.attributes["connection"] = connection
        command.downgrade(config, "0004")
        connection.commit()
        connection.connection.driver_connection.execute("PRAGMA foreign_keys=OFF")
        connection.execute(text("DELETE FROM images"))
        connection.commit()
        connection.connection.driver_connection.execute("PRAGMA foreign_keys=ON")
    migrate(database)
    rows = contents(database)
    assert rows["embeddings"] == rows["image_tags"] == rows["picture_hashes"] == []
    assert len(rows["model_versions"]) == 1
    database.close()


def test_the_history_can_be_taken_back_to_nothing(database: Database) -> None:
    """After the last step down no table of ours is left."""
    migrate(database)
    fill(database)
    with database.engine.connect() as connection:
        config = alembic_config()
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
        connection.commit()
    assert contents(database) == {}


def test_processes_that_start_together_migrate_once(database_url: str) -> None:
    """Six at once on an empty database: each finds it at the head, none fails."""

    def start(_: int) -> str:
        database = Database(database_url)
        try:
            return migrate(database)
        finally:
            database.close()

    with ThreadPoolExecutor(6) as pool:
        heads = set(pool.map(start, range(6)))
    assert len(heads) == 1
    database = Database(database_url)
    with database.reading() as session:
        assert changes.last_sequence(session) == 0
    database.close()


def test_a_database_that_comes_late_is_waited_for(tmp_path: Path) -> None:
    """The start waits a bounded time, then says that the database does not answer."""
    folder = tmp_path / "late"
    database = Database(sqlite_url(folder / "test.db"))
    with pytest.raises(DatabaseUnavailable):
        migrate(database, wait_seconds=0)

    def come_late() -> None:
        time.sleep(0.7)
        folder.mkdir()

    coming = threading.Thread(target=come_late)
    coming.start()
    migrate(database, wait_seconds=20)
    coming.join()
    database.close()
