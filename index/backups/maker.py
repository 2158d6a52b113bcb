"""Making a backup while the store is in use."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from index.backups.folder import BackupFolder, Manifest, file_fault
from index.blobs import CHUNK_BYTES, BlobStore, digest, removed_on_error, stored_errors
from index.errors import BackupDamaged, Conflict, MissingFile
from index.store import copying, images, model_versions
from index.store.database import Database, sqlite_url
from index.store.migrating import migrate
from model import replace_durably, sync

# Images may be deleted between the look at the rows and the copying of their files. Only what is
# new since the round before is left to copy, so the second finds nothing gone but on a busy day.
ROUNDS_ALLOWED = 20
COPYING_THREADS = 4

Report = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class BackedUp:
    """What a backup holds now. `missing` are digests of images whose file the store has lost."""

    images: int
    files_copied: int
    bytes_copied: int
    files_kept: int
    files_removed: int
    missing: tuple[str, ...]


@dataclass(slots=True)
class _Copied:
    files: int = 0
    size_bytes: int = 0


class BackupMaker:
    """Copies rows of one moment, and the files and weights that they name.

    A file never changes and is in place before its row is, so the rows come first and the files of
    just these rows after them, whatever is uploaded meanwhile. If an image of theirs is deleted
    before its file is copied, the rows are read again: a backup is of a moment that was.
    """

    def __init__(self, database: Database, blobs: BlobStore, models: Path) -> None:
        self._database = database
        self._blobs = blobs
        self._models = models

    def make(
        self, folder: Path, *, reads_all: bool = True, report: Report = lambda *_: None
    ) -> BackedUp:
        """Bring the backup in `folder` up to the present, copying only what it lacks.

        Until its last step the backup that was there stays as it was. Files that it has already
        are read again and replaced if they are damaged, unless `reads_all` is false. `report` gets
        what is being done, how much of it is done and how much there is.

        Raises Conflict, StorageError, BackupDamaged, DatabaseUnavailable.
        """
        backup = BackupFolder(folder)
        with backup.held():
            return self._make(backup, reads_all=reads_all, report=report)

    def _make(self, backup: BackupFolder, *, reads_all: bool, report: Report) -> BackedUp:
        good: set[str] = set()
        copied = _Copied()
        for _ in range(ROUNDS_ALLOWED):
            export = backup.path / f"rows-{secrets.token_hex(8)}.sqlite"
            with removed_on_error(export):
                rows, digests, weights = self._export(export, report)
                lost = self._copy_files(
                    backup, digests, good, copied, reads_all=reads_all, report=report
                )
                with self._database.reading() as session:
                    missing = images.digests_used(session, lost)
                if len(missing) < len(lost):
                    # Deleted since: these rows and the files there are no longer go together.
                    export.unlink()
                    continue
                manifest = Manifest(
                    created_at=datetime.now(UTC).isoformat(timespec="seconds"),
                    database=export.name,
                    database_sha256=digest(export),
                    rows=rows,
                    models=self._copy_weights(backup, weights),
                    missing=tuple(sorted(missing)),
                )
            backup.write_manifest(manifest)
            return BackedUp(
                images=manifest.images,
                files_copied=copied.files,
                bytes_copied=copied.size_bytes,
                files_kept=max(0, len(digests) - len(missing) - copied.files),
                files_removed=backup.remove_others(manifest, set(digests)),
                missing=manifest.missing,
            )
        raise Conflict(
            "Images are deleted faster than their files can be copied; try again at a quieter time."
        )

    def _export(self, export: Path, report: Report) -> tuple[dict[str, int], list[str], list[str]]:
        """Write the rows; gives their counts, the digests they name, and the weights they name."""
        target = Database(sqlite_url(export))
        try:
            migrate(target)
            with self._database.reading_one_moment() as session, target.writing() as written:
                total = sum(copying.count_rows(session).values())
                rows = copying.copy_rows(
                    session, written, lambda done: report("Reading rows", done, total)
                )
            with target.reading() as session:
                digests = images.all_digests(session)
                weights = [version.weights for version in model_versions.all_versions(session)]
        finally:
            target.close_to_one_file()
        with stored_errors(export):
            sync(export)
        return rows, digests, weights

    def _copy_files(
        self,
        backup: BackupFolder,
        digests: list[str],
        good: set[str],
        copied: _Copied,
        *,
        reads_all: bool,
        report: Report,
    ) -> list[str]:
        """Copy what the backup lacks, and note it in `good`; gives what the store lacks."""
        lost: list[str] = []

        def ensure(sha256: str) -> tuple[str, int | None]:
            target = backup.file(sha256)
            if target.is_file() and (not reads_all or file_fault(target, sha256) is None):
                return sha256, 0
            return sha256, self._copy_file(sha256, target)

        to_see = [sha256 for sha256 in digests if sha256 not in good]
        with ThreadPoolExecutor(COPYING_THREADS, thread_name_prefix="backup") as pool:
            for done, (sha256, size) in enumerate(pool.map(ensure, to_see)):
                if size is None:
                    lost.append(sha256)
                else:
                    good.add(sha256)
                    copied.files += size > 0
                    copied.size_bytes += size
                report("Copying files", done + 1, len(to_see))
        return lost

    def _copy_file(self, sha256: str, target: Path) -> int | None:
        """Copy a stored file, and read the copy again; its size, None if the store has lost it."""
        try:
            with self._blobs.fetched(sha256) as source:
                return _copy(source, target, sha256)
        except MissingFile:
            return None

    def _copy_weights(self, backup: BackupFolder, names: Iterable[str]) -> dict[str, str]:
        kept: dict[str, str] = {}
        for name in sorted(set(names)):
            source = self._models / name
            if not source.is_file():
                # Of a version that was given up long ago; one that is needed can't be loaded
                # either, which the store's own start says.
                continue
            with stored_errors(source):
                sha256 = digest(source)
            if file_fault(backup.model(name), sha256) is not None:
                _copy(source, backup.model(name), sha256)
            kept[name] = sha256
        return kept


def _copy(source: Path, target: Path, sha256: str) -> int | None:
    """Copy what has this digest, durably; its size.

    None when `source` has another digest, or was deleted since it was found.
    """
    temporary = target.with_name(f"{target.name}.{secrets.token_hex(4)}")
    seen = hashlib.sha256()
    size = 0
    with stored_errors(source):
        try:
            reader = source.open("rb")
        except FileNotFoundError:
            return None
    with reader, stored_errors(target), removed_on_error(temporary):
        target.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as writer:
            while chunk := reader.read(CHUNK_BYTES):
                seen.update(chunk)
                writer.write(chunk)
                size += len(chunk)
        if seen.hexdigest() != sha256:
            temporary.unlink()
            return None
        replace_durably(temporary, target, new_folders=3)
    if fault := file_fault(target, sha256):
        raise BackupDamaged(target, f"the copy {fault}")
    return size
