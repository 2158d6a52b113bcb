"""Folders of models as transformers and OpenCLIP write them, settings and all."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from transformers import CLIPConfig, CLIPModel

from model.byte_pairs import clip_tokenizer
from model.checkpoints import build_model, convert_checkpoint, read_checkpoint, read_foreign
from model.errors import (
    CheckpointDamaged,
    CheckpointError,
    CheckpointMismatch,
    CheckpointUnsupported,
)
from model.preprocessing import CLIP_DEVIATION, CLIP_MEAN, Preprocessing
from model.zoo import ClipArchitecture
from tests.model import clip_files

HALVES = (0.5, 0.5, 0.5)


def processor(**changes: Any) -> dict[str, Any]:
    """The settings that transformers keeps of CLIP's preprocessing."""
    values = {
        "do_center_crop": True,
        "crop_size": {"height": 32, "width": 32},
        "size": {"shortest_edge": 32},
        "image_mean": list(HALVES),
        "image_std": list(HALVES),
        "resample": 3,
    }
    return values | changes


def write_json(path: Path, values: object) -> None:
    """The values as JSON text."""
    path.write_text(json.dumps(values))


def reference(activation: str = "quick_gelu", **text: Any) -> CLIPModel:
    """A small model of transformers' own, in which every tensor counts."""
    torch.manual_seed(3)
    sizes = {"num_hidden_layers": 2, "intermediate_size": 96, "hidden_act": activation}
    config = CLIPConfig(
        projection_dim=32,
        text_config=sizes
        | {"hidden_size": 64, "num_attention_heads": 4, "max_position_embeddings": 16}
        | text,
        vision_config=sizes
        | {"hidden_size": 48, "num_attention_heads": 3, "image_size": 32, "patch_size": 8},
    )
    model = CLIPModel(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.copy_(0.5 + torch.rand_like(parameter))
    return model


def write_transformers(model: CLIPModel, folder: Path, *, shard_size: str = "1GB") -> None:
    """The model's folder, with its preprocessing."""
    model.save_pretrained(folder, max_shard_size=shard_size)
    write_json(folder / "preprocessor_config.json", processor())


def change_json(path: Path, *keys: str, value: object) -> None:
    """Put a value at a place in a file of JSON."""
    values = json.loads(path.read_text())
    at = values
    for key in keys[:-1]:
        at = at[key]
    at[keys[-1]] = value
    write_json(path, values)


@torch.inference_mode()
def assert_same(ours: Path, theirs: CLIPModel) -> None:
    """Embeddings of pictures and texts of several lengths equal those of transformers."""
    model = build_model(read_checkpoint(ours)[0])
    generator = torch.Generator().manual_seed(6)
    pixels = torch.randn(3, 3, 32, 32, generator=generator)
    ids = torch.randint(0, 49_000, (3, 16), generator=generator)
    for row, end in enumerate((2, 9, 15)):
        ids[row, end:] = 49_407
    images = theirs.get_image_features(pixel_values=pixels).pooler_output
    texts = theirs.get_text_features(input_ids=ids).pooler_output
    for one, other in (
        (model.encode_images(pixels), images),
        (model.encode_texts(ids, torch.ones_like(ids, dtype=torch.bool)), texts),
    ):
        torch.testing.assert_close(one, F.normalize(other, dim=-1), atol=1e-5, rtol=0)
    torch.testing.assert_close(model.logit_scale, theirs.logit_scale)


@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
@pytest.mark.parametrize("layout", ["one file", "parts", "pickled", "halves"])
def test_a_folder_of_transformers_gives_its_embeddings(
    tmp_path: Path, activation: str, layout: str
) -> None:
    """Random weights, in single precision to 1e-5, whichever way they are stored."""
    theirs = reference(activation)
    if layout == "halves":
        theirs.half().float()
    folder = tmp_path / "folder"
    write_transformers(theirs, folder, shard_size="1MB" if layout == "parts" else "1GB")
    if layout == "parts":
        assert len(list(folder.glob("model-*.safetensors"))) > 1
    if layout == "pickled":
        tensors = load_file(folder / "model.safetensors")
        # Kept by old versions beside the weights.
        tensors["text_model.embeddings.position_ids"] = torch.arange(16)[None]
        torch.save(tensors, folder / "pytorch_model.bin")
        (folder / "model.safetensors").unlink()
    out = tmp_path / "own.safetensors"
    convert_checkpoint(folder, out)
    checkpoint, _ = read_checkpoint(out)
    assert checkpoint.preprocessing == Preprocessing(32, "shortest", HALVES, HALVES)
    assert checkpoint.name == "ViT-48-8-32" + ("-quickgelu" if activation == "quick_gelu" else "")
    assert_same(out, theirs)


def test_a_file_in_a_folder_is_read_with_its_configuration(tmp_path: Path) -> None:
    """The heads are those of the configuration, which no shape tells."""
    write_transformers(reference(), tmp_path)
    architecture = read_foreign(tmp_path / "model.safetensors").architecture
    assert isinstance(architecture, ClipArchitecture)
    assert architecture.text.heads == 4
    (tmp_path / "config.json").unlink()
    with pytest.raises(CheckpointDamaged, match=r"config\.json beside weights"):
        read_foreign(tmp_path / "model.safetensors")


@pytest.mark.parametrize("end", [2, 49_407, [49_407], None])
def test_the_end_token_is_the_tokenizers_where_old_files_say_two(
    tmp_path: Path, end: object
) -> None:
    """Old versions wrote 2 and looked for the highest id; tokens added above do not move it."""
    write_transformers(reference(vocab_size=49_410), tmp_path)
    change_json(tmp_path / "config.json", "text_config", "eos_token_id", value=end or 2)
    (tmp_path / "tokenizer.json").write_text(clip_tokenizer().definition)
    architecture = read_foreign(tmp_path).architecture
    assert isinstance(architecture, ClipArchitecture)
    assert architecture.text.end_token == 49_407


def test_a_vocabulary_without_tokenizer_is_refused(tmp_path: Path) -> None:
    """Only CLIP's own 49,408 tokens go without one."""
    write_transformers(reference(vocab_size=49_410), tmp_path)
    with pytest.raises(CheckpointUnsupported, match="found 49,410 tokens"):
        read_foreign(tmp_path)


@pytest.mark.parametrize(
    ("keys", "value", "error"),
    [
        (("text_config", "hidden_act"), "gelu_new", "found 'gelu_new'"),
        (("vision_config", "layer_norm_eps"), 1e-6, "found 1e-06"),
        (("vision_config", "num_attention_heads"), 7, "7 heads, which do not share"),
        (("vision_config", "num_attention_heads"), "3", "found '3'"),
        (("vision_config", "image_size"), 64, "positions for 64 pixels"),
        (("vision_config", "image_size"), [32, 48], "square pictures"),
        (("text_config",), 5, "something else"),
    ],
)
def test_a_configuration_of_another_model_is_refused(
    tmp_path: Path, keys: tuple[str, ...], value: object, error: str
) -> None:
    """What the towers here do not compute is named, never passed over."""
    write_transformers(reference(), tmp_path)
    change_json(tmp_path / "config.json", *keys, value=value)
    with pytest.raises(CheckpointError, match=error):
        read_foreign(tmp_path)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"resample": 2}, Preprocessing(32, "shortest", HALVES, HALVES, "bilinear")),
        ({"size": 32, "crop_size": 32}, Preprocessing(32, "shortest", HALVES, HALVES)),
        (
            {"do_center_crop": False, "size": {"height": 32, "width": 32}},
            Preprocessing(32, "squash", HALVES, HALVES),
        ),
        ({"crop_size": 24}, None),
        ({"size": {"shortest_edge": 64}}, None),
        ({"image_mean": None}, None),
        ({"image_mean": [0.5]}, None),
        ({"image_std": [0, 0, 0]}, None),
        ({"do_normalize": False}, None),
        ({"resample": 0}, None),
    ],
)
def test_preprocessing_is_the_folders_or_refused(
    tmp_path: Path, changes: dict[str, Any], expected: Preprocessing | None
) -> None:
    """It is part of the version, read from its file, whole or not at all."""
    write_transformers(reference(), tmp_path)
    write_json(tmp_path / "preprocessor_config.json", processor(**changes))
    if expected is None:
        with pytest.raises(CheckpointError, match=str(tmp_path)):
            read_foreign(tmp_path)
    else:
        assert read_foreign(tmp_path).preprocessing == expected


