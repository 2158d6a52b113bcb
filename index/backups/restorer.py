"""Putting a backup back into an empty store."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from index.backups.folder import BackupFolder, Manifest, file_fault
from index.blobs import BlobStore, removed_on_error, stored_errors
from index.errors import BackupDamaged, Conflict, DatabaseUnavailable
from index.live_index import LiveIndex
from index.store import copying, embeddings, images
from index.store.database import Database, sqlite_url
from index.store.migrating import migrate
from model import replace_durably

IMAGES_SEARCHED = 50

Report = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Restored:
    """What is back. `missing` are digests of images whose file was lost before the backup."""

    created_at: str
    images: int
    rows: dict[str, int]
    missing: tuple[str, ...]


class Restorer:
    """Checks a whole backup first and touches the store only when it is sound.

    Files come first and the rows in one transaction after them, so that a restore which is cut off
    leaves an empty store, to be restored again.
    """

    def __init__(self, database: Database, blobs: BlobStore, models: Path, indexes: Path) -> None:
        """`models` and `indexes` are the folders of weights and of index snapshots."""
        self._database = database
        self._blobs = blobs
        self._models = models
        self._indexes = indexes

    def restore(self, folder: Path, report: Report = lambda *_: None) -> Restored:
        """Everything that the backup holds, in a store that has no image. No service may run.

        `report` gets what is being done, how much of it is done and how much there is.

        Raises BackupDamaged before anything is changed, Conflict when the store has images,
        StorageError, DatabaseUnavailable.
        """
        backup = BackupFolder(folder)
        manifest = backup.manifest()
        with self._database.reading() as session:
            present = images.count(session)
        if present:
            raise Conflict(
                f"The store has {present} images; restore into an empty data folder and database."
            )
        with self._opened_rows(backup, manifest) as rows:
            with rows.reading() as session:
                digests = images.all_digests(session)
                counts = copying.count_rows(session)
            _check_counts(backup, manifest, counts)
            backup.check_files(
                manifest, digests, lambda done, total: report("Checking the backup", done, total)
            )
            self._bring_files(backup, manifest, digests, report)
            total = sum(counts.values())
            with rows.reading() as source, self._database.writing() as target:
                written = copying.copy_rows(
                    source, target, lambda done: report("Writing rows", done, total)
                )
        with stored_errors(self._indexes):
            # They are of what was here before, and can be made again from the rows.
            shutil.rmtree(self._indexes, ignore_errors=True)
        return Restored(manifest.created_at, manifest.images, written, manifest.missing)

    @contextmanager
    def _opened_rows(self, backup: BackupFolder, manifest: Manifest) -> Iterator[Database]:
        """The rows at this program's revision, in a copy: the backup itself is only read."""
        source = backup.database(manifest)
        if fault := file_fault(source, manifest.database_sha256):
            raise BackupDamaged(backup.path, f"{source.name} {fault}")
        copy = self._blobs.incoming()
        with stored_errors(copy), removed_on_error(copy):
            shutil.copyfile(source, copy)
        rows = Database(sqlite_url(copy))
        try:
            try:
                migrate(rows)
            except DatabaseUnavailable as error:
                raise BackupDamaged(
                    backup.path, f"its rows can't be read: {error.reason}"
                ) from error
            yield rows
        finally:
            rows.close_to_one_file()
            copy.unlink(missing_ok=True)

    def _bring_files(
        self, backup: BackupFolder, manifest: Manifest, digests: list[str], report: Report
    ) -> None:
        for name in manifest.models:
            target = self._models / name
            temporary = self._blobs.incoming()
            with stored_errors(target), removed_on_error(temporary):
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(backup.model(name), temporary)
                replace_durably(temporary, target)
        for done, sha256 in enumerate(digests):
            if sha256 not in manifest.missing:
                temporary = self._blobs.incoming()
                with stored_errors(temporary), removed_on_error(temporary):
                    shutil.copyfile(backup.file(sha256), temporary)
                    self._blobs.prepare(temporary, sha256)
                    self._blobs.keep(temporary, sha256)
                    temporary.unlink(missing_ok=True)
            report("Copying files", done + 1, len(digests))


def prove_restored(database: Database, live: LiveIndex, restored: Restored) -> None:
    """Count what is stored and search for some of it.

    Raises BackupDamaged when the store is not what the backup said, DatabaseUnavailable.
    """
    live.catch_up()
    generation = live.generation
    with database.reading() as session:
        counted = copying.count_rows(session)
        embedded = embeddings.count(session, generation.version.id)
        sample = images.page(session, limit=IMAGES_SEARCHED)
        vectors = embeddings.get_many(
            session, generation.version.id, [image.number for image in sample]
        )
    if counted["images"] != restored.images:
        raise BackupDamaged(
            Path("store"), f"it has {counted['images']} images instead of {restored.images}"
        )
    if len(generation.vectors) != embedded:
        raise BackupDamaged(
            Path("store"), f"its index has {len(generation.vectors)} of {embedded} images"
        )
    for number, vector in vectors.items():
        found = generation.vectors.search(vector[None], 1)
        if not found.scores[0][0] > 0.99:
            raise BackupDamaged(Path("store"), f"a search does not find the image {number}")


def _check_counts(backup: BackupFolder, manifest: Manifest, counts: dict[str, int]) -> None:
    for table, expected in manifest.rows.items():
        # Tables that a later revision drops are no loss; those it adds are not in the manifest.
        if table in counts and counts[table] != expected:
            raise BackupDamaged(backup.path, f"{table} has {counts[table]} rows, not {expected}")
