"""The image files, content-addressed, and what is derived from them on disk.

blobs/ab/cd/abcd…            the bytes as they were uploaded, named by their SHA-256
thumbnails/ab/cd/abcd….320   WebP, longest side 320 pixels, made again when missing
incoming/                    uploads on their way; nothing here is an image yet
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from index.errors import MissingFile, StorageError, StorageFull
from model import replace_durably

THUMBNAIL_SIZE = 320
STRAY_AGE_SECONDS = 3_600
CHUNK_BYTES = 1 << 20
# blobs/ab/cd: each may be new with the file in it.
FOLDERS_ABOVE = 3
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class BlobStore:
    """Files by SHA-256 in one folder. Thread-safe, and safe beside other processes."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._blobs = directory / "blobs"
        self._thumbnails = directory / "thumbnails"
        self._incoming = directory / "incoming"
        for folder in (self._blobs, self._thumbnails, self._incoming):
            with stored_errors(folder):
                folder.mkdir(parents=True, exist_ok=True)

    def check_writable(self) -> None:
        """Write and remove a file in each folder. Raises StorageError."""
        for folder in (self._blobs, self._thumbnails, self._incoming):
            probe = folder / f".probe-{secrets.token_hex(8)}"
            with stored_errors(folder):
                probe.touch()
                probe.unlink()

    def incoming(self) -> Path:
        """A fresh path on the store's own volume for bytes that are still arriving."""
        return self._incoming / secrets.token_hex(16)

    def path(self, sha256: str) -> Path:
        """Where the bytes with this digest are, or would be."""
        return self._blobs / sha256[:2] / sha256[2:4] / sha256

    def thumbnail_path(self, sha256: str, size: int) -> Path:
        """Where the thumbnail of that size is, or would be."""
        return self._thumbnails / sha256[:2] / sha256[2:4] / f"{sha256}.{size}"

    def keep(self, source: Path, sha256: str) -> Path:
        """Move `source` in under its digest, durable before this returns; gives where it lies.

        Asked again after a commit that failed, it finds the file in place. Raises StorageFull,
        StorageError.
        """
        target = self.path(sha256)
        if target.is_file() and not source.exists():
            return target
        with stored_errors(target):
            replace_durably(source, target, new_folders=FOLDERS_ABOVE)
        return target

    def keep_thumbnail(self, data: bytes, sha256: str, size: int) -> Path:
        """Write a thumbnail. Raises StorageFull, StorageError."""
        target = self.thumbnail_path(sha256, size)
        temporary = self.incoming()
        with stored_errors(target), removed_on_error(temporary):
            temporary.write_bytes(data)
            replace_durably(temporary, target, new_folders=FOLDERS_ABOVE)
        return target

    def open_path(self, sha256: str) -> Path:
        """The path of bytes that must be there. Raises MissingFile."""
        path = self.path(sha256)
        if not path.is_file():
            raise MissingFile(path, "the image's file is missing")
        return path

    @contextmanager
    def fetched(self, sha256: str) -> Iterator[Path]:
        """The bytes as a file that is there for the length of the block. Raises MissingFile."""
        yield self.open_path(sha256)

    def discard(self, sha256: str) -> None:
        """Remove the bytes and every thumbnail of them; a file that is gone already is fine."""
        with stored_errors(self.path(sha256)):
            self.path(sha256).unlink(missing_ok=True)
            for thumbnail in self.thumbnail_path(sha256, 0).parent.glob(f"{sha256}.*"):
                thumbnail.unlink(missing_ok=True)

    def sweep(self, used: Callable[[list[str]], set[str]], should_stop: Callable[[], bool]) -> int:
        """Remove what a crash left: old uploads, and old files whose digest `used` does not name.

        Only what is older than an hour goes, since a younger file may be of an upload that is
        about to be committed. Gives the number of files removed.
        """
        before = time.time() - STRAY_AGE_SECONDS
        removed = 0
        for path in _files(self._incoming):
            removed += _remove_if_older(path, before)
        with stored_errors(self._blobs):
            folders = list(self._blobs.iterdir())
        for folder in folders:
            if should_stop():
                break
            names = [path.name for path in _files(folder)]
            kept = used(names)
            for name in names:
                if name not in kept:
                    removed += _remove_if_older(self.path(name), before)
        return removed

    def free_bytes(self) -> int:
        """How much the volume can still take."""
        return shutil.disk_usage(self.directory).free


def digest(path: Path) -> str:
    """The SHA-256 of a file, as 64 lower-case hexadecimal digits. Raises StorageError."""
    with stored_errors(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def stored_errors(path: Path) -> Iterator[None]:
    """Translate what the file system says into StorageFull and StorageError."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in FULL:
            raise StorageFull(path, reason) from error
        raise StorageError(path, reason) from error


@contextmanager
def removed_on_error(path: Path) -> Iterator[None]:
    """Leave nothing at `path` when the block raises."""
    try:
        yield
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _files(folder: Path) -> Iterator[Path]:
    for root, _folders, names in os.walk(folder):
        for name in names:
            yield Path(root) / name


def _remove_if_older(path: Path, before: float) -> int:
    with stored_errors(path), contextlib.suppress(FileNotFoundError):
        if path.stat().st_mtime < before:
            path.unlink()
            return 1
    return 0
