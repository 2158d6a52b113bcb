"""A composed query in, ranked hits out."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from index import cursors
from index.errors import CancellingQuery, CursorError, EmptyQuery, NotFound, PartRefused
from index.filters import Condition
from index.live_index import Generation, LiveIndex
from index.pictures import PictureReader
from index.store import embeddings, images
from index.store.database import Database
from index.store.images import ImageRecord
from model import EmbeddedText, EmbeddingQueue, Encoder, ImageError, TextError

LIMIT_ALLOWED = 1_000
PARTS_ALLOWED = 16
# Shorter than this the weighted sum is rounding noise, and its direction means nothing.
SHORTEST_SUM = 1e-3
# Two ways of summing 512 products differ by less; scores this close are one score.
SCORE_DIGITS = 6
SCORE_STEP = 10.0**-SCORE_DIGITS
# How many more candidates than hits wanted are looked up, for those that are deleted by now.
SPARE = 4
# With a filter, so many of the best images of all are looked up in SQL before every image that the
# filter keeps is asked for: a filter that keeps many is answered without listing them.
CHECKED = 1_000
# How many more candidates than the share kept so far calls for.
SHARE_MARGIN = 1.5


@dataclass(frozen=True, slots=True)
class TextPart:
    """A sentence to be like, or unlike when its weight is negative."""

    text: str
    weight: float = 1.0
    pointer: str | None = None


@dataclass(frozen=True, slots=True)
class PicturePart:
    """A picture that is not stored: its bytes, or a file with them."""

    source: bytes | Path
    weight: float = 1.0
    pointer: str | None = None


@dataclass(frozen=True, slots=True)
class ImagePart:
    """A stored image; it is left out of its own hits."""

    image_id: str
    weight: float = 1.0
    pointer: str | None = None


# Each part's `pointer` says where in the caller's own document it stands, for errors.
Part: TypeAlias = TextPart | PicturePart | ImagePart


@dataclass(frozen=True, slots=True)
class Query:
    """What to look for, among which images (`where`; None for all), and which page of it."""

    parts: Sequence[Part]
    limit: int = 50
    cursor: str | None = None
    min_score: float | None = None
    where: Condition | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """One image and its cosine to the query, rounded to six digits.

    `copies` are hits of the same picture, best first, where a search stacks them.
    """

    image: ImageRecord
    score: float
    copies: tuple[Hit, ...] = ()


@dataclass(frozen=True, slots=True)
class Timings:
    """Milliseconds of each step."""

    encode: float
    search: float
    fetch: float
    total: float


@dataclass(frozen=True, slots=True)
class SearchResult:
    """One page, best first and ties by id; `warnings` in sentences."""

    hits: list[Hit]
    next_cursor: str | None
    model_version: str
    warnings: list[str]
    timings: Timings


@dataclass(frozen=True, slots=True)
class _Position:
    """Where the page before ended: its last hit, and how many hits there were until then."""

    score: float
    image_id: str
    seen: int


class Searcher:
    """Answers queries. Thread-safe; a call blocks for the model and the database."""

    def __init__(self, database: Database, live: LiveIndex, pictures: PictureReader) -> None:
        self._database = database
        self._live = live
        self._pictures = pictures

    def search(self, query: Query) -> SearchResult:
        """One page of the images most like the weighted sum of the parts.

        Answered wholly by one model version. Paging goes on from the last hit by score and id, so
        what is added or deleted meanwhile never makes a hit repeat.

        Raises EmptyQuery, CancellingQuery, CursorError, QueueFull, DatabaseUnavailable, and
        PartRefused for a part with an ImageError, a TextError or a NotFound.
        """
        started = time.perf_counter()
        generation = self._live.generation
        vector, own_numbers, warnings = self._encode(query.parts, generation)
        fingerprint = self._fingerprint(query)
        position = _position(query.cursor, generation, fingerprint)
        if any(isinstance(part, TextPart) for part in query.parts):
            generation.asked.add(vector)
        encoded = time.perf_counter()
        hits, is_last, search_seconds = self._page(query, generation, vector, own_numbers, position)
        ended = time.perf_counter()
        next_cursor = None
        if hits and not is_last:
            next_cursor = cursors.pack(
                {
                    "v": generation.version.id,
                    "q": fingerprint,
                    "s": hits[-1].score,
                    "i": hits[-1].image.id,
                    "c": (position.seen if position else 0) + len(hits),
                }
            )
        return SearchResult(
            hits,
            next_cursor,
            generation.version.id,
            warnings,
            Timings(
                encode=1e3 * (encoded - started),
                search=1e3 * search_seconds,
                fetch=1e3 * (ended - encoded - search_seconds),
                total=1e3 * (ended - started),
            ),
        )

    def embedding(self, image_id: str, generation: Generation) -> NDArray[np.float32]:
        """The stored embedding (D,) of an image. Raises NotFound, DatabaseUnavailable."""
        with self._database.reading() as session:
            return _stored_vector(session, image_id, generation)[1]

    def _encode(
        self, parts: Sequence[Part], generation: Generation
    ) -> tuple[NDArray[np.float32], set[int], list[str]]:
        if not parts:
            raise EmptyQuery
        queue = generation.queue
        pictures = [part for part in parts if isinstance(part, PicturePart)]
        # Sent off before the texts, so that both kinds are under way together.
        futures = [queue.submit_pixels(self._pixels(part, queue.encoder)) for part in pictures]
        texts = [part for part in parts if isinstance(part, TextPart)]
        embedded = _embedded_texts(texts, queue)
        stored, numbers = self._stored(
            [part for part in parts if isinstance(part, ImagePart)], generation
        )
        warnings = [
            f"The text {_shortened(part.text)} was cut to the model's context length "
            f"of {queue.encoder.context_length} tokens."
            for part, text in zip(texts, embedded, strict=True)
            if text.is_truncated
        ]
        weighted = [
            *((part.weight, text.vector) for part, text in zip(texts, embedded, strict=True)),
            *(
                (part.weight, future.result())
                for part, future in zip(pictures, futures, strict=True)
            ),
            *stored,
        ]
        total = np.sum([weight * vector.astype(np.float64) for weight, vector in weighted], axis=0)
        length = float(np.linalg.norm(total))
        if not length > SHORTEST_SUM * sum(abs(weight) for weight, _ in weighted):
            raise CancellingQuery
        return (total / length).astype(np.float32), numbers, warnings

    def _stored(
        self, parts: Sequence[ImagePart], generation: Generation
    ) -> tuple[list[tuple[float, NDArray[np.float32]]], set[int]]:
        weighted: list[tuple[float, NDArray[np.float32]]] = []
        numbers: set[int] = set()
        if not parts:
            return weighted, numbers
        with self._database.reading() as session:
            for part in parts:
                with _refusing(part):
                    number, vector = _stored_vector(session, part.image_id, generation)
                weighted.append((part.weight, vector))
                numbers.add(number)
        return weighted, numbers

    def _pixels(self, part: PicturePart, encoder: Encoder) -> NDArray[np.uint8]:
        with _refusing(part):
            return self._pictures.pixels(part.source, encoder)

    def _fingerprint(self, query: Query) -> str:
        """What makes two requests pages of one query."""
        seen = hashlib.sha256(repr(query.min_score).encode())
        if query.where is not None:
            compiled = query.where.compile(dialect=self._database.engine.dialect)
            asked = f"|{compiled}|{sorted(compiled.params.items())!r}"
            seen.update(asked.encode("utf-8", "surrogatepass"))
        for part in query.parts:
            seen.update(f"|{part.weight!r}|".encode())
            match part:
                case TextPart():
                    seen.update(part.text.encode("utf-8", "surrogatepass"))
                case ImagePart():
                    seen.update(part.image_id.encode("utf-8", "surrogatepass"))
                case PicturePart():
                    content = part.source
                    seen.update(content if isinstance(content, bytes) else content.read_bytes())
        return seen.hexdigest()[:16]

    def _allowed(self, where: Condition) -> NDArray[np.int64]:
        with self._database.reading() as session:
            return np.array(images.numbers(session, where), dtype=np.int64)

    def _page(
        self,
        query: Query,
        generation: Generation,
        vector: NDArray[np.float32],
        own_numbers: set[int],
        position: _Position | None,
    ) -> tuple[list[Hit], bool, float]:
        """The hits after `position`, whether they are the last, and seconds of vector search."""
        seen = position.seen if position else 0
        wanted = query.limit + 1
        at_least = k = seen + wanted + len(own_numbers) + SPARE
        allowed: NDArray[np.int64] | None = None
        search_seconds = 0.0
        while True:
            began = time.perf_counter()
            numbers, scores = _candidates(generation, vector, k, allowed)
            search_seconds += time.perf_counter() - began
            is_exhausted = len(numbers) < k
            kept = [
                (number, score)
                for number, score in zip(numbers.tolist(), scores.tolist(), strict=True)
                if number not in own_numbers
                and (position is None or score <= position.score)
                and (query.min_score is None or score >= query.min_score)
            ]
            with self._database.connected() as connection:
                rows = images.by_number(connection, [number for number, _ in kept], query.where)
            hits = sorted(
                (Hit(rows[number], score) for number, score in kept if number in rows),
                key=lambda hit: (-hit.score, hit.image.id),
            )
            if position is not None:
                after = (-position.score, position.image_id)
                hits = [hit for hit in hits if (-hit.score, hit.image.id) > after]
            # Beyond the last candidate may lie one of the same score and a smaller id, so a page
            # is sure only down to the scores that are clearly above it.
            sure = scores[-1] + 2 * SCORE_STEP if len(scores) and not is_exhausted else -np.inf
            is_below_minimum = query.min_score is not None and sure < query.min_score
            if is_exhausted or is_below_minimum or sum(hit.score > sure for hit in hits) >= wanted:
                return hits[: query.limit], len(hits) <= query.limit, search_seconds
            k = max(2 * k, int(SHARE_MARGIN * at_least * len(kept) / max(1, len(rows))))
            if query.where is not None and allowed is None and k > max(CHECKED, 4 * at_least):
                # The filter keeps few: all that it keeps are fewer to look at than the best of all.
                allowed = self._allowed(query.where)
                k = at_least


def _candidates(
    generation: Generation,
    vector: NDArray[np.float32],
    k: int,
    allowed: NDArray[np.int64] | None,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The k nearest with scores that depend on the two vectors alone, best first.

    FAISS sums in an order that depends on the slot, and a hit whose last digit moved between two
    pages would be shown twice or never.
    """
    found = generation.vectors.search(vector[None], k, allowed).numbers[0]
    numbers = found[found >= 0]
    vectors = generation.vectors.vectors(numbers).astype(np.float64)
    scores = np.round((vectors * vector.astype(np.float64)).sum(axis=1), SCORE_DIGITS)
    order = np.argsort(-scores, kind="stable")
    return numbers[order], scores[order]


