"""A whole fine-tune of models of other families than the compact one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from model.byte_pairs import clip_tokenizer
from model.checkpoints import Checkpoint, convert_checkpoint, read_checkpoint, write_checkpoint
from model.encoder import load_encoder
from model.preprocessing import CLIP_DEVIATION, CLIP_MEAN, Preprocessing
from model.training.fine_tuning import fine_tune
from model.training.fine_tuning_settings import FineTuneProgress, FineTuneSettings, TrainedParts
from tests.model import clip_files, dual_encoders
from tests.model.training import tuning

STEPS = 6


class Killed(Exception):
    """The process is gone."""


def nothing(_progress: FineTuneProgress) -> None:
    """Hears and does nothing."""


def killed_in_towers(progress: FineTuneProgress) -> None:
    """Ends the run when the towers have learnt for some steps."""
    if progress.stage == "towers" and progress.done == STEPS - 2:
        raise Killed


def settings(folder: Path, kind: str, trained: TrainedParts) -> FineTuneSettings:
    """A short run from a random model of half precision, as most are released."""
    folder.mkdir(exist_ok=True)
    start = folder / "start.safetensors"
    if kind == "siglip":
        dual_encoders.write(folder / "siglip")
        convert_checkpoint(folder / "siglip", start)
    else:
        architecture = {"vit": clip_files.VIT, "resnet": clip_files.RESNET}[kind]
        state = clip_files.model(architecture).state_dict()
        checkpoint = Checkpoint(
            kind,
            architecture,
            Preprocessing(architecture.image.image_size, "shortest", CLIP_MEAN, CLIP_DEVIATION),
            clip_tokenizer(),
            clip_files.halved(state),
        )
        write_checkpoint(checkpoint, start)
    return tuning.settings(
        folder,
        trained=trained,
        steps=STEPS,
        tower_steps=STEPS,
        learning_rate=1e-2,
        tower_rate=1e-3,
        lora_rate=1e-2,
    )


@pytest.mark.parametrize("kind", ["vit", "siglip"])
@pytest.mark.parametrize(
    ("trained", "learnt", "left"),
    [
        ("heads", (), ("image_tower.", "text_tower.")),
        ("last_blocks", ("{blocks}.1.",), ("{blocks}.0.",)),
        ("all", ("{blocks}.0.", "{blocks}.1."), ()),
        ("lora", ("{blocks}.0.", "{blocks}.1."), ("{embedding}",)),
    ],
)
def test_tuned_model_is_of_the_starts_kind_and_serves(
    kind: str, trained: TrainedParts, learnt: tuple[str, ...], left: tuple[str, ...], tmp_path: Path
) -> None:
    """Names, shapes and precision stay; what was to learn has changed, and nothing else has."""
    run = settings(tmp_path, kind, trained)
    done = fine_tune(run, nothing)
    old, new = (read_checkpoint(path)[0] for path in (Path(run.start), done.path))
    assert new.architecture == old.architecture
    assert {name: (one.shape, one.dtype) for name, one in new.tensors.items()} == {
        name: (one.shape, one.dtype) for name, one in old.tensors.items()
    }
    assert all(tensor.isfinite().all() for tensor in new.tensors.values())
    changed = {name for name in old.tensors if (old.tensors[name] != new.tensors[name]).any()}
    assert changed
    words = {
        "vit": {
            "blocks": "image_tower.transformer.resblocks",
            "embedding": "text_tower.token_embedding",
        },
        "siglip": {
            "blocks": "image_tower.model.vision_model.encoder.layers",
            "embedding": "text_tower.model.text_model.embeddings.token_embedding",
        },
    }[kind]
    for prefix in learnt:
        assert any(name.startswith(prefix.format(**words)) for name in changed), prefix
    # CLIP's heads are multiplied into the last matrix of each tower.
    folded = {"image_tower.proj", "text_tower.text_projection"}
    for prefix in left:
        assert not any(name.startswith(prefix.format(**words)) for name in changed - folded), prefix
    encoder = load_encoder(str(done.path))
    assert encoder.embed_texts(["a red car"]).vectors.shape == (1, encoder.dimension)


def test_modified_resnet_learns_too(tmp_path: Path) -> None:
    """Its statistics stay, its filters change."""
    run = settings(tmp_path, "resnet", "all")
    done = fine_tune(run, nothing)
    old, new = (read_checkpoint(path)[0].tensors for path in (Path(run.start), done.path))
    assert (old["image_tower.conv1.weight"] != new["image_tower.conv1.weight"]).any()
    for name in old:
        if "running" in name:
            assert torch.equal(old[name], new[name]), name


def test_towers_that_were_killed_end_as_if_nothing_had_happened(tmp_path: Path) -> None:
    """Killed in the second stage and started again: the same weights."""
    whole = fine_tune(settings(tmp_path / "whole", "vit", "all"), nothing)
    run = settings(tmp_path / "killed", "vit", "all")
    with pytest.raises(Killed):
        fine_tune(run, killed_in_towers)
    assert fine_tune(run, nothing).fingerprint == whole.fingerprint


def test_half_precision_weights_learn_in_float32(tmp_path: Path) -> None:
    """The weights that steps are added to are float32, and finite, whatever the start's file has.

    In half precision most steps would be lost to rounding.
    """
    run = settings(tmp_path, "vit", "all")
    fine_tune(run, nothing)
    state = load_file(run.run_folder / "towers.safetensors")
    start = read_checkpoint(Path(run.start))[0].tensors["image_tower.conv1.weight"]
    learnt = state["weight/image_tower.conv1.weight"]
    assert start.dtype == torch.float16
    assert {tensor.dtype for name, tensor in state.items() if "weight/" in name} == {torch.float32}
    assert all(tensor.isfinite().all() for tensor in state.values())
    assert (learnt != learnt.half().float()).any()
