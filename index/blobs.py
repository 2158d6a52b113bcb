"""The image files, content-addressed, and what is derived from them on disk.

blobs/ab/cd/abcd…            the bytes as they were uploaded, named by their SHA-256
thumbnails/ab/cd/abcd….320   WebP, longest side 320 pixels, made again when missing
incoming/                    uploads on their way; nothing here is an image yet
damaged/                     bytes that are no longer those of their digest, to be looked at
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
from dataclasses import dataclass
from pathlib import Path

from index.errors import MissingFile, StorageError, StorageFull
from model import replace_durably, sync

THUMBNAIL_SIZE = 320
STRAY_AGE_SECONDS = 3_600
CHUNK_BYTES = 1 << 20
DIGEST_DIGITS = 64
# blobs/ab/cd: each may be new with the file in it.
FOLDERS_ABOVE = 3
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(frozen=True, slots=True)
class StoredBytes:
    """Bytes as they lie: in the file `path`, or where only `read` reaches, from start to end."""

    path: Path | None
    size_bytes: int
    read: Callable[[int, int], Iterator[bytes]]


class BlobStore:
    """Files by SHA-256 in one folder. Thread-safe, and safe beside other processes."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._blobs = directory / "blobs"
        self._thumbnails = directory / "thumbnails"
        self._incoming = directory / "incoming"
        self._damaged = directory / "damaged"
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

    def has(self, sha256: str) -> bool:
        """Whether the bytes are there. Raises StorageError."""
        return self.path(sha256).is_file()

    def prepare(self, source: Path, sha256: str) -> None:  # noqa: ARG002  (where it lies by digest, it is needed)
        """Do what is slow of `keep` and changes nothing that is seen.

        Raises StorageFull, StorageError.
        """
        with stored_errors(source):
            sync(source)

    def keep(self, source: Path, sha256: str) -> None:
        """Move `source`, which was prepared, in under its digest, durable before this returns.

        Asked again after a commit that failed, it finds the file in place. Called under the log's
        lock, so it waits for no other machine. Raises StorageFull, StorageError.
        """
        target = self.path(sha256)
        if target.is_file() and not source.exists():
            return
        with stored_errors(target):
            replace_durably(source, target, new_folders=FOLDERS_ABOVE)

    def confirm(self, source: Path, sha256: str) -> None:
        """Make sure of what was kept, once a committed row needs it. Raises StorageError."""

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

    def stored(self, sha256: str) -> StoredBytes:
        """The bytes as they lie. Raises MissingFile, StorageError."""
        path = self.open_path(sha256)
        with stored_errors(path):
            return StoredBytes(
                path, path.stat().st_size, lambda start, end: _read(path, start, end)
            )

    def set_aside(self, sha256: str) -> None:
        """Move bytes away that are no longer those of their digest. Raises StorageError."""
        aside = self._damaged / sha256
        with stored_errors(aside):
            replace_durably(self.path(sha256), aside, new_folders=2)

    def sweep_incoming(self) -> int:
        """Remove uploads that a crash left, once they are an hour old; gives how many."""
        return sum(remove_if_older(path) for path in _files(self._incoming))

    def strays(self, used: Callable[[list[str]], set[str]]) -> Iterator[str]:
        """The digests of files and thumbnails over an hour old that `used` does not name.

        A younger file may be of an upload that is about to be committed. Raises StorageError.
        """
        before = time.time() - STRAY_AGE_SECONDS
        with stored_errors(self.directory):
            parts = {folder.name for folder in [*_in(self._blobs), *_in(self._thumbnails)]}
        for part in sorted(parts):
            paths = [*_files(self._blobs / part), *_files(self._thumbnails / part)]
            old = {path.name[:DIGEST_DIGITS] for path in paths if _is_older(path, before)}
            names = [n for n in old if n.startswith(part) and len(n) == DIGEST_DIGITS]
            yield from sorted(set(names) - used(names))

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


def _in(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _is_older(path: Path, before: float) -> bool:
    with stored_errors(path), contextlib.suppress(FileNotFoundError):
        return path.stat().st_mtime < before
    return False


def remove_if_older(path: Path, seconds: float = STRAY_AGE_SECONDS) -> bool:
    """Remove a file that is over so old, an hour; gives whether it was. Raises StorageError."""
    if not _is_older(path, time.time() - seconds):
        return False
    with stored_errors(path):
        path.unlink(missing_ok=True)
    return True


def _read(path: Path, start: int, end: int) -> Iterator[bytes]:
    with stored_errors(path), path.open("rb") as file:
        file.seek(start)
        while start < end and (chunk := file.read(min(CHUNK_BYTES, end - start))):
            start += len(chunk)
            yield chunk
