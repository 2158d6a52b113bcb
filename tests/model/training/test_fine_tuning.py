"""A whole fine-tune of the tiny model, on photos of plain colours."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from model.checkpoints import read_checkpoint
from model.encoder import load_encoder
from model.errors import NonFiniteLoss, TrainingError
from model.training.fine_tuning import LEAST_STEPS, MOST_STEPS, fine_tune, steps_of
from model.training.fine_tuning_settings import FineTuneProgress
from model.training.holding import HoldWeights
from model.training.pairs import CaptionedPhoto
from tests.model.training import tuning


class Killed(Exception):
    """The process is gone."""


def nothing(_progress: FineTuneProgress) -> None:
    """Hears and does nothing."""


def killed_at(step: int) -> object:
    """A listener that ends the run after this step of the heads."""

    def hear(progress: FineTuneProgress) -> None:
        if progress.stage == "heads" and progress.done == step:
            raise Killed

    return hear


def test_killed_run_ends_as_if_nothing_had_happened(tmp_path: Path) -> None:
    """Killed after step 37 of 100 and started again: the same weights, curves and choice."""
    whole = fine_tune(tuning.settings(tmp_path / "whole", steps=100), nothing)
    settings = tuning.settings(tmp_path / "killed", steps=100)
    with pytest.raises(Killed):
        fine_tune(settings, killed_at(37))  # type: ignore[arg-type]
    steps: list[int] = []
    resumed = fine_tune(
        settings, lambda heard: steps.append(heard.done) if heard.stage == "heads" else None
    )
    assert steps[0] == 21
    assert resumed.fingerprint == whole.fingerprint
    assert (resumed.share, resumed.steps) == (whole.share, whole.steps)
    first, second = (
        json.loads((run.report / "report.json").read_text())["curves"] for run in (whole, resumed)
    )
    assert second == first


def test_same_settings_give_the_same_weights_and_another_seed_others(tmp_path: Path) -> None:
    """Nothing random is left to chance."""
    runs = [
        fine_tune(tuning.settings(tmp_path / name, steps=40, seed=seed), nothing)
        for name, seed in (("first", 0), ("second", 0), ("third", 1))
    ]
    assert runs[0].fingerprint == runs[1].fingerprint != runs[2].fingerprint


def test_small_sets_get_a_least_number_of_steps() -> None:
    """A hundred and twenty pairs are not over after one step."""
    assert steps_of(120, 256) == LEAST_STEPS
    assert LEAST_STEPS < steps_of(3_000, 256) < MOST_STEPS
    assert steps_of(10_000_000, 256) == MOST_STEPS


def test_towers_learn_when_asked_and_the_held_out_photos_gain(tmp_path: Path) -> None:
    """What the random towers can't tell apart at first is told apart by towers that learn."""
    settings = tuning.settings(
        tmp_path,
        trained="all",
        steps=20,
        tower_steps=60,
        tower_rate=3e-3,
        learning_rate=3e-3,
        hold=HoldWeights(queries=0, mixed=0, ranking=0),
    )
    done = fine_tune(settings, nothing)
    assert done.before.measures is not None
    assert done.blends[-1].verdict.measures is not None
    assert done.blends[-1].verdict.measures.goal > done.before.measures.goal
    old = read_checkpoint(Path(settings.start))[0].tensors
    new = read_checkpoint(done.path)[0].tensors
    assert (new["image_tower.stem.conv.weight"] != old["image_tower.stem.conv.weight"]).any()
    assert new.keys() == old.keys()
    load_encoder(str(done.path)).embed_texts(["a red car"])


def test_heads_alone_leave_the_towers_as_they_were(tmp_path: Path) -> None:
    """The stored towers are the start's, bit for bit."""
    settings = tuning.settings(tmp_path, steps=20)
    done = fine_tune(settings, nothing)
    old = read_checkpoint(Path(settings.start))[0].tensors
    new = read_checkpoint(done.path)[0].tensors
    changed = {name for name in old if (old[name] != new[name]).any()}
    assert changed
    assert all(name.startswith(("image_proj", "text_proj", "logit_scale")) for name in changed)


