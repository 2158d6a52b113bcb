"""Weight files made to harm or merely wrong: nothing runs, and the error says what was found."""

import os
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from model.checkpoints import read_foreign
from model.errors import (
    CheckpointDamaged,
    CheckpointError,
    CheckpointMismatch,
    CheckpointNotFound,
    CheckpointUnsupported,
)
from tests.model import clip_files
from tests.model.clip_files import VIT


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    """A vision transformer's tensors under OpenAI's names."""
    return clip_files.openai_names(clip_files.model(VIT).state_dict())


class _Evil:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.target),)


def in_archive(content: bytes, path: Path, script: bool = False) -> None:
    """An archive of torch's with this pickle."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weights/data.pkl", content)
        archive.writestr("weights/byteorder", "little")
        if script:
            archive.writestr("weights/constants.pkl", pickle.dumps((), 2))


@pytest.mark.parametrize("is_archived", [True, False])
@pytest.mark.parametrize("is_script", [True, False])
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_pickle_that_calls_something_is_refused_and_never_run(
    tmp_path: Path, is_archived: bool, is_script: bool, protocol: int
) -> None:
    """The error names what the file wanted to call; it was not called."""
    path, target = tmp_path / "evil.pt", tmp_path / "written"
    content = pickle.dumps({"state_dict": {"weight": _Evil(target)}}, protocol)
    if is_archived:
        in_archive(content, path, is_script)
    else:
        path.write_bytes(content)
    with pytest.raises(CheckpointDamaged, match=r"names posix\.mkdir") as raised:
        read_foreign(path)
    assert not target.exists()
    assert raised.value.path == path


@pytest.mark.parametrize(
    "content",
    [
        # Persistent identifiers by line, extension codes, memory asked for ahead of its bytes,
        # and a memo entry of a number that would take a table of gigabytes.
        b"\x80\x02Pweights\n.",
        b"\x80\x02\x82\x01.",
        b"\x80\x05\x96\xff\xff\xff\xff\xff\xff\xff\x7f.",
        b"\x80\x02Nr\xff\xff\xff\x7f.",
        # A dictionary whose key is a tuple in a tuple, a hundred thousand deep.
        b"\x80\x02}" + b")" + b"\x85" * 100_000 + b"Ns.",
        # A stack that is popped while empty, an end that is missing, a cut instruction.
        b"\x80\x02R.",
        b"\x80\x02}",
        b"\x80\x02X\xff\x00\x00\x00ab",
    ],
)
@pytest.mark.parametrize("is_archived", [True, False])
def test_a_broken_or_odd_pickle_is_refused(
    tmp_path: Path, content: bytes, is_archived: bool
) -> None:
    """Whatever its instructions ask for, the answer is an error that names the file."""
    path = tmp_path / "odd.pt"
    if is_archived:
        in_archive(content, path)
    else:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=str(path)):
        read_foreign(path)


def test_modules_that_hold_each_other_end(tmp_path: Path) -> None:
    """Sixty modules, each twice in the next, would be more names than there are atoms."""
    script = b"\x80\x02c__torch__\nM\n)\x81}b"
    for number in range(60):
        place = number.to_bytes(4, "little")
        one, two = (b"X\x01\x00\x00\x00" + name + b"j" + place for name in (b"a", b"b"))
        script += b"r" + place + b"c__torch__\nM\n)\x81}(" + one + two + b"ub"
    path = tmp_path / "grown.pt"
    in_archive(script + b".", path, script=True)
    with pytest.raises(CheckpointDamaged, match="hold each other"):
        read_foreign(path)


def stored(name: str, shape: tuple[int, ...], strides: tuple[int, ...], elements: int) -> bytes:
    """A state dict with one tensor in single precision that claims these sizes."""

    class Reference:
        def __reduce__(self) -> tuple[Any, ...]:
            arguments = (storage, 0, shape, strides, False, OrderedDict())
            return torch._utils._rebuild_tensor_v2, arguments

    storage = _Storage(elements)
    path = Path(name)
    with path.open("wb") as file:
        pickler = _Pickler(file, 2)
        pickler.dump({"weight": Reference()})
    return path.read_bytes()


class _Storage:
    def __init__(self, elements: int) -> None:
        self.elements = elements


class _Pickler(pickle.Pickler):
    def persistent_id(self, obj: Any) -> Any:
        if isinstance(obj, _Storage):
            return ("storage", torch.FloatStorage, "0", "cpu", obj.elements)
        return None


@pytest.mark.parametrize(
    ("shape", "strides", "elements"),
    [
        ((2, 8), (8, 1), 4),
        ((4,), (1,), 1_000_000_000_000),
        ((1_000_000, 1_000_000), (0, 0), 4),
        ((2,), (-1,), 4),
        ((-1,), (1,), 4),
        ((2, 2), (1,), 4),
    ],
)
def test_a_tensor_outside_of_its_storage_is_refused(
    tmp_path: Path, shape: tuple[int, ...], strides: tuple[int, ...], elements: int
) -> None:
    """No size that a file claims is believed: not beyond its bytes, not the same byte twice."""
    path = tmp_path / "sizes.pt"
    in_archive(stored(str(tmp_path / "pickle"), shape, strides, elements), path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("weights/data/0", bytes(16))
    with pytest.raises(CheckpointDamaged, match=str(path)):
        read_foreign(path)


def test_a_whole_pickled_model_is_no_state_dict(tmp_path: Path) -> None:
    """What would have to be imported and run is named instead."""
    path = tmp_path / "model.pt"
    torch.save(nn.Linear(2, 2), path)
    with pytest.raises(CheckpointDamaged, match=r"names torch\.nn\.modules\.linear\.Linear"):
        read_foreign(path)


@pytest.mark.parametrize("is_zipped", [True, False])
@pytest.mark.parametrize("kept", [0, 1, 100, 0.5, -1])
def test_a_file_cut_short_is_refused(
    tmp_path: Path, weights: dict[str, torch.Tensor], is_zipped: bool, kept: float
) -> None:
    """Wherever the end is missing, the file is refused and named."""
    path = tmp_path / "cut.pt"
    torch.save(weights, path, _use_new_zipfile_serialization=is_zipped)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content)) if isinstance(kept, float) else kept])
    with pytest.raises(CheckpointDamaged, match=str(path)):
        read_foreign(path)


def test_one_flipped_byte_of_an_archive_is_found(
    tmp_path: Path, weights: dict[str, torch.Tensor]
) -> None:
    """The archive's own checksums are looked at before a number of it is believed."""
    path = tmp_path / "flipped.pt"
    torch.save(weights, path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointDamaged, match="was altered"):
        read_foreign(path)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "an empty file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "pointer of Git LFS"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b'{"model_type": "clip"}', "JSON text"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        (b"GGUF\x03\x00\x00\x00", "a GGUF file"),
        (b"\x00\x01\x02\x03\x04\x05\x06\x07", "begins with 00 01 02 03"),
    ],
)
def test_a_file_of_another_kind_is_called_by_its_name(
    tmp_path: Path, content: bytes, found: str
) -> None:
    """The error says what the file is and what was expected."""
    path = tmp_path / "weights.bin"
    path.write_bytes(content)
    with pytest.raises(CheckpointDamaged, match=found) as raised:
        read_foreign(path)
    assert "safetensors" in raised.value.expected


