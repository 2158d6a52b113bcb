"""Other people's CLIP files: the same numbers, whatever the format."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from model.checkpoints import (
    build_model,
    build_tokenizer,
    convert_checkpoint,
    read_checkpoint,
    read_foreign,
    write_checkpoint,
)
from model.dual_encoder import DualEncoder
from model.errors import CheckpointMismatch, CheckpointUnsupported
from model.towers.modified_resnet import ModifiedResNet, ModifiedResNetConfig
from model.zoo import CLIP_ARCHITECTURES, ClipArchitecture
from tests.model import clip_files
from tests.model.clip_files import RESNET, VIT
from tests.model.golden.formula import fill, noise

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")

GELU = clip_files.with_activation(VIT, "gelu")


def same_embeddings(
    one: DualEncoder, other: DualEncoder, image_size: int, tolerance: float
) -> None:
    """Both give the same unit vectors for the same pictures and texts."""
    generator = torch.Generator().manual_seed(5)
    pixels = torch.randn(2, 3, image_size, image_size, generator=generator)
    ids = torch.randint(0, 49_000, (2, 9), generator=generator)
    ids[:, 7:] = 49_407
    are_tokens = torch.ones_like(ids, dtype=torch.bool)
    with torch.inference_mode():
        for ours, theirs in (
            (one.encode_images(pixels), other.encode_images(pixels)),
            (one.encode_texts(ids, are_tokens), other.encode_texts(ids, are_tokens)),
        ):
            torch.testing.assert_close(ours, theirs, atol=tolerance, rtol=0)


def state_dict(tensors: dict[str, Tensor], path: Path) -> None:
    """What `torch.save(model.state_dict())` writes."""
    torch.save(tensors, path)


def legacy(tensors: dict[str, Tensor], path: Path) -> None:
    """What torch wrote before it wrote archives."""
    torch.save(tensors, path, _use_new_zipfile_serialization=False)


def training(tensors: dict[str, Tensor], path: Path) -> None:
    """What OpenCLIP keeps of a run on several processes, optimizer and all."""
    parameter = nn.Parameter(torch.ones(3))
    optimizer = torch.optim.AdamW([parameter])
    parameter.sum().backward()
    optimizer.step()
    state = {f"module.{name}": tensor for name, tensor in tensors.items()}
    torch.save(
        {"epoch": 3, "name": "run", "state_dict": state, "optimizer": optimizer.state_dict()}, path
    )


def compiled(tensors: dict[str, Tensor], path: Path) -> None:
    """A compiled model's names, in safetensors."""
    save_file({f"_orig_mod.{name}": tensor for name, tensor in tensors.items()}, path)


def custom_text(tensors: dict[str, Tensor], path: Path) -> None:
    """OpenCLIP's names where the text tower is a module of its own."""
    renamed = {
        name if name.startswith("visual.") or name == "logit_scale" else f"text.{name}": tensor
        for name, tensor in tensors.items()
    }
    save_file(renamed | {"text.attn_mask": torch.zeros(16, 16)}, path)


@pytest.mark.parametrize("architecture", [GELU, clip_files.with_activation(RESNET, "gelu")])
@pytest.mark.parametrize("write", [state_dict, legacy, training, compiled, custom_text, save_file])
def test_a_model_is_the_same_from_every_file(
    tmp_path: Path, architecture: ClipArchitecture, write: Callable[[dict[str, Tensor], Path], None]
) -> None:
    """Sizes come from the shapes, every tensor bit for bit from the file."""
    original = clip_files.model(architecture)
    path = tmp_path / "weights.pt"
    write(clip_files.openai_names(original.state_dict()), path)
    checkpoint = read_foreign(path)
    assert checkpoint.architecture == architecture
    assert checkpoint.tensors.keys() == original.state_dict().keys()
    for name, tensor in original.state_dict().items():
        assert torch.equal(checkpoint.tensors[name], tensor)


