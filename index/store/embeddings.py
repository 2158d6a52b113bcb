"""Embeddings: one float16 vector per image and model version, the truth behind every index."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import delete, func, insert, select
from sqlalchemy.orm import Session

from index.errors import EmbeddingRejected
from index.store.images import VARIABLES_PER_STATEMENT
from index.store.schema import EmbeddingRow, ImageRow

STORED = np.dtype("<f2")
ROWS_PER_READ = 4_096


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
    found: dict[int, NDArray[np.float32]] = {}
    for start in range(0, len(numbers), VARIABLES_PER_STATEMENT):
        statement = select(EmbeddingRow.image_number, EmbeddingRow.vector).where(
            EmbeddingRow.model_version == model_version,
            EmbeddingRow.image_number.in_(numbers[start : start + VARIABLES_PER_STATEMENT]),
        )
        for number, vector in session.execute(statement):
            found[number] = unpack([vector])[0]
    return found


def stream(
    session: Session, model_version: str
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Every embedding of one version in chunks: image numbers (N,) ascending, vectors (N, D)."""
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
        yield (
            np.array([row.image_number for row in rows], dtype=np.int64),
            unpack([row.vector for row in rows]),
        )


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
    if abs(length - 1) > 0.01:
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
