"""Features of photos, kept in parts."""

from __future__ import annotations

from pathlib import Path

import torch

from model.checkpoints import build_model
from model.encoder import load_encoder
from model.images import ImageLimits, decode
from model.serving import serving_copy
from model.training.features import PhotoFeatures, PhotoReader, read_photo_features
from tests.model import tiny
from tests.model.training import tuning


def read(
    folder: Path, paths: list[Path], told: list[tuple[int, int]] | None = None
) -> PhotoFeatures:
    """The features by the tiny tower."""
    tower = serving_copy(build_model(tiny.checkpoint()), torch.float32).image_tower
    reader = PhotoReader(tiny.PREPROCESSING, ImageLimits())
    return read_photo_features(
        paths,
        tower,
        reader,
        identity="tiny",
        folder=folder / "features",
        progress=lambda done, total: told.append((done, total)) if told is not None else None,
    )


def test_features_lead_to_the_encoders_embeddings(tmp_path: Path) -> None:
    """What is cached is what serving computes, over more photos than a part or a batch has."""
    paths = [photo.path for photo in tuning.photos(tmp_path / "photos", 131)]
    found = read(tmp_path, paths)
    tiny.write(tmp_path / "tiny.safetensors")
    encoder = load_encoder(str(tmp_path / "tiny.safetensors"))
    model = build_model(tiny.checkpoint())
    with torch.no_grad():
        projected = torch.nn.functional.normalize(model.image_projection(found.features), dim=-1)
    expected = torch.from_numpy(encoder.embed_images([decode(path) for path in paths[:5]]))
    # The file of the encoder is in half precision.
    torch.testing.assert_close(projected[:5], expected, rtol=0, atol=2e-2)
    assert len(found.features) == len(found.digests) == 131


def test_finished_parts_are_not_computed_again_unless_damaged(tmp_path: Path) -> None:
    """A second run reads them; one that was damaged meanwhile is made anew."""
    paths = [photo.path for photo in tuning.photos(tmp_path / "photos", 40)]
    first = read(tmp_path, paths)
    (part,) = (tmp_path / "features").iterdir()
    told: list[tuple[int, int]] = []
    assert torch.equal(read(tmp_path, paths, told).features, first.features)
    assert told == [(40, 40)]
    part.write_bytes(part.read_bytes()[:-9])
    assert torch.equal(read(tmp_path, paths, told).features, first.features)
    assert told[1:] == [(32, 40), (40, 40), (40, 40)]


def test_nothing_readable_gives_no_features(tmp_path: Path) -> None:
    """Every photo is named with its reason."""
    empty = tmp_path / "empty.png"
    empty.write_bytes(b"")
    found = read(tmp_path, [empty, tmp_path / "gone.png"])
    assert len(found.features) == 0
    assert [one.path.name for one in found.unreadable] == ["empty.png", "gone.png"]
