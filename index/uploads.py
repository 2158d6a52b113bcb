"""What a caller hands to the indexer, and the one rule for the texts that come with it."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from index.blobs import CHUNK_BYTES, BlobStore, removed_on_error, stored_errors
from index.errors import TextRejected, member_pointer

NAME_BYTES = 255
TAGS_ALLOWED = 100
TAG_CHARACTERS = 100
CAPTION_CHARACTERS = 10_000
COLLECTION_CHARACTERS = 100
# PostgreSQL keeps any number exactly and SQLite does not; this is what both give back unchanged.
NUMBER_ALLOWED = 2**53
DEFAULT_COLLECTION = "default"


@dataclass(frozen=True, slots=True)
class Words:
    """What the owner says of an image."""

    tags: tuple[str, ...] = ()
    caption: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def cleaned(self) -> Words:
        """The same words as they are stored, tags without repeats. Raises TextRejected."""
        if len(self.tags) > TAGS_ALLOWED:
            raise TextRejected("/tags", f"an image has at most {TAGS_ALLOWED} tags")
        tags = [
            clean_text(tag, f"/tags/{position}", max_characters=TAG_CHARACTERS).strip()
            for position, tag in enumerate(self.tags)
        ]
        caption = self.caption
        if caption is not None:
            caption = clean_text(caption, "/caption", max_characters=CAPTION_CHARACTERS)
        return Words(
            tuple(dict.fromkeys(tag for tag in tags if tag)),
            caption,
            clean_metadata(self.metadata),
        )


@dataclass(frozen=True, slots=True)
class Upload:
    """A file on the store's volume that wants to become an image, with its owner's words.

    `path` came from `BlobStore.incoming`; the indexer moves or removes it.
    """

    path: Path
    sha256: str
    size_bytes: int
    filename: str
    collection: str = DEFAULT_COLLECTION
    words: Words = Words()


def copy_in(
    source: Path,
    blobs: BlobStore,
    *,
    max_bytes: int,
    filename: str,
    collection: str,
    words: Words,
) -> Upload:
    """An upload made from a file elsewhere, which is read once and left as it is.

    Reading stops one byte over `max_bytes`, so that decoding refuses it without the rest.
    Raises StorageError, StorageFull.
    """
    target = blobs.incoming()
    seen = hashlib.sha256()
    size_bytes = 0
    with stored_errors(source), removed_on_error(target), source.open("rb") as reader:  # noqa: SIM117  (each names its own path)
        with stored_errors(target), target.open("wb") as writer:
            while size_bytes <= max_bytes and (
                chunk := reader.read(min(CHUNK_BYTES, max_bytes + 1 - size_bytes))
            ):
                seen.update(chunk)
                writer.write(chunk)
                size_bytes += len(chunk)
    return Upload(target, seen.hexdigest(), size_bytes, filename, collection, words)


def printable_name(name: str) -> str:
    """A file name that can be stored, listed and put into a header, whatever was sent.

    The last part of a path of either system, in Unicode's composed form; bytes that were no text
    and control characters become "�", and the middle gives way when it is over 255 bytes.
    """
    last = PureWindowsPath(PurePosixPath(name).name).name
    composed = unicodedata.normalize("NFC", last)
    shown = "".join("�" if _is_unprintable(character) else character for character in composed)
    shown = shown.strip()
    if shown in {"", ".", ".."}:
        shown = "unnamed"
    encoded = shown.encode()
    if len(encoded) > NAME_BYTES:
        head, tail = encoded[: NAME_BYTES - 36], encoded[-32:]
        shown = f"{head.decode(errors='ignore')}…{tail.decode(errors='ignore')}"
    return shown


def clean_text(text: str, pointer: str, *, max_characters: int) -> str:
    """A text in Unicode's composed form that both databases can store.

    Raises TextRejected, with `pointer` to where it came from.
    """
    composed = unicodedata.normalize("NFC", text)
    if len(composed) > max_characters:
        raise TextRejected(pointer, f"at most {max_characters:,} characters are stored")
    if "\0" in composed:
        raise TextRejected(pointer, "the character U+0000 can't be stored")
    if any("\ud800" <= character <= "\udfff" for character in composed):
        raise TextRejected(pointer, "half of a surrogate pair can't be stored")
    return composed


def clean_collection(name: str, pointer: str = "/collection") -> str:
    """A collection's name as it is stored: in one line, and fit to stand in an address.

    Raises TextRejected, with `pointer` to where it came from.
    """
    cleaned = clean_text(name, pointer, max_characters=COLLECTION_CHARACTERS).strip()
    if not cleaned:
        raise TextRejected(pointer, "a collection has a name")
    if any(_is_unprintable(character) for character in cleaned):
        raise TextRejected(pointer, "a collection's name has no control characters")
    if any(part in {"", ".", ".."} for part in cleaned.split("/")):
        # Whoever reads an address takes them for steps through folders.
        raise TextRejected(pointer, "between slashes a name has more than one or two dots")
    return cleaned


def clean_metadata(metadata: Mapping[str, Any], *, max_bytes: int = 65_536) -> dict[str, Any]:
    """Metadata that both databases can store and give back unchanged. Raises TextRejected."""
    cleaned: dict[str, Any] = _clean_json(metadata, "/metadata", 1)
    if len(json.dumps(cleaned)) > max_bytes:
        raise TextRejected("/metadata", f"at most {max_bytes:,} bytes of metadata are stored")
    return cleaned


def _clean_json(value: Any, pointer: str, depth: int) -> Any:
    if depth > 16:
        raise TextRejected(pointer, "metadata nests at most 16 deep")
    if isinstance(value, str):
        return clean_text(value, pointer, max_characters=65_536)
    if isinstance(value, Mapping):
        return {
            clean_text(key, pointer, max_characters=200): _clean_json(
                item, member_pointer(pointer, key), depth + 1
            )
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [
            _clean_json(item, f"{pointer}/{position}", depth + 1)
            for position, item in enumerate(value)
        ]
    if isinstance(value, int | float) and not abs(value) <= NUMBER_ALLOWED:
        raise TextRejected(pointer, f"a number is between -{NUMBER_ALLOWED} and {NUMBER_ALLOWED}")
    return value


def _is_unprintable(character: str) -> bool:
    return unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}