def _stored_vector(
    session: Session, image_id: str, generation: Generation
) -> tuple[int, NDArray[np.float32]]:
    number = images.get(session, image_id).number
    vectors = embeddings.get_many(session, generation.version.id, [number])
    if number not in vectors:
        raise NotFound("embedding of the image", image_id)
    return number, vectors[number]


def _embedded_texts(parts: Sequence[TextPart], queue: EmbeddingQueue) -> list[EmbeddedText]:
    try:
        return queue.embed_texts([part.text for part in parts])
    except TextError:
        # One of them was refused, and only asking one by one tells which.
        for part in parts:
            with _refusing(part):
                queue.embed_text(part.text)
        raise


@contextmanager
def _refusing(part: Part) -> Iterator[None]:
    try:
        yield
    except (ImageError, TextError, NotFound) as error:
        raise PartRefused(part.pointer, error) from error


def _position(cursor: str | None, generation: Generation, fingerprint: str) -> _Position | None:
    if cursor is None:
        return None
    content: dict[str, Any] = cursors.unpack(
        cursor, {"v": str, "q": str, "s": float, "i": str, "c": int}
    )
    if content["v"] != generation.version.id:
        raise CursorError("another model version has become live since it was handed out")
    if content["q"] != fingerprint:
        raise CursorError("it belongs to another query")
    if not 0 < content["c"] < 2**31 or not -1.1 <= content["s"] <= 1.1:
        raise CursorError("it is not one of ours")
    return _Position(content["s"], content["i"], content["c"])


def _shortened(text: str) -> str:
    return f"“{text if len(text) <= 40 else text[:39] + '…'}”"