def test_a_path_with_nothing_there_is_told_absolutely(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative path is reported with the path that was tried."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointNotFound, match=str(tmp_path)):
        read_foreign(Path("no/weights.pt"))


def test_a_folder_without_weights_says_what_it_lacks(tmp_path: Path) -> None:
    """Neither a configuration nor a single file of weights: nothing is guessed."""
    with pytest.raises(CheckpointDamaged, match="0 files of weights and no configuration"):
        read_foreign(tmp_path)
    for name in ("a.pt", "b.pt"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(CheckpointDamaged, match="2 files of weights"):
        read_foreign(tmp_path)


Change = Callable[[dict[str, torch.Tensor]], None]


def drop_half(tensors: dict[str, torch.Tensor]) -> None:
    """Every second tensor goes."""
    for name in list(tensors)[::2]:
        del tensors[name]


@pytest.mark.parametrize(
    ("change", "missing", "unexpected", "misshapen"),
    [
        (lambda one: one.pop("ln_final.bias"), "ln_final.bias", None, None),
        (lambda one: one.pop("text_projection"), "text_projection", None, None),
        (lambda one: one.update(logit_bias=torch.zeros(())), None, "logit_bias", None),
        (lambda one: one.update(odd=torch.zeros(2)), None, "odd", None),
        (lambda one: one.update({"ln_final.bias": torch.zeros(3)}), None, None, "ln_final.bias"),
        (lambda one: one.update({"visual.proj": torch.zeros(128, 8)}), None, None, None),
        (lambda one: one.update({"visual.conv1.weight": torch.zeros(2)}), None, None, None),
        (drop_half, "", None, None),
    ],
)
def test_tensors_that_do_not_fit_are_named_as_in_the_file(
    tmp_path: Path,
    weights: dict[str, torch.Tensor],
    change: Change,
    missing: str | None,
    unexpected: str | None,
    misshapen: str | None,
) -> None:
    """Missing, odd and misshapen tensors are told, with the file and whose names it has."""
    path = tmp_path / "weights.safetensors"
    changed = dict(weights)
    change(changed)
    save_file(changed, path)
    with pytest.raises((CheckpointMismatch, CheckpointUnsupported), match=str(path)) as raised:
        read_foreign(path)
    for name, kind in ((missing, "missing"), (unexpected, "unexpected"), (misshapen, "misshapen")):
        if name:
            assert getattr(raised.value, kind) == (name,)


def test_a_foreign_prefix_is_refused_and_shown(
    tmp_path: Path, weights: dict[str, torch.Tensor]
) -> None:
    """Only what wrappers of a model put before names is taken off."""
    path = tmp_path / "weights.safetensors"
    save_file({f"backbone.{name}": tensor for name, tensor in weights.items()}, path)
    with pytest.raises(CheckpointMismatch, match=r"first: backbone\.") as raised:
        read_foreign(path)
    assert len(raised.value.unexpected) == len(weights)