def test_photo_that_cannot_be_read_is_left_out_and_named(tmp_path: Path) -> None:
    """One broken file of many costs that file alone."""
    broken, gone = tmp_path / "broken.png", tmp_path / "gone.png"
    broken.write_bytes(b"no picture")
    train = [
        *tuning.photos(tmp_path / "photos", 12),
        CaptionedPhoto(broken, ("a dog",)),
        CaptionedPhoto(gone, ("a dog",)),
    ]
    done = fine_tune(tuning.settings(tmp_path, steps=20, train=train), nothing)
    assert [one.path for one in done.unreadable] == [broken, gone]
    assert all(one.reason for one in done.unreadable)


def test_nothing_to_learn_is_said_before_anything_is_learnt(tmp_path: Path) -> None:
    """One photo, or one text for all of them, is an error that says so; nothing is written."""
    photos = tuning.photos(tmp_path / "photos", 12)
    with pytest.raises(TrainingError, match="Fewer than 2"):
        fine_tune(tuning.settings(tmp_path, train=photos[:1]), nothing)
    same = [CaptionedPhoto(photo.path, ("a thing of many words here",)) for photo in photos]
    with pytest.raises(TrainingError, match="one and the same text"):
        fine_tune(tuning.settings(tmp_path, train=same), nothing)
    assert not (tmp_path / "tuned.safetensors").exists()


def test_run_that_gets_out_of_hand_stops_and_keeps_its_last_state(tmp_path: Path) -> None:
    """At a rate without measure the loss ends as no number: an error, and no checkpoint of it."""
    settings = tuning.settings(tmp_path, steps=60, learning_rate=1e30)
    with pytest.raises(NonFiniteLoss):
        fine_tune(settings, nothing)
    assert not settings.out.exists()


def test_without_held_out_pairs_the_blend_goes_halfway(tmp_path: Path) -> None:
    """Nothing says how far to go, so the source's own advice is taken."""
    done = fine_tune(tuning.settings(tmp_path, steps=20, validation=()), nothing)
    assert done.share == 0.5
    assert done.before.measures is None
    assert not (done.report / "contact-sheet.png").exists()


def test_report_has_what_one_asks_afterwards(tmp_path: Path) -> None:
    """Settings, data, figures before and after, curves and queries, and two pictures."""
    done = fine_tune(tuning.settings(tmp_path, steps=40), nothing)
    report = json.loads((done.report / "report.json").read_text())
    assert "/" not in report["settings"]["start"], "strangers read it"
    assert report["pairs"] == {
        "train_images": 24,
        "train_texts": 4 * 6 - 4,
        "validation_images": 12,
        "validation_texts": 4,
    }
    assert report["data_sha256"] == done.data_sha256
    assert [point["step"] for point in report["curves"]] == list(range(1, 41))
    assert report["curves"][0]["exp(logit_scale)"] <= 100
    assert report["curves"][19].keys() >= {"recall_at_1", "zero_shot_top_1", "agreement"}
    assert {query["text"] for query in report["queries"]} == set(tuning.COLOURS)
    for name in ("curves.png", "contact-sheet.png"):
        assert (done.report / name).read_bytes().startswith(b"\x89PNG")


def test_general_pairs_are_held_and_measured(tmp_path: Path) -> None:
    """Half of them is learnt beside the rest, recall on the other half is in every verdict."""
    general = tuning.photos(tmp_path / "photos", 9, seed=2)
    done = fine_tune(tuning.settings(tmp_path, steps=20, general=general), nothing)
    assert done.before.general is not None
    assert done.after.general is not None
    report = json.loads((done.report / "report.json").read_text())
    assert "general_recall_at_10" in report["curves"][19]
    alone = fine_tune(tuning.settings(tmp_path / "alone", steps=20), nothing)
    assert alone.after.general is None
    assert alone.fingerprint != done.fingerprint


def test_small_matrices_beside_the_towers_end_up_in_them(tmp_path: Path) -> None:
    """LoRA changes linear layers of the towers, and the checkpoint has the start's names."""
    settings = tuning.settings(tmp_path, trained="lora", steps=20, tower_steps=20, lora_rate=1e-2)
    done = fine_tune(settings, nothing)
    old = read_checkpoint(Path(settings.start))[0].tensors
    new = read_checkpoint(done.path)[0].tensors
    assert new.keys() == old.keys()
    changed = {name for name in old if (old[name] != new[name]).any()}
    assert "text_tower.layers.0.attention.query.weight" in changed
    assert "text_tower.embeddings.words.weight" not in changed
    assert "image_tower.stem.conv.weight" not in changed
    load_encoder(str(done.path)).embed_texts(["a red car"])
