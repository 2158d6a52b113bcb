"""Dual encoders of the library `transformers` behind our own interface."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file

from model import CheckpointDamaged, CheckpointMismatch, load_encoder
from model.checkpoints import (
    build_model,
    build_tokenizer,
    convert_checkpoint,
    read_checkpoint,
    read_foreign,
)
from model.errors import CheckpointError, CheckpointUnsupported, ExtraMissing
from model.preprocessing import to_square
from model.tokenizers import pad
from model.training.depth import blocks_of
from model.zoo import TransformersArchitecture
from tests.model import dual_encoders
from tests.model.encoders import in_precision


def edit(path: Path, **values: Any) -> None:
    """Change settings in a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.mark.parametrize("kind", dual_encoders.CONFIGS)
def test_embeddings_are_those_of_the_library(kind: str, tmp_path: Path) -> None:
    """Pixels and tokens, through our own file, give the library's vectors to 1e-5."""
    reference = dual_encoders.write(tmp_path / "folder", kind)
    convert_checkpoint(tmp_path / "folder", tmp_path / "own.safetensors")
    checkpoint, _ = read_checkpoint(tmp_path / "own.safetensors")
    model = build_model(checkpoint)
    theirs = transformers.PreTrainedTokenizerFast.from_pretrained(tmp_path / "folder")
    padding = "max_length" if kind == "siglip" else "longest"
    inputs = theirs(
        list(dual_encoders.TEXTS), padding=padding, truncation=True, return_tensors="pt"
    )
    pixels = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(7))
    with torch.no_grad():
        images = reference.get_image_features(pixel_values=pixels).pooler_output
        # SigLIP's tokenizer gives no mask: padding is seen.
        mask = {} if kind == "siglip" else {"attention_mask": inputs["attention_mask"]}
        texts = reference.get_text_features(input_ids=inputs["input_ids"], **mask).pooler_output
        own_images = model.encode_images(pixels)
        own_texts = model.encode_texts(*pad(build_tokenizer(checkpoint)(dual_encoders.TEXTS)))
    torch.testing.assert_close(own_images, F.normalize(images, dim=-1), rtol=0, atol=1e-5)
    torch.testing.assert_close(own_texts, F.normalize(texts, dim=-1), rtol=0, atol=1e-5)
    assert (own_images[0] - own_images[1]).abs().max() > 1e-3
    assert (own_texts[0] - own_texts[1]).abs().max() > 1e-3


def test_sigmoid_probabilities_are_those_of_the_library(tmp_path: Path) -> None:
    """Cosine, scale and bias of the encoder give SigLIP's own probability of every pair."""
    reference = dual_encoders.write(tmp_path / "folder")
    convert_checkpoint(tmp_path / "folder", tmp_path / "own.safetensors")
    encoder = in_precision(tmp_path / "own.safetensors", torch.float32)
    picture = np.random.default_rng(8).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    cosines = encoder.embed_pixels([picture]) @ encoder.embed_texts(dual_encoders.TEXTS).vectors.T
    theirs = transformers.PreTrainedTokenizerFast.from_pretrained(tmp_path / "folder")
    inputs = theirs(
        list(dual_encoders.TEXTS), padding="max_length", truncation=True, return_tensors="pt"
    )
    pixels = (torch.from_numpy(picture).permute(2, 0, 1)[None] / 255 - 0.5) / 0.5
    with torch.no_grad():
        logits = reference(input_ids=inputs["input_ids"], pixel_values=pixels).logits_per_image
    assert encoder.logit_bias is not None
    own = torch.from_numpy(encoder.logit_scale * cosines + encoder.logit_bias).sigmoid()
    torch.testing.assert_close(own, logits.sigmoid(), rtol=0, atol=1e-5)


def test_only_sigmoid_models_have_a_bias(tmp_path: Path) -> None:
    """The probabilities of all others come from a softmax."""
    dual_encoders.write(tmp_path, "chinese_clip")
    checkpoint = read_foreign(tmp_path)
    assert isinstance(checkpoint.architecture, TransformersArchitecture)
    assert not checkpoint.architecture.is_sigmoid
    assert "logit_bias" not in checkpoint.tensors


