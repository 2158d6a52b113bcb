"""Vector search by Milvus over the network, or by Milvus Lite in a file.

One collection holds the vectors of one model version. Every process that follows the change log
writes the same changes to it, and each of them may be written again: the number of an image is the
primary key. Searches are read at the level "Strong", so what a process has written it also finds.
"""

from __future__ import annotations

import importlib.util
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from index.errors import DimensionMismatch, IndexUnavailable, SnapshotError
from index.vectors.base import (
    NO_NUMBER,
    Description,
    Neighbours,
    Numbers,
    StoredVectors,
    VectorIndex,
    Vectors,
)

# The most hits that Milvus gives a query.
K_ALLOWED = 16_384
ROWS_PER_REQUEST = 1_000
# Longer lists of allowed images are asked for in parts.
ALLOWED_PER_REQUEST = 10_000
SEQUENCE = "beholder.sequence"


class MilvusIndex:
    """A `VectorIndex` that is a collection of Milvus. At most 16,384 hits a query."""

    def __init__(self, client: Any, collection: str, dimension: int) -> None:
        self._client = client
        self._collection = collection
        self._dimension = dimension
        # Milvus Lite is one process's file, and its writes are not made for two threads.
        self._writing = threading.Lock()

    @property
    def dimension(self) -> int:
        """Components of a vector."""
        return self._dimension

    def __len__(self) -> int:
        with _translated():
            rows = self._client.query(self._collection, filter="", output_fields=["count(*)"])
        return int(rows[0]["count(*)"])

    def __contains__(self, number: int) -> bool:
        return bool(len(self._present(np.array([number], dtype=np.int64))))

    def put(self, numbers: Numbers, vectors: Vectors | StoredVectors) -> None:
        """Add or replace vectors (N, D). Raises DimensionMismatch, IndexUnavailable."""
        self._check(vectors)
        last = {int(number): row for row, number in enumerate(numbers)}
        # Milvus Lite has no half precision; widened, nothing is lost.
        wide = vectors.astype(np.float16).astype(np.float32)
        rows = [{"number": number, "vector": wide[row]} for number, row in last.items()]
        with self._writing, _translated():
            for start in range(0, len(rows), ROWS_PER_REQUEST):
                self._client.upsert(self._collection, rows[start : start + ROWS_PER_REQUEST])

    def remove(self, numbers: Numbers) -> int:
        """Forget images; gives how many were there. Raises IndexUnavailable."""
        present = self._present(numbers).tolist()
        with self._writing, _translated():
            for start in range(0, len(present), ROWS_PER_REQUEST):
                some = present[start : start + ROWS_PER_REQUEST]
                self._client.delete(self._collection, ids=some)
        return len(present)

    def search(self, queries: Vectors, k: int, allowed: Numbers | None = None) -> Neighbours:
        """The k nearest of each query (N, D), as `VectorIndex.search` says.

        Raises DimensionMismatch, IndexUnavailable.
        """
        self._check(queries)
        numbers = np.full((len(queries), k), NO_NUMBER, dtype=np.int64)
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        if len(queries) == 0 or k == 0:
            return Neighbours(numbers, scores)
        parts: list[Numbers | None] = [None]
        if allowed is not None:
            every = np.unique(allowed)
            starts = range(0, len(every), ALLOWED_PER_REQUEST)
            parts = [every[start : start + ALLOWED_PER_REQUEST] for start in starts]
        found: list[list[tuple[float, int]]] = [[] for _ in queries]
        for part in parts:
            for row, hits in enumerate(self._search(queries, min(k, K_ALLOWED), part)):
                found[row] += hits
        for row, hits in enumerate(found):
            best = sorted(hits, reverse=True)[:k]
            numbers[row, : len(best)] = [number for _, number in best]
            scores[row, : len(best)] = [score for score, _ in best]
        return Neighbours(numbers, scores)

    def vectors(self, numbers: Numbers) -> Vectors:
        """The stored vectors (N, D) of unit length; zeros for a number that is not there."""
        place = {int(number): row for row, number in enumerate(numbers)}
        found = np.zeros((len(numbers), self._dimension), dtype=np.float32)
        with _translated():
            for start in range(0, len(numbers), ROWS_PER_REQUEST):
                some = numbers[start : start + ROWS_PER_REQUEST].tolist()
                rows = self._client.get(self._collection, ids=some, output_fields=["vector"])
                for row in rows:
                    found[place[row["number"]]] = row["vector"]
        lengths = np.linalg.norm(found, axis=1, keepdims=True)
        found /= np.where(lengths > 0, lengths, 1)
        return found

    def numbers(self) -> Numbers:
        """Every image number, in no order. Raises IndexUnavailable."""
        pages = self._pages(["number"])
        return np.array([row["number"] for page in pages for row in page], dtype=np.int64)

    def contents(self) -> tuple[Numbers, StoredVectors]:
        """Numbers (N,) and vectors (N, D), page by page: consistent while nothing changes."""
        rows = [row for page in self._pages(["number", "vector"]) for row in page]
        vectors = np.array([row["vector"] for row in rows], dtype=np.float16)
        numbers = np.array([row["number"] for row in rows], dtype=np.int64)
        return numbers, vectors.reshape(len(rows), self._dimension)

    def describe(self) -> Description:
        """The collection and its size; what memory it takes is Milvus's to say."""
        return Description(
            kind="milvus",
            size=len(self),
            removed=0,
            memory_bytes=0,
            parameters={"collection": self._collection},
        )

    def _search(
        self, queries: Vectors, k: int, allowed: Numbers | None
    ) -> list[list[tuple[float, int]]]:
        pushed_down: dict[str, Any] = {}
        if allowed is not None:
            # Written out: Milvus Lite does not fill in templates.
            pushed_down["filter"] = f"number in {allowed.tolist()}"
        with _translated():
            answered = self._client.search(
                self._collection,
                list(np.ascontiguousarray(queries, dtype=np.float32)),
                limit=k,
                output_fields=["number"],
                consistency_level="Strong",
                **pushed_down,
            )
        return [[(hit["distance"], hit["number"]) for hit in hits] for hits in answered]

    def _present(self, numbers: Numbers) -> Numbers:
        found: list[int] = []
        with _translated():
            for start in range(0, len(numbers), ROWS_PER_REQUEST):
                some = numbers[start : start + ROWS_PER_REQUEST].tolist()
                rows = self._client.get(self._collection, ids=some, output_fields=["number"])
                found += [row["number"] for row in rows]
        return np.unique(np.array(found, dtype=np.int64))

    def _pages(self, fields: list[str]) -> Iterator[list[dict[str, Any]]]:
        """Every row, in pages."""
        with _translated():
            pages = self._client.query_iterator(
                self._collection,
                batch_size=ROWS_PER_REQUEST,
                output_fields=fields,
                consistency_level="Strong",
            )
            try:
                while page := pages.next():
                    yield page
            finally:
                pages.close()

    def _check(self, vectors: NDArray[Any]) -> None:
        if vectors.shape[1] != self._dimension:
            raise DimensionMismatch(self._dimension, vectors.shape[1])