def test_an_archive_of_openai_has_its_activation_and_its_precisions(tmp_path: Path) -> None:
    """Half-precision weights serve on a processor, in float32; nothing of the script is run."""
    original = clip_files.model(VIT)
    tensors = clip_files.halved(clip_files.openai_names(original.state_dict()))
    path = tmp_path / "ViT.pt"
    clip_files.write_script(tensors, path)
    out = tmp_path / "own.safetensors"
    fingerprint = convert_checkpoint(path, out)
    checkpoint, read = read_checkpoint(out)
    assert read == fingerprint
    assert (checkpoint.architecture, checkpoint.name) == (VIT, "ViT-128-8-32-quickgelu")
    for name, tensor in clip_files.openai_names(checkpoint.tensors).items():
        assert tensor.dtype == tensors[name].dtype
        assert torch.equal(tensor, tensors[name])
    model = build_model(checkpoint)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    same_embeddings(model, original, 32, tolerance=2e-3)
    tokens = build_tokenizer(checkpoint)(["a photo of a cat"])
    assert tokens[0].ids == (49406, 320, 1125, 539, 320, 2368, 49407)


@pytest.mark.parametrize(
    ("write", "told", "activation"),
    [
        (clip_files.write_script, None, "quick_gelu"),
        (lambda one, path: clip_files.write_script(one, path, nn.GELU), None, "gelu"),
        (lambda one, path: clip_files.write_script(one, path, None), None, "quick_gelu"),
        (lambda one, path: torch.save(clip_files.halved(one), path), None, "quick_gelu"),
        (lambda one, path: torch.save(clip_files.halved(one), path), "ViT-128-8-32", "gelu"),
        (torch.save, None, "gelu"),
        (torch.save, "ViT-128-8-32-quickgelu", "quick_gelu"),
        (torch.save, "vit-128/8@32px-quickgelu", "quick_gelu"),
    ],
)
def test_the_activation_is_the_files_or_what_is_told(
    tmp_path: Path,
    write: Callable[[dict[str, Tensor], Path], None],
    told: str | None,
    activation: str,
) -> None:
    """A script names it; OpenAI's way of storing halves means QuickGELU; all others have GELU."""
    path = tmp_path / "weights.pt"
    write(clip_files.openai_names(clip_files.model(VIT).state_dict()), path)
    architecture = read_foreign(path, architecture=told).architecture
    assert isinstance(architecture, ClipArchitecture)
    assert architecture.text.activation == architecture.image.activation == activation


def test_converting_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    """A version is known by its digest, whoever converts it and when."""
    path = tmp_path / "weights.pt"
    torch.save(clip_files.openai_names(clip_files.model(RESNET).state_dict()), path)
    outs = [tmp_path / "one", tmp_path / "two"]
    assert convert_checkpoint(path, outs[0]) == convert_checkpoint(path, outs[1])
    assert outs[0].read_bytes() == outs[1].read_bytes()