def test_pictures_are_prepared_as_the_folder_says(tmp_path: Path) -> None:
    """SigLIP's processor ignores the aspect; ours gives its pixels to one grey level."""
    dual_encoders.write(tmp_path)
    ours = read_foreign(tmp_path).preprocessing
    noise = np.random.default_rng(9).integers(0, 256, (50, 90, 3), dtype=np.uint8)
    picture = Image.fromarray(noise).resize((180, 100), Image.Resampling.BICUBIC)
    theirs = transformers.models.siglip.SiglipImageProcessorPil.from_pretrained(tmp_path)
    pixels = theirs(picture, return_tensors="np")["pixel_values"][0]
    square = np.transpose(pixels * 0.5 + 0.5, (1, 2, 0)) * 255
    assert np.abs(to_square(picture, ours) - square).max() <= 1.01


def test_texts_are_filled_up_and_cut_as_siglip_learnt(tmp_path: Path) -> None:
    """A short text has the whole length, a long one keeps its end and is reported."""
    dual_encoders.write(tmp_path)
    checkpoint = read_foreign(tmp_path)
    short, long = build_tokenizer(checkpoint)(["a dog", "a dog on the beach " * 5])
    assert len(short.ids) == len(long.ids) == checkpoint.architecture.context_length == 16
    assert short.ids[-1] == long.ids[-1] == 1
    assert (short.was_truncated, long.was_truncated) == (False, True)


@pytest.mark.parametrize("name", ["Siglip2Tokenizer", "GemmaTokenizerFast"])
def test_siglip_2_reads_lower_case(name: str, tmp_path: Path) -> None:
    """Its texts were all lower case in training, whatever class its folder names."""
    dual_encoders.write(tmp_path / "two", tokenizer_class=name)
    dual_encoders.write(tmp_path / "one")
    upper, lower = build_tokenizer(read_foreign(tmp_path / "two"))(["A DOG", "a dog"])
    assert upper == lower
    upper, lower = build_tokenizer(read_foreign(tmp_path / "one"))(["A DOG", "a dog"])
    assert upper != lower


def test_weights_keep_the_precision_of_their_file(tmp_path: Path) -> None:
    """Half stays half on disk; the modules compute in float32."""
    dual_encoders.write(tmp_path / "folder")
    file = tmp_path / "folder" / "model.safetensors"
    save_file({name: one.half() for name, one in load_file(file).items()}, file, {"format": "pt"})
    convert_checkpoint(tmp_path / "folder", tmp_path / "own.safetensors")
    checkpoint, _ = read_checkpoint(tmp_path / "own.safetensors")
    assert {tensor.dtype for tensor in checkpoint.tensors.values()} == {torch.float16}
    model = build_model(checkpoint)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert not any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers()))


def test_own_file_serves_in_the_machines_precision(tmp_path: Path) -> None:
    """The cosine to float32 is at least 0.999, pictures and texts."""
    dual_encoders.write(tmp_path / "folder")
    own = tmp_path / "own.safetensors"
    convert_checkpoint(tmp_path / "folder", own)
    served, exact = load_encoder(str(own)), in_precision(own, torch.float32)
    pixels = list(np.random.default_rng(5).integers(0, 256, (9, 32, 32, 3), dtype=np.uint8))
    pairs = [
        (encoder.embed_pixels(pixels), encoder.embed_texts(dual_encoders.TEXTS).vectors)
        for encoder in (served, exact)
    ]
    for one, other in zip(*pairs, strict=True):
        assert (one * other).sum(axis=1).min() >= 0.999


def test_every_parameter_of_an_adapted_tower_is_in_one_block(tmp_path: Path) -> None:
    """What embeds comes first, then each layer; none is forgotten."""
    dual_encoders.write(tmp_path)
    model = build_model(read_foreign(tmp_path))
    for tower in (model.image_tower, model.text_tower):
        blocks = blocks_of(tower)
        assert len(blocks) == 3
        assert blocks[0]
        found = [id(parameter) for block in blocks for parameter in block]
        assert sorted(found) == sorted(id(parameter) for parameter in tower.parameters())


