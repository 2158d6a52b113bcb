"""Backups of the store that the settings name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from app.services import open_services
from app.settings import Settings
from index import (
    BackedUp,
    BackupMaker,
    BlobStore,
    Database,
    Restored,
    Restorer,
    migrate,
    open_blobs,
    prove_restored,
)
from model import Encoder, load_encoder

Report = Callable[[str, int, int], None]


def make_backup(
    settings: Settings,
    folder: Path,
    *,
    reads_all: bool = True,
    report: Report = lambda *_: None,
) -> BackedUp:
    """Bring the backup in `folder` up to the present. Raises what `BackupMaker.make` raises."""
    with _opened(settings) as (database, blobs):
        maker = BackupMaker(database, blobs, settings.models_dir)
        return maker.make(folder, reads_all=reads_all, report=report)


def restore_backup(
    settings: Settings,
    folder: Path,
    *,
    report: Report = lambda *_: None,
    load: Callable[[str], Encoder] = load_encoder,
) -> Restored:
    """Put the backup in `folder` back, then count and search what is there.

    Raises what `Restorer.restore` raises, and CheckpointError when the live model can't be loaded.
    """
    with _opened(settings) as (database, blobs):
        restorer = Restorer(database, blobs, settings.models_dir, settings.index_dir)
        restored = restorer.restore(folder, report)
    with open_services(settings, load=load) as services:
        prove_restored(services.database, services.live, restored)
    return restored


@contextmanager
def _opened(settings: Settings) -> Iterator[tuple[Database, BlobStore]]:
    """The store without a model, which copying needs none of."""
    blobs = open_blobs(settings.data_dir, settings.blobs)
    database = Database(settings.effective_database_url)
    try:
        migrate(database, wait_seconds=settings.database_wait_seconds)
        yield database, blobs
    finally:
        database.close()
