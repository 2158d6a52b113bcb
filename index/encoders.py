"""The loaded encoders by model version; versions with the same weights share one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from index.blobs import digest
from index.errors import Conflict
from index.store.model_versions import ModelVersion
from model import EmbeddingQueue, Encoder, checkpoint_path, load_encoder


class Encoders:
    """Loads each encoder once, keeps it behind its queue, and closes them all. Thread-safe.

    `directory` holds the weights of the versions.
    """

    def __init__(
        self,
        directory: Path,
        load: Callable[[str], Encoder] = load_encoder,
        *,
        max_waiting: int = 512,
        refuses_long_texts: bool = False,
    ) -> None:
        self.directory = directory
        self._load = load
        self._max_waiting = max_waiting
        self._refuses_long_texts = refuses_long_texts
        self._queues: dict[str, EmbeddingQueue] = {}
        # Held while loading: twenty first requests load the weights once and wait for them.
        self._lock = threading.Lock()

    def load(self, source: str) -> EmbeddingQueue:
        """The queue of the encoder that `source` names, read afresh unless it is loaded already.

        Raises CheckpointError.
        """
        with self._lock:
            if known := self._loaded(source):
                return known
            encoder = self._load(source)
            if encoder.fingerprint not in self._queues:
                self._queues[encoder.fingerprint] = EmbeddingQueue(
                    encoder,
                    max_waiting=self._max_waiting,
                    refuses_long_texts=self._refuses_long_texts,
                )
            return self._queues[encoder.fingerprint]

    def of(self, version: ModelVersion) -> EmbeddingQueue:
        """The queue of a version's encoder, loaded on first use.

        Raises CheckpointError, Conflict when the weights there are no longer that version's.
        """
        path = self.directory / version.weights
        known = self._queues.get(version.fingerprint) or self.load(str(path))
        if known.encoder.fingerprint != version.fingerprint:
            raise Conflict(
                f"The weights at {path} are not those of the model version {version.id}."
            )
        return known

    def _loaded(self, source: str) -> EmbeddingQueue | None:
        # A fingerprint is the file's digest: to take it costs less than to build the encoder.
        with checkpoint_path(source) as path:
            return self._queues.get(digest(path)) if self._queues and path.is_file() else None

    @property
    def waiting(self) -> int:
        """How many texts and pictures wait for an encoder."""
        return sum(queue.waiting for queue in list(self._queues.values()))

    def close(self) -> None:
        """End every queue."""
        for queue in self._queues.values():
            queue.close()
