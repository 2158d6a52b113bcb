"""The image files on a store that speaks S3, with everything else on the local disk.

Objects are named as the files would be, `blobs/ab/cd/abcd…` below the URL's prefix. S3 answers a
write once it is durable, and from then on every reader sees it, so an object that was confirmed
before its row is committed keeps the same promise as a file that was synced.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import obstore
import structlog
from obstore.exceptions import BaseError
from obstore.store import S3Store

from index.blobs import (
    CHUNK_BYTES,
    DIGEST_DIGITS,
    STRAY_AGE_SECONDS,
    BlobStore,
    StoredBytes,
    remove_if_older,
    stored_errors,
)
from index.errors import MissingFile, StorageError

log = structlog.get_logger()

RETRY_SECONDS = 10
PARTS = tuple(f"{number:02x}" for number in range(256))


class S3Blobs(BlobStore):
    """Originals in a bucket; uploads on their way and thumbnails in the local folder.

    Credentials, region and endpoint come from the usual AWS_* variables of the environment.
    """

    def __init__(self, directory: Path, url: str) -> None:
        super().__init__(directory)
        self._fetched = directory / "fetched"
        self._store: S3Store = S3Store.from_url(
            url,
            # The server checks what it got against this before it answers.
            checksum_algorithm="SHA256",
            # An endpoint of the owner's own may be without TLS; which one it is, the owner says.
            client_options={"timeout": "60s", "connect_timeout": "5s", "allow_http": True},
            retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=RETRY_SECONDS)},
        )

    def check_writable(self) -> None:
        """Write and remove an object, and a file in each folder. Raises StorageError."""
        super().check_writable()
        probe = f"probes/{secrets.token_hex(8)}"
        try:
            with _translated(probe):
                obstore.put(self._store, probe, b"")
                obstore.delete(self._store, probe)
        except MissingFile as error:
            raise StorageError(Path(probe), "the object store has no such bucket") from error

    def path(self, sha256: str) -> Path:
        """Where the copy of `open_path` is, or would be."""
        return self._fetched / sha256

    def has(self, sha256: str) -> bool:
        """Whether the object is there. Raises StorageError."""
        try:
            self._size(sha256)
        except MissingFile:
            return False
        return True

    def prepare(self, source: Path, sha256: str) -> None:
        """Store the object unless it is there, confirmed before this returns."""
        if not self.has(sha256):
            with _translated(_key(sha256)):
                obstore.put(self._store, _key(sha256), source)

    def keep(self, source: Path, sha256: str) -> None:
        """Nothing: `prepare` has stored the object."""

    def confirm(self, source: Path, sha256: str) -> None:
        """Store the object again if it was deleted between `prepare` and the commit.

        Who deleted the last image of the same bytes may have been quicker than the row that needs
        them now; after its commit nobody deletes them.
        """
        self.prepare(source, sha256)

    def open_path(self, sha256: str) -> Path:
        """A copy on the local disk, which a later sweep removes. Raises MissingFile."""
        copy = self.path(sha256)
        if copy.is_file():
            return copy
        with self.fetched(sha256) as path, stored_errors(copy):
            copy.parent.mkdir(parents=True, exist_ok=True)
            path.replace(copy)
        return copy

    @contextmanager
    def fetched(self, sha256: str) -> Iterator[Path]:
        """The bytes as a file that is there for the length of the block.

        Raises MissingFile, StorageError.
        """
        path = self.incoming()
        try:
            size = self._size(sha256)
            with stored_errors(path), path.open("wb") as file:
                for chunk in self._read(sha256, 0, size):
                    file.write(chunk)
            yield path
        finally:
            path.unlink(missing_ok=True)

    def stored(self, sha256: str) -> StoredBytes:
        """The bytes as they lie. Raises MissingFile, StorageError."""
        return StoredBytes(
            None, self._size(sha256), lambda start, end: self._read(sha256, start, end)
        )

    def set_aside(self, sha256: str) -> None:
        """Move bytes away that are no longer those of their digest. Raises StorageError."""
        with _translated(_key(sha256)):
            obstore.rename(self._store, _key(sha256), f"damaged/{sha256}")

    def discard(self, sha256: str) -> None:
        """Remove the object and every thumbnail; what is gone already is fine."""
        with _translated(_key(sha256)):
            obstore.delete(self._store, _key(sha256))
        (self._fetched / sha256).unlink(missing_ok=True)
        super().discard(sha256)

    def sweep_incoming(self) -> int:
        """Remove old uploads, and old copies of objects; gives how many."""
        copies = list(self._fetched.iterdir()) if self._fetched.is_dir() else []
        return super().sweep_incoming() + sum(remove_if_older(path) for path in copies)

    def strays(self, used: Callable[[list[str]], set[str]]) -> Iterator[str]:
        """As of files: old objects and thumbnails that no image needs. Raises StorageError."""
        yield from super().strays(used)
        before = datetime.now(UTC) - timedelta(seconds=STRAY_AGE_SECONDS)
        for part in PARTS:
            prefix = f"blobs/{part}"
            with _translated(prefix):
                objects = [one for page in obstore.list(self._store, prefix) for one in page]
            names = [
                one["path"].rpartition("/")[2] for one in objects if one["last_modified"] < before
            ]
            ours = [n for n in names if n.startswith(part) and len(n) == DIGEST_DIGITS]
            yield from sorted(set(ours) - used(ours))

    def _size(self, sha256: str) -> int:
        with _translated(_key(sha256)):
            size: int = obstore.head(self._store, _key(sha256))["size"]
            return size

    def _read(self, sha256: str, start: int, end: int) -> Iterator[bytes]:
        if start >= end:
            return
        with _translated(_key(sha256)):
            answer = obstore.get(self._store, _key(sha256), options={"range": (start, end)})
            for chunk in answer.stream(min_chunk_size=CHUNK_BYTES):
                yield bytes(chunk)


def _key(sha256: str) -> str:
    return f"blobs/{sha256[:2]}/{sha256[2:4]}/{sha256}"


@contextmanager
def _translated(key: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise MissingFile(Path(key), "the image's file is missing") from error
    except (BaseError, OSError) as error:
        # Its text names the server and the bucket, which is for the log alone.
        log.warning("object_store_failed", key=key, reason=str(error).partition("\n")[0])
        raise StorageError(Path(key), "the object store does not answer as it should") from error