class MilvusKeeper:
    """Indexes in Milvus, one collection a model version; nothing is loaded or saved but a number.

    `uri` is a server's, or the path of a Milvus Lite file. Needs the extra `milvus`.
    """

    def __init__(self, uri: str, token: str | None = None) -> None:
        from pymilvus import MilvusClient  # noqa: PLC0415  (slow to import, and optional)

        with _translated():
            self._client = MilvusClient(uri, token=token or "")

    def empty(self, version_id: str, dimension: int) -> VectorIndex:
        """The version's collection, made if there is none; what it holds already stays."""
        name = collection_name(version_id)
        with _translated():
            if not self._client.has_collection(name):
                self._create(name, dimension)
        return MilvusIndex(self._client, name, dimension)

    def load(self, version_id: str, dimension: int) -> tuple[VectorIndex, int]:
        """The version's collection, and the sequence number of the last change known to be in it.

        Each process writes down its own; whichever it is, every change up to it is in there.
        """
        name = collection_name(version_id)
        with _translated():
            known = self._client.has_collection(name)
            told = self._client.describe_collection(name) if known else {}
        sequence = told.get("properties", {}).get(SEQUENCE)
        if sequence is None:
            raise SnapshotError(Path(name), "the collection is not there or not complete")
        return MilvusIndex(self._client, name, dimension), int(sequence)

    def saving(self, _index: VectorIndex, version_id: str, sequence: int) -> Callable[[], None]:
        """What writes the sequence number down."""
        return partial(self._write_down, collection_name(version_id), sequence)

    def discard(self, version_id: str) -> None:
        """Drop the version's collection."""
        with _translated():
            self._client.drop_collection(collection_name(version_id))

    def close(self) -> None:
        """End the connection."""
        self._client.close()

    def _write_down(self, name: str, sequence: int) -> None:
        try:
            with _translated():
                self._client.alter_collection_properties(name, {SEQUENCE: str(sequence)})
        except IndexUnavailable as error:
            raise SnapshotError(Path(name), error.reason) from error

    def _create(self, name: str, dimension: int) -> None:
        from pymilvus import DataType  # noqa: PLC0415  (as above)

        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("number", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dimension)
        index = self._client.prepare_index_params()
        # Milvus chooses the family itself. Cosine, since float16 is not of unit length.
        index.add_index("vector", index_type="AUTOINDEX", metric_type="COSINE")
        self._client.create_collection(
            name, schema=schema, index_params=index, consistency_level="Strong"
        )


def collection_name(version_id: str) -> str:
    """Milvus's name for the vectors of a model version: letters, digits and underscores only."""
    return "beholder_" + re.sub(r"[^0-9A-Za-z]", lambda m: f"_{ord(m[0]):x}_", version_id)


def check_milvus_installed() -> None:
    """Raises ValueError, which says what to install, when Milvus's client is not there."""
    if importlib.util.find_spec("pymilvus") is None:
        raise ValueError("Milvus needs the extra `milvus`: pip install 'beholder[milvus]'")


@contextmanager
def _translated() -> Iterator[None]:
    from pymilvus.exceptions import MilvusException  # noqa: PLC0415  (optional)

    try:
        yield
    except MilvusException as error:
        reason = str(cast("Any", error).message).strip().splitlines()
        raise IndexUnavailable(reason[0] if reason else "no reason given") from error
