"""Embeddings: one float16 vector per image and model version, the truth behind every index."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import delete, func, insert, select
from sqlalchemy.orm import Session

from index.errors import EmbeddingRejected
from index.store.images import VARIABLES_PER_STATEMENT
from index.store.schema import EmbeddingRow, ImageRow

STORED = np.dtype("<f2")
ROWS_PER_READ = 4_096
# How far from 1 the length of a vector may be.
LENGTH_TOLERANCE = 0.01


@dataclass(frozen=True, slots=True)
class Stored:
    """Embeddings bit for bit: image numbers (N,) and vectors (N, D) float16.

    `unsound` are the numbers of those left out: of another size, not finite, or not of unit length.
    """

    numbers: NDArray[np.int64]
    vectors: NDArray[np.float16]
    unsound: tuple[int, ...]


def put(session: Session, model_version: str, vectors: Mapping[int, NDArray[np.float32]]) -> None:
    """Write the embedding of each image number, replacing an older one of the same version.

    Each vector is (D,) float32 and of unit length. Raises EmbeddingRejected for one that is not.
    """
    rows = [
        {"image_number": number, "model_version": model_version, "vector": pack(vector)}
        for number, vector in vectors.items()
    ]
    if not rows:
        return
    session.execute(
        delete(EmbeddingRow).where(
            EmbeddingRow.model_version == model_version,
            EmbeddingRow.image_number.in_(list(vectors)),
        )
    )
    session.execute(insert(EmbeddingRow), rows)


def get_many(
    session: Session, model_version: str, numbers: Sequence[int]
) -> dict[int, NDArray[np.float32]]:
    """The stored embeddings among `numbers`, as (D,) float32 of unit length."""
    return {
        number: unpack([vector])[0] for number, vector in _rows(session, model_version, numbers)
    }


def stored(session: Session, model_version: str, dimension: int, numbers: Sequence[int]) -> Stored:
    """The embeddings among `numbers` as they are stored."""
    return _sound(_rows(session, model_version, numbers), dimension)


def stream(session: Session, model_version: str, dimension: int) -> Iterator[Stored]:
    """Every embedding of one version as it is stored, in chunks ascending by image number."""
    last = -1
    while True:
        rows = session.execute(
            select(EmbeddingRow.image_number, EmbeddingRow.vector)
            .where(EmbeddingRow.model_version == model_version, EmbeddingRow.image_number > last)
            .order_by(EmbeddingRow.image_number)
            .limit(ROWS_PER_READ)
        ).all()
        if not rows:
            return
        last = rows[-1].image_number
        yield _sound([(row.image_number, row.vector) for row in rows], dimension)


def count(session: Session, model_version: str) -> int:
    """How many images this version has embedded."""
    statement = select(func.count()).select_from(EmbeddingRow)
    return session.scalar(statement.where(EmbeddingRow.model_version == model_version)) or 0


def missing(
    session: Session, model_version: str, *, after_number: int = -1, limit: int
) -> list[tuple[int, str]]:
    """Up to `limit` images without an embedding of this version, as (number, sha256), ascending."""
    embedded = select(EmbeddingRow.image_number).where(
        EmbeddingRow.model_version == model_version, EmbeddingRow.image_number == ImageRow.number
    )
    statement = (
        select(ImageRow.number, ImageRow.sha256)
        .where(ImageRow.number > after_number, ~embedded.exists())
        .order_by(ImageRow.number)
        .limit(limit)
    )
    return [(row.number, row.sha256) for row in session.execute(statement)]


def pack(vector: NDArray[np.float32]) -> bytes:
    """The stored form of a (D,) vector of unit length. Raises EmbeddingRejected."""
    if not np.isfinite(vector).all():
        raise EmbeddingRejected("it is not finite")
    length = float(np.linalg.norm(vector))
    if abs(length - 1) > LENGTH_TOLERANCE:
        raise EmbeddingRejected(f"its length is {length:.3g} instead of 1")
    return vector.astype(STORED).tobytes()


def unpack(stored: Sequence[bytes]) -> NDArray[np.float32]:
    """Vectors (N, D) float32 of unit length from their stored form.

    Normalised again: rounding to float16 moves the length by up to 0.0005, enough to make a
    picture more similar than 1 to itself.
    """
    vectors = (
        np.frombuffer(b"".join(stored), dtype=STORED).reshape(len(stored), -1).astype(np.float32)
    )
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / lengths, dtype=np.float32)


def _rows(session: Session, model_version: str, numbers: Sequence[int]) -> list[tuple[int, bytes]]:
    found: list[tuple[int, bytes]] = []
    for start in range(0, len(numbers), VARIABLES_PER_STATEMENT):
        statement = select(EmbeddingRow.image_number, EmbeddingRow.vector).where(
            EmbeddingRow.model_version == model_version,
            EmbeddingRow.image_number.in_(numbers[start : start + VARIABLES_PER_STATEMENT]),
        )
        found += [(row.image_number, row.vector) for row in session.execute(statement)]
    return found


def _sound(rows: Sequence[tuple[int, bytes]], dimension: int) -> Stored:
    whole = [(number, vector) for number, vector in rows if len(vector) == 2 * dimension]
    numbers = np.array([number for number, _ in whole], dtype=np.int64)
    vectors = np.frombuffer(b"".join(vector for _, vector in whole), dtype=STORED)
    vectors = vectors.reshape(len(whole), dimension)
    lengths = np.linalg.norm(vectors.astype(np.float32), axis=1)
    # Written so that a length that is no number is unsound too.
    is_sound = np.abs(lengths - 1) <= LENGTH_TOLERANCE
    left_out = set(numbers[~is_sound].tolist()) | {n for n, v in rows if len(v) != 2 * dimension}
    return Stored(numbers[is_sound], vectors[is_sound], tuple(sorted(left_out)))