def test_absent_preprocessing_is_asked_for(tmp_path: Path) -> None:
    """A folder that does not say how pictures are prepared is not used by a guess."""
    write_transformers(reference(), tmp_path)
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(CheckpointDamaged, match=r"preprocessor_config\.json"):
        read_foreign(tmp_path)
    write_json(tmp_path / "processor_config.json", {"image_processor": processor()})
    assert read_foreign(tmp_path).preprocessing.mean == HALVES


@pytest.mark.parametrize(
    "places",
    [{"logit_scale": "../outside.safetensors"}, {"logit_scale": "/etc/passwd"}, [], {"a": 1}],
)
def test_an_index_names_files_of_its_own_folder_only(tmp_path: Path, places: object) -> None:
    """A path out of the folder is refused before anything is opened."""
    write_transformers(reference(), tmp_path)
    (tmp_path / "model.safetensors").unlink()
    write_json(tmp_path / "model.safetensors.index.json", {"weight_map": places})
    with pytest.raises(CheckpointDamaged, match="index"):
        read_foreign(tmp_path)


def test_a_missing_part_of_an_index_is_told(tmp_path: Path) -> None:
    """The parts that are there are not taken for the whole."""
    write_transformers(reference(), tmp_path, shard_size="1MB")
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    first = min(index["weight_map"].values())
    (tmp_path / first).unlink()
    with pytest.raises(CheckpointError, match=first):
        read_foreign(tmp_path)


