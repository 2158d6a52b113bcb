"""The encoder: what the rest of the system sees of a model.

Shape letters: N pictures or texts, S side of the square input, D embedding width.
"""

import contextlib
import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import structlog
import torch
from numpy.typing import NDArray

from model.checkpoints import Checkpoint, build_model, build_tokenizer, read_checkpoint
from model.dual_encoder import DualEncoder
from model.images import Picture
from model.preprocessing import Preprocessing, to_square
from model.serving import serving_copy, serving_precision
from model.tokenizers import Tokenizer, Tokens, pad

# What a few pictures become on their way stays in the processor's caches, and below the size from
# which each tensor is memory fresh from the system: of 16, the compact model's take twice as long.
_IMAGES_AT_ONCE = 8
_TEXTS_AT_ONCE = 32

# Names that `load_encoder` takes beside paths.
SHIPPED_MODELS = ("compact",)

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, eq=False)
class TextEmbeddings:
    """`vectors` is (N, D) float32 with unit rows; `truncated` says which texts were cut."""

    vectors: NDArray[np.float32]
    truncated: tuple[bool, ...]


class Encoder:
    """Pictures and texts to unit vectors in one space, in evaluation mode, without gradients.

    Every method may be called from several threads at once. A vector does not depend on what else
    is in the call beyond rounding: the cosine to the vector of the same input alone is at least
    0.9999 in float32 and 0.999 in bfloat16.
    """

    def __init__(
        self,
        model: DualEncoder,
        tokenizer: Tokenizer,
        preprocessing: Preprocessing,
        *,
        name: str,
        fingerprint: str,
        checkpoint: Path,
        precision: torch.dtype | None = None,
        texts_only: bool = False,
    ) -> None:
        """`precision` is that of the towers; by default the one that `set_precision` chose.

        With `texts_only` the image tower takes no memory, and pictures can't be embedded.
        """
        self.name = name
        self.architecture = name
        self.fingerprint = fingerprint
        self.checkpoint = checkpoint
        self.image_size = preprocessing.image_size
        self.context_length = tokenizer.context_length
        self.logit_scale = math.exp(model.logit_scale.item())
        bias = model.logit_bias
        self.logit_bias: float | None = None if bias is None else bias.item()
        self.precision = precision or serving_precision()
        self._preprocessing = preprocessing
        self._tokenizer = tokenizer
        self.texts_only = texts_only
        self._model = serving_copy(model, self.precision, preprocessing, texts_only=texts_only)
        with torch.inference_mode():
            self.dimension = int(self._embed_tokens(tokenizer(["a"])).shape[1])

    def prepare(self, picture: Picture) -> NDArray[np.uint8]:
        """The model's (S, S, 3) input; pure, so that decoding threads can call it."""
        return to_square(picture.rgb, self._preprocessing)

    def embed_pixels(self, pixels: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """N prepared pictures to (N, D) unit rows, a bounded number of them at once.

        Raises RuntimeError when only the text tower was loaded.
        """
        if self.texts_only:
            raise RuntimeError(f"only the text tower of {self.name} was loaded")
        rows = np.empty((len(pixels), self.dimension), dtype=np.float32)
        with torch.inference_mode():
            for start in range(0, len(pixels), _IMAGES_AT_ONCE):
                batch = torch.from_numpy(np.stack(pixels[start : start + _IMAGES_AT_ONCE]))
                vectors = self._model.encode_images(batch)
                rows[start : start + _IMAGES_AT_ONCE] = vectors.numpy()
        return rows

    def embed_images(self, pictures: Sequence[Picture]) -> NDArray[np.float32]:
        """N pictures to (N, D) unit rows."""
        return self.embed_pixels([self.prepare(picture) for picture in pictures])

    def embed_texts(self, texts: Sequence[str]) -> TextEmbeddings:
        """N texts to unit rows; a text over `context_length` tokens is cut and reported.

        Raises EmptyText for a text without a visible character and TextTooLong over 10,000
        characters; then nothing is embedded.
        """
        tokens = self._tokenizer(texts)
        rows = np.empty((len(texts), self.dimension), dtype=np.float32)
        # Texts of like length share a batch, so that little padding is computed.
        order = sorted(range(len(tokens)), key=lambda index: len(tokens[index].ids))
        with torch.inference_mode():
            for start in range(0, len(order), _TEXTS_AT_ONCE):
                batch = order[start : start + _TEXTS_AT_ONCE]
                rows[batch] = self._embed_tokens([tokens[index] for index in batch])
        return TextEmbeddings(rows, tuple(one.was_truncated for one in tokens))

    def are_truncated(self, texts: Sequence[str]) -> tuple[bool, ...]:
        """Which texts `embed_texts` would cut, without embedding them; raises what it raises."""
        return tuple(one.was_truncated for one in self._tokenizer(texts))

    def _embed_tokens(self, tokens: Sequence[Tokens]) -> NDArray[np.float32]:
        vectors: NDArray[np.float32] = self._model.encode_texts(*pad(tokens)).numpy()
        return vectors


def load_encoder(name_or_path: str = "compact", *, texts_only: bool = False) -> Encoder:
    """The encoder of that name among the models shipped with the program, or of that file.

    With `texts_only` nothing of the image tower is read into memory.

    Raises CheckpointNotFound, CheckpointDamaged or CheckpointMismatch.
    """
    with checkpoint_path(name_or_path) as path:
        checkpoint, fingerprint = read_checkpoint(path)
        if texts_only:
            checkpoint = _without_images(checkpoint)
        model = build_model(checkpoint)
        encoder = Encoder(
            model,
            build_tokenizer(checkpoint),
            checkpoint.preprocessing,
            name=checkpoint.name,
            fingerprint=fingerprint,
            checkpoint=path.absolute(),
            texts_only=texts_only,
        )
    _log.info(
        "encoder_loaded",
        name=encoder.name,
        fingerprint=fingerprint,
        precision=str(encoder.precision).removeprefix("torch."),
    )
    return encoder


def _without_images(checkpoint: Checkpoint) -> Checkpoint:
    """The same with tensors of the image tower that have a shape and no content."""
    tensors = {
        name: tensor.to("meta") if name.startswith("image_tower.") else tensor
        for name, tensor in checkpoint.tensors.items()
    }
    return dataclasses.replace(checkpoint, tensors=tensors)


def set_threads(count: int) -> None:
    """How many threads share one forward pass, for the whole process."""
    torch.set_num_threads(count)


@contextlib.contextmanager
def checkpoint_path(name_or_path: str) -> Iterator[Path]:
    """The file of a shipped model or at a path, there while the block lasts."""
    if name_or_path not in SHIPPED_MODELS:
        yield Path(name_or_path)
        return
    with as_file(files("model") / "weights" / f"{name_or_path}.safetensors") as path:
        yield path
