"""What can go wrong while remembering and finding images.

RetrievalError
├── NotFound               no such image, job or model version
├── StorageError           the data folder can't take or give bytes
│   ├── StorageFull
│   ├── DigestMismatch     the bytes are not those announced
│   └── MissingFile        a row whose file is gone
├── DatabaseUnavailable    the database can't be reached or written
├── IndexUnavailable       the vector index is elsewhere, and does not answer
├── EmbeddingRejected      not finite, or of no length
├── TextRejected           a text that can't be stored
├── TableError             a table of pairs that can't be read at all
├── ArchiveError           a zip file that can't be read at all
├── QueryError             a question that has no answer
│   ├── EmptyQuery
│   ├── CancellingQuery    the parts sum to nothing
│   ├── PartRefused        one part can't be used, for the reason of its cause
│   ├── FilterError        a filter that can't be read
│   └── CursorError        a cursor that isn't ours, or is of another query
├── DimensionMismatch      a vector of another model
├── SnapshotError          a snapshot that can't be trusted
├── BackupDamaged          a backup that can't be restored from
└── Conflict               the state of a thing forbids the change
    ├── NotBetter          a model version that did worse than is allowed
    ├── ProbeOfAnotherModel a probe that knows nothing of the live version's embeddings
    ├── CollectionClosed   a collection that takes no uploads
    └── CollectionNotEmpty a collection with images that nobody said may go
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


class RetrievalError(Exception):
    """Base of everything the index layer raises on purpose."""


def member_pointer(parent: str, member: object) -> str:
    """The JSON pointer of a member of what `parent` points at (RFC 6901)."""
    return f"{parent}/{str(member).replace('~', '~0').replace('/', '~1')}"


class NotFound(RetrievalError):
    """There is no such thing."""

    def __init__(self, kind: str, identifier: str) -> None:
        super().__init__(f"There is no {kind} with the id {identifier!r}.")
        self.kind = kind
        self.identifier = identifier


class StorageError(RetrievalError):
    """The data folder could not be read or written."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class StorageFull(StorageError):
    """No space is left for the file."""


class MissingFile(StorageError):
    """A stored image's file is not there."""


class DigestMismatch(StorageError):
    """The bytes have another SHA-256 than the one announced."""

    def __init__(self, path: Path, expected: str, actual: str) -> None:
        super().__init__(path, f"expected SHA-256 {expected}, found {actual}")
        self.expected = expected
        self.actual = actual


class DatabaseUnavailable(RetrievalError):
    """The database refused or dropped the connection."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The database does not answer: {reason}")
        self.reason = reason


class IndexUnavailable(RetrievalError):
    """The vector index of another process refused or dropped the connection."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The vector index does not answer: {reason}")
        self.reason = reason


class EmbeddingRejected(RetrievalError):
    """The model gave a vector that can't be compared with anything."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The embedding was rejected: {reason}.")
        self.reason = reason


class TextRejected(RetrievalError):
    """A text that came with an image can't be stored; `pointer` says which."""

    def __init__(self, pointer: str, reason: str) -> None:
        super().__init__(f"{pointer}: {reason}")
        self.pointer = pointer
        self.reason = reason


class TableError(RetrievalError):
    """A table of pairs can't be read at all; a bad line of it is no error but a refusal."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The table can't be read: {reason}.")
        self.reason = reason


class ArchiveError(RetrievalError):
    """A zip file can't be read at all; a bad entry of it is no error but a refusal."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The archive can't be read: {reason}.")
        self.reason = reason


class QueryError(RetrievalError):
    """The query can't be answered as it stands."""


class EmptyQuery(QueryError):
    """The query has no part."""

    def __init__(self) -> None:
        super().__init__("The query has no part; give at least one text or image.")


class CancellingQuery(QueryError):
    """The weighted parts sum to nothing."""

    def __init__(self) -> None:
        super().__init__(
            "The parts of the query cancel each other; change a weight or leave a part out."
        )


class PartRefused(QueryError):
    """One part of the query can't be used; `cause` says why, and `pointer` where it stands."""

    def __init__(self, pointer: str | None, cause: Exception) -> None:
        super().__init__(str(cause))
        self.pointer = pointer
        self.cause = cause
        self.reason = str(cause)


class FilterError(QueryError):
    """The filter can't be read; `pointer` is the JSON pointer of the bad place."""

    def __init__(self, pointer: str, reason: str) -> None:
        super().__init__(f"{pointer}: {reason}")
        self.pointer = pointer
        self.reason = reason


class CursorError(QueryError):
    """The cursor was not handed out for this request."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The cursor can't be used: {reason}. Start again without it.")
        self.reason = reason


class DimensionMismatch(RetrievalError):
    """A vector has another number of components than the index."""

    def __init__(self, expected: int, actual: int) -> None:
        super().__init__(f"The index holds vectors of {expected} components, not of {actual}.")
        self.expected = expected
        self.actual = actual


class SnapshotError(RetrievalError):
    """A snapshot is damaged, foreign or of another model version."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class BackupDamaged(RetrievalError):
    """The backup is unfinished, altered or incomplete; nothing was restored from it."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"The backup {path} can't be used: {reason}.")
        self.path = path
        self.reason = reason


class Conflict(RetrievalError):
    """The thing's present state forbids the change."""


class NotBetter(Conflict):
    """A model version was measured, and did worse than is allowed; `checks` are the figures.

    Each check is a document with its `title`, the figures `before` and `after`, what is `allowed`
    and whether it `passed`.
    """

    def __init__(self, version_id: str, checks: Sequence[Mapping[str, Any]]) -> None:
        failed = "; ".join(
            f"{check['title']}: {check['before']:.3f}, now {check['after']:.3f}, {check['allowed']}"
            for check in checks
            if not check["passed"]
        )
        super().__init__(
            f"The model version {version_id} is not promoted ({failed}); force it if it should be."
        )
        self.version_id = version_id
        self.checks = tuple(checks)


class ProbeOfAnotherModel(Conflict):
    """The probe was trained on another model's embeddings, and those of this one mean nothing."""

    def __init__(self, name: str, fingerprint: str, version_id: str) -> None:
        super().__init__(
            f"The probe {name!r} was trained on the model {fingerprint[:12]}…, not on "
            f"{version_id}, which is live; train it again."
        )
        self.name = name
        self.fingerprint = fingerprint
        self.version_id = version_id


class CollectionClosed(Conflict):
    """The collection takes no uploads."""

    def __init__(self, name: str) -> None:
        self.pointer = "/collection"
        self.reason = f"The collection {name!r} takes no uploads; change that, or name another"
        super().__init__(f"{self.reason}.")
        self.name = name


class CollectionNotEmpty(Conflict):
    """The collection has images, and was not to be deleted with them."""

    def __init__(self, name: str, images: int) -> None:
        held = f"{images:,} images" if images > 1 else "an image"
        super().__init__(
            f"The collection {name!r} has {held}; delete it with them if they are to be lost."
        )
        self.name = name
        self.images = images
