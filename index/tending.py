"""Keeping the index fit for its size: tuned in the background, again when the images have moved."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import structlog
from numpy.typing import NDArray

from index.errors import RetrievalError
from index.live_index import Generation, LiveIndex
from index.vectors.base import Description
from index.vectors.faiss_index import FaissIndex
from index.vectors.tuning import IndexGoals, TuningStopped, recall_now, tune
from model import ModelError

log = structlog.get_logger()

CHECK_SECONDS = 30
# Sizes between which what was measured is taken to hold.
GROWN, SHRUNK = 2.0, 0.5
# The share of rows that may belong to removed images.
REMOVED = 0.25
# After the size has moved by this share, a small sample tells whether the recall still holds.
LOOKED_AT_AFTER = 0.2
# What a small sample's recall may lie below the goal by chance.
SLACK = 0.01
# With fewer queries remembered than this, general sentences are asked too.
FEWEST_TEXTS = 100

SUBJECTS = (
    *("a dog", "two children", "a red car", "an old woman", "a man in a suit", "a bowl of fruit"),
    *("a sailing boat", "a black cat", "a crowd of people", "a yellow flower", "a wooden house"),
    *("a cup of coffee", "a mountain", "a pair of shoes", "a birthday cake", "a train"),
)
SCENES = (
    *("on a beach", "in the snow", "at night", "in a kitchen", "on a busy street", "in a forest"),
    *("seen from above", "in black and white", "next to a river", "at a wedding", "in the rain"),
    *("on a table", "in front of a window", "under a blue sky", "at a market", "close up"),
)


@dataclass(frozen=True, slots=True)
class IndexState:
    """What the index of this process is, what it is tuned for, and whether that is under way."""

    model_version: str
    description: Description
    goals: IndexGoals
    is_tuning: bool
    problem: str | None


class IndexTender:
    """One thread that builds and tunes the index anew when its size or its recall has moved.

    The index that answers goes on answering until the new one takes its place.
    """

    def __init__(self, live: LiveIndex, goals: IndexGoals) -> None:
        self._live = live
        self._goals = goals
        self._wake = threading.Event()
        self._is_closed = False
        self._is_asked = False
        self._is_tuning = False
        self._problem: str | None = None
        self._size_looked_at = 0
        self._thread = threading.Thread(target=self._run, name="tend-index", daemon=True)
        self._thread.start()

    def state(self) -> IndexState:
        """How things stand in this process."""
        generation = self._live.generation
        return IndexState(
            model_version=generation.version.id,
            description=generation.vectors.describe(),
            goals=self._goals,
            is_tuning=self._is_tuning or self._is_asked,
            problem=self._problem,
        )

    def request(self) -> None:
        """Build and tune anew soon, whether or not anything has moved."""
        self._is_asked = True
        self._wake.set()

    def close(self) -> None:
        """End the thread."""
        self._is_closed = True
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            self._wake.wait(CHECK_SECONDS)
            self._wake.clear()
            if self._is_closed:
                return
            self._problem = _problem_of(self._tend)

    def _tend(self) -> None:
        is_asked, self._is_asked = self._is_asked, False
        vectors = self._live.generation.vectors
        if not isinstance(vectors, FaissIndex):
            # Milvus tends its own.
            return
        if not is_asked and not self._is_due(vectors):
            return
        self._is_tuning = True
        try:
            self._live.renew(self._improve)
        except TuningStopped:
            return
        finally:
            self._is_tuning = False

    def _is_due(self, vectors: FaissIndex) -> bool:
        now = vectors.describe()
        if now.measured is None:
            return now.size >= self._goals.fewest_vectors
        if now.size < self._goals.fewest_vectors and now.kind == "exact":
            return False
        if now.removed > REMOVED * (now.size + now.removed):
            return True
        if not SHRUNK * now.measured.size < now.size < GROWN * now.measured.size:
            return True
        looked_at = self._size_looked_at or now.measured.size
        if now.kind == "exact" or abs(now.size - looked_at) < LOOKED_AT_AFTER * looked_at:
            return False
        self._size_looked_at = now.size
        recall = recall_now(vectors, _texts(self._live.generation))
        log.info("index_recall", recall=recall, size=now.size)
        return recall < self._goals.recall - SLACK

    def _improve(self, generation: Generation) -> None:
        vectors = generation.vectors
        assert isinstance(vectors, FaissIndex), "only an index of ours is tuned"
        # Half of the processor stays for those who search meanwhile.
        threads = max(1, (os.cpu_count() or 1) // 2)
        tune(
            vectors,
            self._goals,
            _texts(generation),
            threads=threads,
            is_stopped=lambda: self._is_closed,
        )
        self._size_looked_at = len(vectors)


def _texts(generation: Generation) -> NDArray[np.float32]:
    """Vectors (N, D) of what was asked last, and of general sentences while that is little."""
    asked = generation.asked.all()
    if len(asked) >= FEWEST_TEXTS:
        return asked
    sentences = [f"{subject} {scene}" for subject in SUBJECTS for scene in SCENES]
    general = [text.vector for text in generation.queue.embed_texts(sentences)]
    return np.concatenate([asked, np.stack(general)])


def _problem_of(action: Callable[[], None]) -> str | None:
    try:
        action()
    except (RetrievalError, ModelError) as error:
        log.warning("index_not_tuned", reason=str(error))
        return f"The index could not be tuned: {error}"
    return None
