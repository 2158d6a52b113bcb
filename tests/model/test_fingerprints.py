"""Fingerprints: copies differ in few bits, other pictures in many, plain ones have none."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from model import Picture, as_words, decode, differing_bits, is_plain, perceptual_hash
from tests.pictures import copies, encoded, scene


def picture(image: Image.Image) -> Picture:
    """The picture of an image."""
    return decode(encoded(image))


def distance(one: bytes, other: bytes) -> int:
    """How many bits differ."""
    words = as_words([one, other])
    return int(differing_bits(words[0], words[1:])[0])


@pytest.mark.parametrize("seed", range(5))
def test_copies_in_sizes_and_formats_differ_in_few_bits(seed: int) -> None:
    """And in many from another picture."""
    whole, *others = (perceptual_hash(decode(content)) for content in copies(scene(seed)))
    assert len(whole) == 32
    assert max(distance(whole, other) for other in others) <= 30
    assert distance(whole, perceptual_hash(picture(scene(seed + 100)))) > 80


def test_brightness_is_not_looked_at() -> None:
    """A darker copy is a copy."""
    dark, light = (
        perceptual_hash(picture(scene(1).point(lambda value, s=share: int(value * s))))
        for share in (0.6, 0.9)
    )
    assert distance(dark, light) <= 30


@pytest.mark.parametrize("size", [(1, 1), (1, 5_000), (5_000, 1), (64, 64)])
@pytest.mark.parametrize("colour", ["black", "white", "red"])
def test_a_plain_picture_has_no_fingerprint(size: tuple[int, int], colour: str) -> None:
    """Of any size and colour; noise of one step of brightness does not make one."""
    plain = Image.new("RGB", size, colour)
    assert is_plain(perceptual_hash(picture(plain)))
    pixels = np.asarray(plain).astype(np.int16)
    noise = np.random.default_rng(0).integers(0, 2, size=pixels.shape)
    noisy = Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8))
    if max(size) > 1:
        assert is_plain(perceptual_hash(picture(noisy)))


def test_distances_are_counted_row_by_row() -> None:
    """By hand: one bit, eight bits, none."""
    zero = bytes(32)
    one, eight = b"\x01" + bytes(31), bytes(31) + b"\xff"
    words = as_words([zero, one, eight])
    assert differing_bits(words[0], words).tolist() == [0, 1, 8]
    assert as_words([]).shape == (0, 4)
