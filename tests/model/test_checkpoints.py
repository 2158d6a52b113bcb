"""The model's own file format: round trips, and everything that is refused."""

import dataclasses
import hashlib
import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from model.checkpoints import build_model, read_checkpoint, write_checkpoint
from model.errors import CheckpointDamaged, CheckpointMismatch, CheckpointNotFound
from model.tokenizers import TokenizerSettings
from tests.model import tiny


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A tiny checkpoint."""
    path = tmp_path / "tiny.safetensors"
    tiny.write(path)
    return path


@pytest.mark.parametrize("precision", [torch.float32, torch.float16, torch.bfloat16])
def test_round_trip_keeps_every_bit_and_the_precision(path: Path, precision: torch.dtype) -> None:
    """What is read is what was written, and writing it again gives the same file."""
    original = tiny.checkpoint(precision=precision)
    write_checkpoint(original, path)
    checkpoint, fingerprint = read_checkpoint(path)
    assert fingerprint == hashlib.sha256(path.read_bytes()).hexdigest()
    assert checkpoint.architecture == original.architecture
    assert checkpoint.preprocessing == original.preprocessing
    assert checkpoint.tokenizer == original.tokenizer
    assert checkpoint.tensors.keys() == original.tensors.keys()
    for name, tensor in original.tensors.items():
        assert checkpoint.tensors[name].dtype == tensor.dtype
        assert torch.equal(checkpoint.tensors[name], tensor)
    again = path.with_name("again.safetensors")
    assert write_checkpoint(checkpoint, again) == fingerprint
    assert again.read_bytes() == path.read_bytes()


def test_weights_are_computed_in_float32_and_evaluation_mode(path: Path) -> None:
    """Half precision is for storage: processors have no fast or exact arithmetic in it."""
    model = build_model(read_checkpoint(path)[0])
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert not any(module.training for module in model.modules())


def test_missing_file_names_the_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative path that does not exist is reported with the path that was tried."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointNotFound) as raised:
        read_checkpoint(Path("no/such.safetensors"))
    assert raised.value.path == tmp_path / "no/such.safetensors"
    assert str(tmp_path) in str(raised.value)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    """A folder in the file's place is a damaged checkpoint, not a crash."""
    with pytest.raises(CheckpointDamaged):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize("position", [9, 200, -1, -2000])
def test_one_flipped_byte_is_refused(path: Path, position: int) -> None:
    """Wherever the byte lies, in the header or in the weights, nothing is loaded."""
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointDamaged):
        read_checkpoint(path)


@pytest.mark.parametrize("kept", [0, 7, 8, 100, -1000, -1])
def test_a_file_cut_short_is_refused(path: Path, kept: int) -> None:
    """A download or copy that stopped anywhere is recognised."""
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CheckpointDamaged):
        read_checkpoint(path)


def test_safetensors_of_others_are_refused(tmp_path: Path) -> None:
    """The error says which format was expected and which was found."""
    path = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(2)}, path, {"format": "pt"})
    with pytest.raises(CheckpointDamaged) as raised:
        read_checkpoint(path)
    assert raised.value.expected == "the format beholder-1"
    assert raised.value.found == "the format pt"


class _Evil:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.target),)


def test_a_pickle_is_refused_and_never_run(tmp_path: Path) -> None:
    """Code inside a file in the checkpoint's place does not get to run."""
    path, target = tmp_path / "evil.safetensors", tmp_path / "written"
    path.write_bytes(pickle.dumps(_Evil(target)))
    with pytest.raises(CheckpointDamaged):
        read_checkpoint(path)
    assert not target.exists()


def test_tensors_that_do_not_fit_are_named() -> None:
    """Missing, unexpected and misshapen tensors are all listed, and nothing is built."""
    checkpoint = tiny.checkpoint()
    tensors = dict(checkpoint.tensors)
    del tensors["text_tower.layers.0.inner.weight"]
    tensors["module.stem.weight"] = torch.zeros(1)
    tensors["image_projection.linear.bias"] = torch.zeros(3)
    with pytest.raises(CheckpointMismatch) as raised:
        build_model(dataclasses.replace(checkpoint, tensors=tensors))
    assert raised.value.missing == ("text_tower.layers.0.inner.weight",)
    assert raised.value.unexpected == ("module.stem.weight",)
    assert raised.value.misshapen == ("image_projection.linear.bias",)
    assert "module.stem.weight" in str(raised.value)


def test_a_failed_write_leaves_the_old_file(path: Path) -> None:
    """The new file takes the name only when it is whole; no temporary file stays behind."""
    before = path.read_bytes()
    broken = dataclasses.replace(tiny.checkpoint(), tokenizer=TokenizerSettings("\ud800"))
    with pytest.raises(UnicodeEncodeError):
        write_checkpoint(broken, path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]
