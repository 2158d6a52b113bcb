"""A backup on disk: what is in it, and whether it is all there.

.beholder-backup     says that the folder is ours to write in
manifest.json        what the backup is; written last, so a folder without it is none
rows-….sqlite        every table, as a SQLite database of one moment
files/ab/cd/abcd…    the image files, named by their SHA-256
models/…             the weights of the model versions
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import filelock

from index.blobs import digest, stored_errors
from index.errors import BackupDamaged, Conflict, StorageError
from model import write_durably

FORMAT = "beholder-backup-1"
FAULTS_NAMED = 3


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds.

    `database` is the name of the file with the rows, `rows` how many each table has, `models` the
    SHA-256 of each weights file by its name. `missing` are digests of images whose file the store
    itself had lost when the backup was made.
    """

    created_at: str
    database: str
    database_sha256: str
    rows: Mapping[str, int]
    models: Mapping[str, str]
    missing: tuple[str, ...]

    @property
    def images(self) -> int:
        """How many images it restores."""
        return self.rows["images"]


class BackupFolder:
    """The files of one backup."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._mark = path / ".beholder-backup"
        self._manifest = path / "manifest.json"
        self._files = path / "files"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nobody else writes a backup here meanwhile.

        Raises Conflict, also for a folder that has something else in it, and StorageError.
        """
        with stored_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            if not self._mark.exists():
                if any(self.path.iterdir()):
                    raise Conflict(f"{self.path} has other things in it; name an empty folder.")
                self._mark.touch()
        try:
            with filelock.FileLock(self._mark, timeout=0):
                yield
        except filelock.Timeout as error:
            raise Conflict(f"Another backup is being written to {self.path}.") from error

    def file(self, sha256: str) -> Path:
        """Where the image file with this digest is, or would be."""
        return self._files / sha256[:2] / sha256[2:4] / sha256

    def model(self, name: str) -> Path:
        """Where the weights of this name are, or would be."""
        return self.path / "models" / name

    def database(self, manifest: Manifest) -> Path:
        """Where the rows are."""
        return self.path / manifest.database

    def manifest(self) -> Manifest:
        """What the backup says of itself. Raises BackupDamaged when it can't be believed."""
        try:
            document = json.loads(self._manifest.read_bytes())
            content = document["content"]
            is_whole = document["sha256"] == _checksum(content)
            described = document["format"]
        except FileNotFoundError as error:
            raise BackupDamaged(
                self.path, "it has no manifest, so it was never finished"
            ) from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BackupDamaged(self.path, "its manifest can't be read") from error
        if described != FORMAT:
            raise BackupDamaged(self.path, f"its format is {described}, not {FORMAT}")
        if not is_whole:
            raise BackupDamaged(self.path, "its manifest was altered")
        manifest = Manifest(**content | {"missing": tuple(content["missing"])})
        if any(Path(name).name != name for name in (manifest.database, *manifest.models)):
            raise BackupDamaged(self.path, "its manifest names files elsewhere")
        return manifest

    def write_manifest(self, manifest: Manifest) -> None:
        """Make this the backup; whatever was one before is replaced. Raises StorageError."""
        content = asdict(manifest)
        document = {"format": FORMAT, "sha256": _checksum(content), "content": content}
        with stored_errors(self._manifest):
            write_durably(self._manifest, json.dumps(document, indent=1).encode())

    def check_files(
        self,
        manifest: Manifest,
        digests: list[str],
        report: Callable[[int, int], None] = lambda *_: None,
    ) -> None:
        """Read every byte of the backup again. Raises BackupDamaged, which names the first faults.

        `digests` are those of the images in its rows; `report` gets files read and files in all.
        """
        expected = [
            (self.database(manifest), manifest.database_sha256),
            *((self.model(name), sha256) for name, sha256 in manifest.models.items()),
            *((self.file(sha256), sha256) for sha256 in digests if sha256 not in manifest.missing),
        ]
        faults: list[str] = []
        for done, (path, sha256) in enumerate(expected):
            if fault := file_fault(path, sha256):
                faults.append(f"{path.relative_to(self.path)} {fault}")
            report(done + 1, len(expected))
        if faults:
            more = "" if len(faults) <= FAULTS_NAMED else f" and {len(faults) - FAULTS_NAMED} more"
            raise BackupDamaged(self.path, "; ".join(faults[:FAULTS_NAMED]) + more)

    def remove_others(self, manifest: Manifest, digests: set[str]) -> int:
        """Remove what this manifest does not need; gives how many files. Raises StorageError."""
        needed = {
            self.database(manifest),
            *(self.model(name) for name in manifest.models),
            *(self.file(sha256) for sha256 in digests),
        }
        ours = ("rows-*", "models/*", "files/*/*/*")
        removed = 0
        with stored_errors(self.path):
            for path in (path for pattern in ours for path in self.path.glob(pattern)):
                if path not in needed:
                    path.unlink()
                    removed += 1
        return removed


def file_fault(path: Path, sha256: str) -> str | None:
    """What is wrong with a file that should have this digest; None for nothing."""
    try:
        return None if digest(path) == sha256 else "is damaged"
    except StorageError as error:
        return "is missing" if not path.exists() else f"can't be read ({error.reason})"


def _checksum(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