def test_code_in_a_folder_is_never_run(tmp_path: Path) -> None:
    """A configuration that names classes of its own loads as the library's model."""
    dual_encoders.write(tmp_path)
    (tmp_path / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Own: ...\n")
    edit(tmp_path / "config.json", auto_map={"AutoModel": "own.Own", "AutoConfig": "own.Own"})
    assert read_foreign(tmp_path).name == "Siglip"
    assert not (tmp_path / "ran").exists()


def test_without_the_extra_its_name_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a folder nor an own file of such a model can be used, and the error says why."""
    dual_encoders.write(tmp_path / "folder")
    convert_checkpoint(tmp_path / "folder", tmp_path / "own.safetensors")
    monkeypatch.setattr("model.transformers_architecture.find_spec", lambda name: None)
    with pytest.raises(ExtraMissing, match="extra 'transformers'"):
        read_foreign(tmp_path / "folder")
    with pytest.raises(ExtraMissing, match="extra 'transformers'"):
        load_encoder(str(tmp_path / "own.safetensors"))


def test_pictures_of_any_shape_are_refused_in_words(tmp_path: Path) -> None:
    """SigLIP 2's NaFlex models need what no picture here has, and the error names them."""
    dual_encoders.write(tmp_path)
    edit(tmp_path / "config.json", model_type="siglip2")
    with pytest.raises(CheckpointUnsupported, match="NaFlex"):
        read_foreign(tmp_path)


@pytest.mark.parametrize("kind", ["clipseg", "bert", None, 7])
def test_other_models_are_refused_by_their_kind(kind: object, tmp_path: Path) -> None:
    """The error lists what could be read."""
    dual_encoders.write(tmp_path)
    edit(tmp_path / "config.json", model_type=kind)
    with pytest.raises(CheckpointUnsupported, match="clip, siglip"):
        read_foreign(tmp_path)


def test_lacking_and_odd_tensors_are_named(tmp_path: Path) -> None:
    """Nothing is filled in at random."""
    dual_encoders.write(tmp_path)
    file = tmp_path / "model.safetensors"
    tensors = load_file(file)
    odd = {**tensors, "odd": torch.zeros(2), "logit_bias": torch.zeros(3)}
    del odd["text_model.head.weight"]
    save_file(odd, file, {"format": "pt"})
    with pytest.raises(CheckpointMismatch) as refused:
        read_foreign(tmp_path)
    assert refused.value.missing == ("text_model.head.weight",)
    assert refused.value.unexpected == ("odd",)
    assert refused.value.misshapen == ("logit_bias",)


@pytest.mark.parametrize("name", ["tokenizer.json", "preprocessor_config.json"])
def test_what_is_never_guessed_must_be_there(name: str, tmp_path: Path) -> None:
    """A folder without its tokenizer or its preprocessing is refused and says so."""
    dual_encoders.write(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(CheckpointDamaged, match=name):
        read_foreign(tmp_path)


@pytest.mark.parametrize(
    ("file", "values"),
    [
        ("preprocessor_config.json", {"image_processor_type": "EfficientNetImageProcessor"}),
        ("preprocessor_config.json", {"rescale_factor": 1 / 127.5}),
        ("preprocessor_config.json", {"size": {"height": 48, "width": 48}}),
        ("config.json", {"text_config": {"hidden_size": "wide"}}),
        ("config.json", {"vision_config": {"hidden_size": 10**12}}),
        ("config.json", {"vision_config": None}),
    ],
)
def test_settings_that_fit_no_model_are_refused(
    file: str, values: dict[str, Any], tmp_path: Path
) -> None:
    """Another way to prepare, another size, sizes without sense: an error of ours each time."""
    dual_encoders.write(tmp_path)
    edit(tmp_path / file, **values)
    with pytest.raises(CheckpointError):
        read_foreign(tmp_path)


def test_another_size_can_not_be_asked_for(tmp_path: Path) -> None:
    """Positions are not interpolated, and nothing is ignored in silence."""
    dual_encoders.write(tmp_path)
    with pytest.raises(CheckpointUnsupported, match="image size"):
        read_foreign(tmp_path, image_size=64)
