"""Anyone's CLIP weights to a checkpoint of ours: the architecture, then tensor by tensor."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from model.byte_pairs import clip_tokenizer
from model.checkpoints.checkpoint import Checkpoint
from model.checkpoints.naming import IMAGE, Naming, is_harmless, naming_of
from model.checkpoints.shapes import QUICK, Shape, infer_architecture, name_of, parse_name
from model.checkpoints.told import Told
from model.checkpoints.weights import Weights
from model.errors import CheckpointMismatch, CheckpointUnsupported
from model.preprocessing import CLIP_DEVIATION, CLIP_MEAN, Preprocessing
from model.tokenizers import TokenizerSettings
from model.towers.modified_resnet import REDUCTION, ModifiedResNetConfig
from model.towers.transformer import Activation
from model.towers.vision_transformer import VisionTransformerConfig, resized_positions
from model.zoo import CLIP_VOCABULARY, ClipArchitecture

_POSITIONS = {
    VisionTransformerConfig: f"{IMAGE}positional_embedding",
    ModifiedResNetConfig: f"{IMAGE}attnpool.positional_embedding",
}


def assemble(
    weights: Weights, told: Told, *, architecture: str | None, image_size: int | None
) -> Checkpoint:
    """The checkpoint of these weights, with tensors in the precision of their file.

    `architecture` is a name as OpenCLIP's, whose "-quickgelu" tells the activation where the file
    does not; `image_size` another side of the square input, to which positions are interpolated.

    Raises CheckpointMismatch in the file's own names, CheckpointUnsupported.
    """
    named = parse_name(architecture) if architecture else None
    naming = naming_of(weights.tensors)
    known = _architecture(weights, naming, told, named[1] if named else _usual(weights))
    tensors = _tensors(weights, naming, known)
    if image_size is not None and image_size != known.image.image_size:
        known, tensors = _resized(weights, known, tensors, image_size)
    name = name_of(known)
    if named and named[0].lower().removesuffix(QUICK) != name.lower().removesuffix(QUICK):
        raise CheckpointUnsupported(weights.path, f"a {named[0]}", f"a {name}")
    return Checkpoint(
        name,
        known,
        _preprocessing(weights, told, known, is_resized=image_size is not None),
        _tokenizer(weights, told, known),
        tensors,
    )


def _usual(weights: Weights) -> Activation:
    """The activation of a file that does not name one.

    OpenAI's code alone keeps half-precision matrices beside single-precision norms, and its
    weights have QuickGELU; whatever else is about has GELU.
    """
    norm = weights.tensors.get("ln_final.weight")
    matrix = weights.tensors.get("text_projection")
    is_openai = (
        norm is not None
        and matrix is not None
        and (norm.dtype, matrix.dtype) == (torch.float32, torch.float16)
    )
    return "quick_gelu" if is_openai else "gelu"


def _architecture(
    weights: Weights, naming: Naming, told: Told, activation: Activation
) -> ClipArchitecture:
    def shape(own: str) -> Shape:
        return tuple(naming.tensor(own, weights.tensors).shape)

    try:
        known = infer_architecture(
            naming, weights.tensors.keys(), shape, told, weights.activation or activation
        )
    except KeyError as error:
        lacking = str(error.args[0])
        odd = [name for name in weights.tensors if not is_harmless(name)]
        raise CheckpointMismatch([lacking], odd, what=_what(weights, naming)) from error
    except (ValueError, RuntimeError) as error:
        raise CheckpointUnsupported(
            weights.path, "a model of the CLIP family", f"{weights.kind} with {error}"
        ) from error
    if told.image_size not in {None, known.image.image_size}:
        raise CheckpointUnsupported(
            weights.path,
            f"positions for {told.image_size} pixels, as its configuration says",
            f"positions for {known.image.image_size}",
        )
    return known


def _tensors(weights: Weights, naming: Naming, architecture: ClipArchitecture) -> dict[str, Tensor]:
    with torch.device("meta"):
        expected = {name: one.shape for name, one in architecture.build().state_dict().items()}
    tensors: dict[str, Tensor] = {}
    used, missing, misshapen = set[str](), list[str](), list[str]()
    for own, shape in expected.items():
        names = naming.names(own)
        used.update(names)
        lacking = [name for name in names if name not in weights.tensors]
        if own.endswith("num_batches_tracked") and lacking:
            # Files older than the counter lack it; nothing is computed from it.
            tensors[own] = torch.tensor(0)
            continue
        missing += lacking
        if not lacking:
            tensors[own] = naming.tensor(own, weights.tensors)
            misshapen += [] if tensors[own].shape == shape else [names[0]]
    unexpected = [name for name in weights.tensors if name not in used and not is_harmless(name)]
    if missing or unexpected or misshapen:
        what = f"{_what(weights, naming)} of a {name_of(architecture)}"
        raise CheckpointMismatch(missing, unexpected, misshapen, what=what)
    return tensors


def _resized(
    weights: Weights,
    architecture: ClipArchitecture,
    tensors: Mapping[str, Tensor],
    image_size: int,
) -> tuple[ClipArchitecture, dict[str, Tensor]]:
    image = replace(architecture.image, image_size=image_size)
    step = image.patch_size if isinstance(image, VisionTransformerConfig) else REDUCTION
    if image_size < step or image_size % step:
        raise CheckpointUnsupported(
            weights.path, f"an image size that is a multiple of {step}", f"{image_size}"
        )
    name = _POSITIONS[type(image)]
    positions = resized_positions(tensors[name], image_size // step)
    return replace(architecture, image=image), {**tensors, name: positions}


def _preprocessing(
    weights: Weights, told: Told, architecture: ClipArchitecture, *, is_resized: bool
) -> Preprocessing:
    """What the configuration says, else what OpenAI's and OpenCLIP's code do by default."""
    size = architecture.image.image_size
    known = told.preprocessing
    if known is None:
        return Preprocessing(size, "shortest", CLIP_MEAN, CLIP_DEVIATION)
    if is_resized:
        return replace(known, image_size=size)
    if known.image_size != size:
        raise CheckpointUnsupported(
            weights.path, f"pictures of {size} pixels", f"preprocessing to {known.image_size}"
        )
    return known


def _tokenizer(weights: Weights, told: Told, architecture: ClipArchitecture) -> TokenizerSettings:
    vocabulary = architecture.text.vocabulary
    if told.tokenizer is not None:
        return told.tokenizer
    if vocabulary != CLIP_VOCABULARY:
        raise CheckpointUnsupported(
            weights.path,
            f"CLIP's {CLIP_VOCABULARY:,} tokens, or a folder with a tokenizer",
            f"{vocabulary:,} tokens",
        )
    return clip_tokenizer()


def _what(weights: Weights, naming: Naming) -> str:
    return f"{weights.path} is {weights.kind} with {naming.kind}, but its tensors are not those"
