"""Embeddings of labels that were asked for before.

Shape letters: C labels, D embedding width.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from model.prompts import check_labels
from model.zero_shot import label_embeddings

# Forty megabytes of the widest embeddings there are, and ten times the labels of a large question.
REMEMBERED_LABELS = 10_000

_Key = tuple[str, tuple[str, ...], str]


class RememberedLabels:
    """Embeds each label once by each model and set of templates. Thread-safe.

    The labels that were not asked for longest are forgotten first.
    """

    def __init__(self, *, at_most: int = REMEMBERED_LABELS) -> None:
        self._at_most = at_most
        self._vectors: OrderedDict[_Key, NDArray[np.float32]] = OrderedDict()
        self._lock = threading.Lock()

    def embeddings(
        self,
        labels: Sequence[str],
        templates: Sequence[str],
        *,
        fingerprint: str,
        embed_texts: Callable[[list[str]], NDArray[np.float32]],
    ) -> NDArray[np.float32]:
        """(C, D) as `label_embeddings` gives it; `fingerprint` is that of the model's weights.

        `embed_texts` gets the prompts of those labels alone that are not remembered.

        Raises LabelError and what `embed_texts` raises.
        """
        check_labels(labels)
        keys: list[_Key] = [(fingerprint, tuple(templates), label.strip()) for label in labels]
        with self._lock:
            known = {key: self._vectors[key] for key in keys if key in self._vectors}
            for key in known:
                self._vectors.move_to_end(key)
        fresh = [key for key in keys if key not in known]
        if fresh:
            vectors = label_embeddings([label for _, _, label in fresh], embed_texts, templates)
            # Copies, since a row that is a view would keep all the others in memory.
            known |= {key: vector.copy() for key, vector in zip(fresh, vectors, strict=True)}
            with self._lock:
                # More fresh ones than there is room for must not push each other out in vain.
                for key in fresh[-self._at_most :]:
                    self._vectors[key] = known[key]
                while len(self._vectors) > self._at_most:
                    self._vectors.popitem(last=False)
        return np.stack([known[key] for key in keys])
