"""Zip files that strangers send: which entries can be used, and one of them at a time, under caps.

Nothing is ever unpacked to a name that the archive chose.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO, Self

from index.blobs import CHUNK_BYTES, BlobStore, removed_on_error, stored_errors
from index.errors import ArchiveError
from index.uploads import Upload

# The list of entries is read into memory whole; this much is about 100,000 of them.
DIRECTORY_BYTES = 8 << 20
# Pictures hardly shrink in a zip; deflate makes at most 1,032 bytes of one.
RATIO_ALLOWED = 200
RATIO_FREE_BYTES = 100_000
# Everything unpacked together, for each byte of the archive.
TOTAL_RATIO_ALLOWED = 20
TOTAL_FREE_BYTES = 100_000_000
# Others take memory that the archive chooses (LZMA's dictionary), and nobody packs pictures so.
METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
ARCHIVE_SUFFIXES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst")
# What systems put beside pictures; nobody asked for it to be imported.
HIDDEN_NAMES = {"__MACOSX", "Thumbs.db", "desktop.ini"}
SIGNATURES = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
ENCRYPTED = 0x1
UTF_8 = 0x800


@dataclass(frozen=True, slots=True)
class RefusedEntry:
    """An entry that can't be used, by the name that the archive gives it, and why."""

    name: str
    reason: str


class Archive:
    """The usable files of a zip file, by clean relative names. Thread-safe; close it when done."""

    def __init__(self, path: Path) -> None:
        """Raises ArchiveError when it is no zip file or has too many entries, StorageError."""
        with stored_errors(path):
            self._file = path.open("rb")
            size_bytes = path.stat().st_size
        try:
            with _readable():
                self._zip = zipfile.ZipFile(_Capped(self._file))
        except ArchiveError:
            self._file.close()
            raise
        self.refused: list[RefusedEntry] = []
        self._entries: dict[str, zipfile.ZipInfo] = {}
        self._by_last_name: dict[str, str | None] = {}
        self._list(size_bytes)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    @property
    def names(self) -> list[str]:
        """The usable files, in the order of the archive."""
        return list(self._entries)

    def find(self, name: str, *folder: str) -> str | None:
        """The file that `name` means: its path in the archive, or in one of the folders given.

        The last part alone is enough where one file has it.
        """
        clean = unicodedata.normalize("NFC", name.replace("\\", "/")).removeprefix("./")
        for path in (clean, *(f"{one}/{clean}" for one in folder)):
            if path in self._entries:
                return path
        return self._by_last_name.get(clean.rpartition("/")[2]) if "/" not in clean else None

    def open(self, name: str) -> io.BufferedReader:
        """The bytes of a file as they are unpacked; reading raises ArchiveError when damaged."""
        with _readable():
            return io.BufferedReader(_Entry(self._zip.open(self._entries[name])))

    def copy_out(self, name: str, blobs: BlobStore, *, max_bytes: int, collection: str) -> Upload:
        """A file of the archive as an upload; reading stops one byte over `max_bytes`.

        Raises ArchiveError when it is damaged, StorageError.
        """
        target = blobs.incoming()
        seen = hashlib.sha256()
        size_bytes = 0
        with (
            removed_on_error(target),
            self.open(name) as entry,
            stored_errors(target),
            target.open("wb") as writer,
        ):
            while size_bytes <= max_bytes and (
                chunk := entry.read(min(CHUNK_BYTES, max_bytes + 1 - size_bytes))
            ):
                seen.update(chunk)
                writer.write(chunk)
                size_bytes += len(chunk)
        return Upload(target, seen.hexdigest(), size_bytes, name.rpartition("/")[2], collection)

    def close(self) -> None:
        """Close the file."""
        self._zip.close()
        self._file.close()

    def _list(self, size_bytes: int) -> None:
        left = TOTAL_RATIO_ALLOWED * size_bytes + TOTAL_FREE_BYTES
        end_of_last = 0
        # In the order of their bytes, so that an entry that shares bytes with another is seen.
        for entry in sorted(self._zip.infolist(), key=lambda one: one.header_offset):
            name = _name(entry)
            shares = entry.header_offset < end_of_last
            end_of_last = max(end_of_last, entry.header_offset + entry.compress_size)
            reason = "it shares bytes with another entry" if shares else _refusal(entry, name)
            if reason is None and (_is_hidden(name) or name.endswith("/")):
                continue
            left -= entry.file_size
            if reason is None and left < 0:
                reason = "the archive unpacks to too much"
            if reason is None and name in self._entries:
                reason = "another entry has the same name"
            if reason is not None:
                self.refused.append(RefusedEntry(name, reason))
                continue
            self._entries[name] = entry
            last = name.rpartition("/")[2]
            self._by_last_name[last] = None if last in self._by_last_name else name


def is_archive(path: Path) -> bool:
    """Whether a file begins as a zip file does. Raises StorageError."""
    with stored_errors(path), path.open("rb") as file:
        return file.read(4) in SIGNATURES


def _name(entry: zipfile.ZipInfo) -> str:
    name = entry.orig_filename
    if not entry.flag_bits & UTF_8:
        # Some systems write UTF-8 and do not say so.
        with contextlib.suppress(UnicodeError):
            name = name.encode("cp437").decode()
    return unicodedata.normalize("NFC", name.replace("\\", "/")).removeprefix("./")


def _refusal(entry: zipfile.ZipInfo, name: str) -> str | None:
    parts = name.split("/")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    compressed = max(entry.compress_size, 1)
    reasons = {
        "it has no name": not name,
        "its name leads out of the archive": ".." in parts,
        "its name is absolute": name.startswith("/") or name[1:2] == ":",
        "its name has a character that no name has": any(c < " " for c in name),
        "it is a link": kind == stat.S_IFLNK,
        "it is no regular file": kind not in {0, stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK},
        "it is encrypted": bool(entry.flag_bits & ENCRYPTED),
        "an archive inside the archive is not opened": name.lower().endswith(ARCHIVE_SUFFIXES),
        "it is compressed by a method that is not read": entry.compress_type not in METHODS,
        "it unpacks to far more than a picture would": entry.file_size > RATIO_FREE_BYTES
        and entry.file_size / compressed > RATIO_ALLOWED,
    }
    return next((reason for reason, is_true in reasons.items() if is_true), None)


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") or part in HIDDEN_NAMES for part in name.split("/"))


class _Capped:
    """A file for `zipfile`, which reads the whole list of entries at once, however long it is."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek = file.seek
        self.tell = file.tell
        self.seekable = file.seekable

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes. Raises ArchiveError for more than any list of entries has."""
        if size > DIRECTORY_BYTES:
            raise ArchiveError("it has too many entries")
        data = self._file.read(DIRECTORY_BYTES + 1 if size < 0 else size)
        if len(data) > DIRECTORY_BYTES:
            raise ArchiveError("it has too many entries")
        return data


class _Entry(io.RawIOBase):
    """An entry whose every read says ArchiveError where `zipfile` says one of many things."""

    def __init__(self, entry: IO[bytes]) -> None:
        self._entry = entry

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer; gives how many bytes. Raises ArchiveError."""
        with _readable():
            data = self._entry.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Close the entry."""
        self._entry.close()
        super().close()


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    """What `zipfile` and `zlib` say of bytes that are not as they should be."""
    try:
        yield
    except (
        zipfile.BadZipFile,
        zlib.error,
        struct.error,
        EOFError,
        NotImplementedError,
        OverflowError,
        ValueError,
        OSError,
        RuntimeError,
    ) as error:
        raise ArchiveError("it is damaged, or no zip file") from error
