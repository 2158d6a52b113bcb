"""The shared stand-in for a trained model: small, deterministic, and real in every other way."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model import EmptyText, Picture, TextEmbeddings, TextTooLong

COLOURS = {"red": 0, "green": 1, "blue": 2}


class ColourEncoder:
    """Embeds a picture by its mean colour and a text by the colours it names.

    The first three components are red, green and blue; a fourth is always there, so that nothing is
    of no length; the rest is a little noise from the input's digest, so that no two inputs tie.
    """

    name = "colour"
    architecture = "colour"
    dimension = 16
    image_size = 32
    context_length = 8
    logit_scale = 100.0
    logit_bias: float | None = None

    def __init__(self, checkpoint: Path, seed: int = 0) -> None:
        self.checkpoint = checkpoint
        self.fingerprint = hashlib.sha256(f"colour-{seed}".encode()).hexdigest()
        self._seed = seed
        self.batch_sizes: list[int] = []
        self.texts_embedded: list[str] = []

    def prepare(self, picture: Picture) -> NDArray[np.uint8]:
        """The picture in the size of the input."""
        return np.asarray(picture.rgb.resize((self.image_size, self.image_size)))

    def embed_pixels(self, pixels: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Unit rows, by mean colour."""
        self.batch_sizes.append(len(pixels))
        return np.stack(
            [self._vector(one.reshape(-1, 3).mean(axis=0) / 255, one.tobytes()) for one in pixels]
        )

    def embed_images(self, pictures: Sequence[Picture]) -> NDArray[np.float32]:
        """Unit rows, by mean colour."""
        return self.embed_pixels([self.prepare(picture) for picture in pictures])

    def embed_texts(self, texts: Sequence[str]) -> TextEmbeddings:
        """Unit rows, by the colours named."""
        for text in texts:
            if not text.strip():
                raise EmptyText
            if len(text) > 10_000:
                raise TextTooLong(len(text), 10_000)
        self.texts_embedded += texts
        vectors = []
        for text in texts:
            colour = np.zeros(3)
            for word in text.lower().split():
                if word in COLOURS:
                    colour[COLOURS[word]] = 1
            vectors.append(self._vector(colour, text.encode("utf-8", "surrogatepass")))
        return TextEmbeddings(np.stack(vectors), self.are_truncated(texts))

    def are_truncated(self, texts: Sequence[str]) -> tuple[bool, ...]:
        """Which texts have more words than are read."""
        return tuple(len(text.split()) > self.context_length for text in texts)

    def _vector(self, colour: NDArray[np.float64], content: bytes) -> NDArray[np.float32]:
        seed = int.from_bytes(hashlib.sha256(content).digest()[:4], "big") + self._seed
        noise = np.random.default_rng(seed).normal(scale=0.01, size=self.dimension - 4)
        vector = np.concatenate([colour, [0.1], noise])
        if self._seed:
            # Another model: the same meaning on other axes.
            vector = np.roll(vector, self._seed)
        return (vector / np.linalg.norm(vector)).astype(np.float32)


def colour_loader(folder: Path) -> Callable[[str], ColourEncoder]:
    """`load_encoder` of the fake: the source `colour` or `colour-N` names the N-th fake model."""

    def load(source: str) -> ColourEncoder:
        path = Path(source)
        if path.is_file():
            return ColourEncoder(path, int(path.read_text()))
        seed = int(source.partition("-")[2] or 0)
        path = folder / f"weights-{seed}.txt"
        path.write_text(str(seed))
        return ColourEncoder(path, seed)

    return load