def open_clip(**changes: Any) -> dict[str, Any]:
    """The configuration that OpenCLIP keeps of `clip_files.VIT`."""
    model = {
        "embed_dim": 32,
        "quick_gelu": True,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 128, "patch_size": 8},
        "text_cfg": {"context_length": 16, "vocab_size": 49_408, "width": 64, "heads": 1},
    }
    return {"model_cfg": model | changes, "preprocess_cfg": {}}


def write_open_clip(folder: Path, config: dict[str, Any], *, is_pickled: bool = False) -> None:
    """OpenCLIP's folder of `clip_files.VIT`."""
    tensors = clip_files.openai_names(clip_files.model(clip_files.VIT).state_dict())
    if is_pickled:
        torch.save(tensors, folder / "open_clip_pytorch_model.bin")
    else:
        save_file(tensors, folder / "open_clip_model.safetensors")
    write_json(folder / "open_clip_config.json", config)


@pytest.mark.parametrize("is_pickled", [True, False])
def test_a_folder_of_open_clip_is_read_by_its_configuration(
    tmp_path: Path, is_pickled: bool
) -> None:
    """The activation is that of the configuration, preprocessing OpenCLIP's default."""
    write_open_clip(tmp_path, open_clip(), is_pickled=is_pickled)
    checkpoint = read_foreign(tmp_path)
    assert checkpoint.architecture == clip_files.VIT
    assert checkpoint.preprocessing == Preprocessing(32, "shortest", CLIP_MEAN, CLIP_DEVIATION)
    assert checkpoint.tokenizer == clip_tokenizer()


def test_open_clips_preprocessing_is_part_of_it(tmp_path: Path) -> None:
    """Mean, deviation, filter and fit come from the file."""
    config = open_clip(quick_gelu=False)
    config["preprocess_cfg"] = {
        "mean": HALVES,
        "std": HALVES,
        "interpolation": "bilinear",
        "resize_mode": "squash",
    }
    write_open_clip(tmp_path, config)
    checkpoint = read_foreign(tmp_path)
    assert checkpoint.architecture == clip_files.with_activation(clip_files.VIT, "gelu")
    assert checkpoint.preprocessing == Preprocessing(32, "squash", HALVES, HALVES, "bilinear")


@pytest.mark.parametrize(
    ("section", "name", "value", "is_ours"),
    [
        ("vision_cfg", "patch_dropout", 0.5, True),
        ("vision_cfg", "head_width", 64, True),
        ("vision_cfg", "pool_type", "tok", True),
        ("vision_cfg", "pool_type", "avg", False),
        ("vision_cfg", "ls_init_value", 1e-4, False),
        ("vision_cfg", "attentional_pool", True, False),
        ("vision_cfg", "image_size", 64, False),
        ("text_cfg", "no_causal_mask", False, True),
        ("text_cfg", "no_causal_mask", True, False),
        ("text_cfg", "proj_bias", True, False),
        ("text_cfg", "heads", 3, False),
        ("text_cfg", "hf_model_name", "roberta-base", False),
    ],
)
def test_what_open_clip_asks_of_the_towers_is_had_or_refused(
    tmp_path: Path, section: str, name: str, value: object, is_ours: bool
) -> None:
    """Only what changes nothing of what is computed is passed over."""
    config = open_clip()
    config["model_cfg"][section][name] = value
    write_open_clip(tmp_path, config)
    if is_ours:
        assert read_foreign(tmp_path).architecture == clip_files.VIT
    else:
        with pytest.raises(CheckpointUnsupported, match=str(tmp_path)):
            read_foreign(tmp_path)


@pytest.mark.parametrize(
    "changes", [{"multimodal_cfg": {"width": 8}}, {"init_logit_bias": -10}, {"vision_cfg": 3}]
)
def test_other_kinds_of_models_of_open_clip_are_refused(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    """Captioners and sigmoid models are named as what they are."""
    write_open_clip(tmp_path, open_clip(**changes))
    with pytest.raises(CheckpointError, match=r"open_clip_config\.json"):
        read_foreign(tmp_path)


def test_a_folder_whose_weights_are_of_another_model_is_refused(tmp_path: Path) -> None:
    """A configuration beside tensors that it is not of: every odd name is told."""
    write_open_clip(tmp_path, open_clip())
    save_file({"classifier.weight": torch.zeros(2)}, tmp_path / "open_clip_model.safetensors")
    with pytest.raises(CheckpointMismatch) as raised:
        read_foreign(tmp_path)
    assert raised.value.unexpected == ("classifier.weight",)


@pytest.mark.parametrize("content", ["", "[]", "{", "[" * 100_000, "\x00"])
def test_a_configuration_that_is_no_json_object_is_refused(tmp_path: Path, content: str) -> None:
    """Whatever is in its place, the answer names the file."""
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(CheckpointDamaged, match=r"config\.json"):
        read_foreign(tmp_path)
