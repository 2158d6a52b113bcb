"""Embeddings of picture files that are not stored, a few at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.services import Services
from index import Refusal, StorageError
from model import EmbeddingQueue, ImageError

# Decoding releases the GIL, and each of these waits for the model most of the time.
THREADS = 16
FILES_AT_ONCE = 4 * THREADS
# For the model: nobody else waits for this process.
PATIENCE_SECONDS = 600


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddedFiles:
    """Unit rows (N, D), whose places among the files are in `places`; the others were refused."""

    vectors: NDArray[np.float32]
    places: list[int]
    refused: list[Refusal]


def embed_files(
    services: Services,
    queue: EmbeddingQueue,
    paths: Sequence[Path],
    advance: Callable[[int], object] = lambda _count: None,
) -> EmbeddedFiles:
    """The files' embeddings, in their order; `advance` gets how many files were done since.

    Raises QueueFull when the model does not get to them for minutes.
    """

    def vector(path: Path) -> NDArray[np.float32] | str:
        if not path.is_file():
            # Opening a named pipe would wait for its writer for ever.
            return "it is no regular file, or a link to nowhere"
        try:
            pixels = services.pictures.pixels(path, queue.encoder)
        except ImageError as error:
            return str(error)
        except StorageError as error:
            return error.reason
        return queue.submit_pixels(pixels, wait_seconds=PATIENCE_SECONDS).result()

    vectors = np.empty((len(paths), queue.encoder.dimension), dtype=np.float32)
    places: list[int] = []
    refused: list[Refusal] = []
    with ThreadPoolExecutor(THREADS, thread_name_prefix="embed-files") as pool:
        for start in range(0, len(paths), FILES_AT_ONCE):
            batch = paths[start : start + FILES_AT_ONCE]
            for place, found in enumerate(pool.map(vector, batch), start=start):
                if isinstance(found, str):
                    refused.append(Refusal(shown_path(paths[place]), found))
                else:
                    vectors[len(places)] = found
                    places.append(place)
            advance(len(batch))
    return EmbeddedFiles(vectors[: len(places)], places, refused)


def shown_path(path: Path) -> str:
    """The path as text, with "�" for bytes that are none."""
    return os.fsencode(path).decode(errors="replace")
