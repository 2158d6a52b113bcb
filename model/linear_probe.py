"""A linear probe: a classifier of named examples on an encoder's frozen embeddings.

Source: Radford et al., 2021, section 3.2 and appendix A.3 (logistic regression by L-BFGS with its
regularisation found on held-out images).

Shape letters: N pictures, C labels, D embedding width, Q calibration points.
"""

import json
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from model.classification import softmax
from model.errors import LabelError, ProbeDamaged
from model.prompts import check_labels

_FORMAT = "beholder-probe-1"
_SHAPES = {"weights": 2, "biases": 1, "centres": 2, "calibration": 1}


@dataclass(frozen=True, slots=True, eq=False)
class LinearProbe:
    """Weights (C, D) and biases (C,) that turn embeddings into the logits of `labels`.

    `fingerprint` is that of the model whose embeddings it was trained on: those of any other mean
    nothing to it. `centres` are the labels' mean examples, (C, D) unit rows. `calibration` (Q,) is
    how near held-out examples were to the nearest centre, ascending; it is empty when too few were
    held out. All arrays are float32.
    """

    labels: tuple[str, ...]
    fingerprint: str
    weights: NDArray[np.float32]
    biases: NDArray[np.float32]
    centres: NDArray[np.float32]
    calibration: NDArray[np.float32]

    usual_threshold = 0.05

    def scores(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, C) cosines of unit rows (N, D) and the labels' mean examples."""
        return images @ self.centres.T

    def probabilities(self, images: NDArray[np.float32]) -> NDArray[np.float64]:
        """(N, C): how likely each label is, each row summing to 1."""
        return softmax((images @ self.weights.T + self.biases).astype(np.float64))

    def fits(self, images: NDArray[np.float32]) -> NDArray[np.float64]:
        """(N,): the share of held-out examples that were no nearer to any label than the picture.

        A threshold of 0.05 on it turns away one in twenty pictures that do have a label.

        Raises LabelError when the probe was trained on too few images to tell.
        """
        if not len(self.calibration):
            raise LabelError(
                "The probe was trained on too few images to tell what is none of its labels."
            )
        nearness = self.scores(images).max(axis=1)
        places = np.searchsorted(self.calibration, nearness, side="right")
        shares: NDArray[np.float64] = (places + 1) / (len(self.calibration) + 1)
        return shares

    def to_bytes(self) -> bytes:
        """The probe as a safetensors file."""
        tensors = {name: np.ascontiguousarray(getattr(self, name)) for name in _SHAPES}
        metadata = {
            "format": _FORMAT,
            "labels": json.dumps(self.labels),
            "fingerprint": self.fingerprint,
        }
        return save_tensors(tensors, metadata)

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """What `to_bytes` wrote. Raises ProbeDamaged for anything else."""
        metadata = _metadata(content)
        try:
            tensors = load_tensors(content)
        except (SafetensorError, ValueError, KeyError) as error:
            raise ProbeDamaged("it is cut short or altered") from error
        if set(tensors) != set(_SHAPES):
            raise ProbeDamaged(f"it holds {', '.join(sorted(tensors)) or 'nothing'}")
        for name, dimensions in _SHAPES.items():
            tensor = tensors[name]
            if tensor.ndim != dimensions or tensor.dtype != np.float32:
                raise ProbeDamaged(f"its {name} are {tensor.dtype} of shape {tensor.shape}")
            if not np.isfinite(tensor).all():
                raise ProbeDamaged(f"its {name} are not finite")
        labels = metadata["labels"]
        shape = tensors["weights"].shape
        if len(labels) != shape[0] or tensors["biases"].shape != shape[:1]:
            raise ProbeDamaged(f"it has {len(labels)} labels and weights of shape {shape}")
        if tensors["centres"].shape != shape:
            raise ProbeDamaged(f"its centres are of shape {tensors['centres'].shape}, not {shape}")
        return cls(labels, metadata["fingerprint"], **tensors)


def _metadata(content: bytes) -> dict[str, Any]:
    """What the header says beside the tensors (the format's specification: 8 bytes, then JSON)."""
    length = int.from_bytes(content[:8], "little")
    try:
        given = json.loads(content[8 : 8 + length])["__metadata__"]
        labels = json.loads(given["labels"])
        fingerprint, described = given["fingerprint"], given["format"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ProbeDamaged("it has no header of ours") from error
    if described != _FORMAT:
        raise ProbeDamaged(f"its format is {described!r}, not {_FORMAT!r}")
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise ProbeDamaged("its labels are no texts")
    try:
        check_labels(labels)
    except LabelError as error:
        raise ProbeDamaged(f"its labels make no sense: {error.reason}") from error
    return {"labels": tuple(labels), "fingerprint": fingerprint}
