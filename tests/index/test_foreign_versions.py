"""Versions of other people's weights: converted once, and the service goes on without the file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from app.services import Services, open_services
from app.settings import Settings
from index.blobs import digest
from model import CheckpointDamaged, CheckpointMismatch, CheckpointUnsupported, load_encoder
from tests.index.uploading import GREEN, RED, add
from tests.model import clip_files, tiny

SIZES = "ViT-128-8-32"


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    """Every service, with the tiny compact model live."""
    tiny.write(tmp_path / "tiny.safetensors")
    settings = Settings(
        data_dir=tmp_path / "data", model=str(tmp_path / "tiny.safetensors"), threads=1
    )
    with open_services(settings, load=load_encoder) as opened:
        yield opened


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A state dict with OpenCLIP's names."""
    path = tmp_path / "vit.pt"
    tensors = clip_files.openai_names(clip_files.model(clip_files.VIT).state_dict())
    torch.save(tensors, path)
    return path


def test_a_foreign_file_becomes_a_version_that_goes_live(services: Services, weights: Path) -> None:
    """What is kept is an own file, named by its digest; the file that was brought may go."""
    add(services, RED)
    version = services.versions.register(str(weights), origin="registered")
    weights.unlink()
    kept = services.settings.models_dir / version.weights
    assert kept.stem == version.fingerprint == digest(kept)
    assert (version.architecture, version.dimension) == (SIZES, 32)
    services.versions.to_build(version.id, "")
    services.reindexer.run(version.id, lambda *_: False)
    add(services, GREEN)
    services.live.catch_up()
    assert services.live.generation.version.id == version.id
    assert not list(services.settings.models_dir.glob("*.writing"))


def test_the_same_file_twice_is_stored_once(services: Services, weights: Path) -> None:
    """Conversion gives the same bytes again, so that both versions share them."""
    one, two = (services.versions.register(str(weights), origin="registered") for _ in range(2))
    assert one.id != two.id
    assert one.weights == two.weights


def test_what_weights_do_not_tell_can_be_told(services: Services, weights: Path) -> None:
    """The activation and another resolution are part of the version."""
    version = services.versions.register(
        str(weights), origin="registered", architecture="ViT-128-8-48-quickgelu", image_size=48
    )
    assert version.architecture == "ViT-128-8-48-quickgelu"


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-1_000_000]), CheckpointDamaged),
        (lambda path: path.write_text("no weights"), CheckpointDamaged),
        (lambda path: torch.save({"a.b": torch.zeros(2)}, path), CheckpointMismatch),
        (
            lambda path: torch.save({"visual.conv1.weight": torch.zeros(2)}, path),
            CheckpointMismatch,
        ),
    ],
)
def test_a_file_that_is_no_model_makes_no_version(
    services: Services, weights: Path, damage: Callable[[Path], object], error: type[Exception]
) -> None:
    """The error tells why; no version is registered and nothing is left in the data folder."""
    damage(weights)
    before = sorted(services.settings.models_dir.iterdir())
    with pytest.raises(error, match=str(weights)):
        services.versions.register(str(weights), origin="registered")
    assert len(services.versions.all()) == 1
    assert sorted(services.settings.models_dir.iterdir()) == before


def test_an_architecture_that_the_weights_are_not_of_is_refused(
    services: Services, weights: Path
) -> None:
    """Both names are told."""
    with pytest.raises(CheckpointUnsupported, match=f"a ViT-B-32, found a {SIZES}"):
        services.versions.register(str(weights), origin="registered", architecture="ViT-B-32")