@pytest.mark.parametrize(("architecture", "step"), [(VIT, 8), (RESNET, 32)])
def test_positions_are_interpolated_when_asked_and_once(
    tmp_path: Path, architecture: ClipArchitecture, step: int
) -> None:
    """The own file has the new side, so that nothing is left to resize when it is read."""
    path, out = tmp_path / "weights.pt", tmp_path / "own.safetensors"
    torch.save(clip_files.openai_names(clip_files.model(architecture).state_dict()), path)
    convert_checkpoint(path, out, image_size=96)
    checkpoint, _ = read_checkpoint(out)
    assert isinstance(checkpoint.architecture, ClipArchitecture)
    assert checkpoint.architecture.image.image_size == checkpoint.preprocessing.image_size == 96
    model = build_model(checkpoint)
    with torch.inference_mode():
        assert model.encode_images(torch.zeros(1, 3, 96, 96)).shape == (1, 32)
    with pytest.raises(CheckpointUnsupported, match=f"multiple of {step}, found {96 + step // 2}"):
        read_foreign(path, image_size=96 + step // 2)


def test_counters_of_batches_may_be_missing(tmp_path: Path) -> None:
    """Files older than torch's counter lack it; nothing is computed from it."""
    original = clip_files.model(clip_files.with_activation(RESNET, "gelu"))
    tensors = clip_files.openai_names(original.state_dict())
    kept = {name: one for name, one in tensors.items() if "num_batches" not in name}
    assert len(kept) < len(tensors)
    path = tmp_path / "weights.pt"
    torch.save(kept, path)
    same_embeddings(build_model(read_foreign(path)), original, 64, tolerance=1e-6)


def timm_names(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """OpenCLIP's names for a vision transformer of timm's."""
    renamed = {}
    for name, tensor in tensors.items():
        trunk = name.replace("visual.", "visual.trunk.")
        for ours, theirs in (
            ("conv1", "patch_embed.proj"),
            ("ln_pre", "norm_pre"),
            ("ln_post", "norm"),
            ("transformer.resblocks", "blocks"),
            ("ln_", "norm"),
            ("attn.in_proj_", "attn.qkv."),
            ("out_proj", "proj"),
            ("c_fc", "fc1"),
            ("c_proj", "fc2"),
        ):
            trunk = trunk.replace(ours, theirs)
        renamed[trunk if name.startswith("visual.") else name] = tensor
    renamed["visual.trunk.cls_token"] = renamed.pop("visual.trunk.class_embedding")[None, None]
    renamed["visual.trunk.pos_embed"] = renamed.pop("visual.trunk.positional_embedding")[None]
    return renamed


@pytest.mark.parametrize("head", ["visual.head.proj.weight", "visual.trunk.head.weight"])
def test_a_tower_of_timm_is_read_where_it_is_ours(tmp_path: Path, head: str) -> None:
    """With the class token, the norm before the blocks and a projection without bias."""
    original = clip_files.model(GELU)
    tensors = timm_names(clip_files.openai_names(original.state_dict()))
    tensors[head] = tensors.pop("visual.trunk.proj").T.contiguous()
    path = tmp_path / "weights.safetensors"
    save_file(tensors, path)
    same_embeddings(build_model(read_foreign(path)), original, 32, tolerance=1e-6)


def test_another_tower_of_timm_is_refused(tmp_path: Path) -> None:
    """What it has and lacks is told in its own names."""
    tensors = timm_names(clip_files.openai_names(clip_files.model(GELU).state_dict()))
    tensors["visual.head.proj.weight"] = tensors.pop("visual.trunk.proj").T.contiguous()
    del tensors["visual.trunk.norm_pre.weight"], tensors["visual.trunk.norm_pre.bias"]
    tensors["visual.trunk.patch_embed.proj.bias"] = torch.zeros(128)
    path = tmp_path / "weights.safetensors"
    save_file(tensors, path)
    with pytest.raises(CheckpointMismatch, match="timm's names") as raised:
        read_foreign(path)
    assert raised.value.missing == ("visual.trunk.norm_pre.weight", "visual.trunk.norm_pre.bias")
    assert raised.value.unexpected == ("visual.trunk.patch_embed.proj.bias",)


GOLDEN = {
    "tiny": ModifiedResNetConfig(96, 8, (1, 2, 1, 1), 4, 24),
    "RN50": CLIP_ARCHITECTURES["RN50"].image,
}


@torch.no_grad()
@pytest.mark.parametrize("name", GOLDEN)
def test_resnets_compute_what_openais_code_computes(name: str) -> None:
    """`golden/make_resnets.py` ran OpenAI's own class on the same weights and pictures."""
    config = GOLDEN[name]
    assert isinstance(config, ModifiedResNetConfig)
    with torch.device("meta"):
        tower = ModifiedResNet(config).eval()
    tower.to_empty(device="cpu")
    fill(tower.state_dict())
    size = config.image_size
    embeddings = tower(2 * noise("pixels", torch.Size([2, 3, size, size])))
    expected = load_file(Path(__file__).parent / "golden" / "resnets.safetensors")[name]
    torch.testing.assert_close(F.normalize(embeddings), F.normalize(expected), atol=1e-4, rtol=0)
    # Pictures tell themselves apart by far more than the tolerance.
    assert (expected[0] - expected[1]).abs().max() > 0.01


def test_a_model_that_learnt_on_keeps_its_activation(tmp_path: Path) -> None:
    """Read from OpenAI's file, changed, written and read again, it embeds as it did before."""
    path, out = tmp_path / "ViT.pt", tmp_path / "own.safetensors"
    clip_files.write_script(clip_files.openai_names(clip_files.model(VIT).state_dict()), path)
    convert_checkpoint(path, out)
    checkpoint, _ = read_checkpoint(out)
    model = build_model(checkpoint)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model.encode_images(torch.ones(1, 3, 32, 32)).sum().backward()
    optimizer.step()
    write_checkpoint(replace(checkpoint, tensors=model.state_dict()), out)
    again, _ = read_checkpoint(out)
    assert again.architecture == VIT
    same_embeddings(build_model(again), model, 32, tolerance=1e-6)
