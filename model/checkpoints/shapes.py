"""A CLIP architecture from the shapes of its tensors, and the names that people give to it.

Sources: openai/CLIP clip/model.py `build_model`; mlfoundations/open_clip model_configs/.
"""

import math
import re
from collections.abc import Callable, Collection

from model.checkpoints.naming import BLOCKS, IMAGE, TEXT, Naming
from model.checkpoints.told import Told, TowerTold
from model.towers.modified_resnet import REDUCTION, ModifiedResNetConfig
from model.towers.text_transformer import TextTransformerConfig
from model.towers.transformer import Activation
from model.towers.vision_transformer import VisionTransformerConfig
from model.zoo import CLIP_ARCHITECTURES, CLIP_END_TOKEN, ClipArchitecture

_HEAD_WIDTH = 64
# The vision transformers of OpenCLIP whose heads are wider than everyone else's, by their width.
_HEAD_WIDTHS = {1280: 80, 1408: 88, 1664: 104}
_SIZES = {768: "B", 1024: "L", 1280: "H", 1408: "g", 1664: "bigG"}
QUICK = "-quickgelu"
# Blocks are built one by one: names alone must not ask for any number of them.
_MOST_BLOCKS = 256

Shape = tuple[int, ...]


def infer_architecture(
    naming: Naming,
    names: Collection[str],
    shape: Callable[[str], Shape],
    told: Told,
    activation: Activation,
) -> ClipArchitecture:
    """The architecture that these tensors are of; `shape` gives that of a tensor by our name.

    Shapes tell all but the activation, which is `activation` unless told, the end token and the
    heads, which unless told are as wide as in every model of OpenAI's and OpenCLIP's. Raises
    ValueError for shapes that no CLIP model has, and what `shape` raises.
    """
    counts = (
        naming.block_count(IMAGE, names),
        naming.block_count(TEXT, names),
        *naming.stage_counts(names),
    )
    if max(counts) > _MOST_BLOCKS:
        raise ValueError(f"{max(counts)} blocks in a row")
    embedding_width = _sizes(shape(f"{TEXT}text_projection"), 2)[1]
    image = (
        _resnet(naming, names, shape)
        if any(naming.stage_counts(names))
        else _vision_transformer(naming, names, shape, told.image, activation)
    )
    if image.embedding_width != embedding_width:
        raise ValueError(
            f"embeddings of {image.embedding_width} numbers for images, {embedding_width} for texts"
        )
    text_width = _sizes(shape(f"{TEXT}ln_final.weight"), 1)[0]
    text = TextTransformerConfig(
        vocabulary=_sizes(shape(f"{TEXT}token_embedding.weight"), 2)[0],
        positions=_sizes(shape(f"{TEXT}positional_embedding"), 2)[0],
        width=text_width,
        layers=naming.block_count(TEXT, names),
        heads=_heads(text_width, told.text.heads, _HEAD_WIDTH),
        inner_width=_sizes(shape(f"{TEXT}{BLOCKS}0.mlp.c_fc.weight"), 2)[0],
        embedding_width=embedding_width,
        activation=told.text.activation or activation,
        end_token=told.end_token or CLIP_END_TOKEN,
    )
    return ClipArchitecture(image, text)


def name_of(architecture: ClipArchitecture) -> str:
    """The name that OpenCLIP gives to the architecture, or one of its kind."""
    image, quick = architecture.image, architecture.text.activation == "quick_gelu"
    if isinstance(image, VisionTransformerConfig):
        size = _SIZES.get(image.width, str(image.width))
        name = f"ViT-{size}-{image.patch_size}"
        name += f"-{image.image_size}" if image.image_size != 224 else ""
    else:
        shape = (image.layers, image.width)
        name = next(
            (
                known
                for known, one in CLIP_ARCHITECTURES.items()
                if isinstance(one.image, ModifiedResNetConfig)
                and (one.image.layers, one.image.width) == shape
            ),
            f"RN-{'-'.join(map(str, image.layers))}-{image.width}",
        )
    return f"{name}{QUICK}" if quick else name


def parse_name(name: str) -> tuple[str, Activation]:
    """A name as `name_of` writes it, from any way of writing it, and its activation.

    OpenAI's "ViT-L/14@336px" is OpenCLIP's "ViT-L-14-336".
    """
    plain = re.sub(r"(?<=\d)px", "", name.strip()).replace("/", "-").replace("@", "-")
    is_quick = plain.lower().endswith(QUICK)
    return plain, "quick_gelu" if is_quick else "gelu"


def _vision_transformer(
    naming: Naming,
    names: Collection[str],
    shape: Callable[[str], Shape],
    told: TowerTold,
    activation: Activation,
) -> VisionTransformerConfig:
    width, colours, height, patch = _sizes(shape(f"{IMAGE}conv1.weight"), 4)
    if colours != 3 or height != patch:
        raise ValueError(f"patches of {colours} colours and {height} by {patch} pixels")
    grid = _grid(_sizes(shape(f"{IMAGE}positional_embedding"), 2)[0])
    return VisionTransformerConfig(
        image_size=grid * patch,
        patch_size=patch,
        width=width,
        layers=naming.block_count(IMAGE, names),
        heads=_heads(width, told.heads, _HEAD_WIDTHS.get(width, _HEAD_WIDTH)),
        inner_width=_sizes(shape(f"{IMAGE}{BLOCKS}0.mlp.c_fc.weight"), 2)[0],
        embedding_width=_sizes(shape(f"{IMAGE}proj"), 2)[1],
        activation=told.activation or activation,
    )


def _resnet(
    naming: Naming, names: Collection[str], shape: Callable[[str], Shape]
) -> ModifiedResNetConfig:
    width = _sizes(shape(f"{IMAGE}layer1.0.conv1.weight"), 4)[0]
    positions, features = _sizes(shape(f"{IMAGE}attnpool.positional_embedding"), 2)
    return ModifiedResNetConfig(
        image_size=_grid(positions) * REDUCTION,
        width=width,
        layers=naming.stage_counts(names),
        heads=_heads(features, None, _HEAD_WIDTH),
        embedding_width=_sizes(shape(f"{IMAGE}attnpool.c_proj.weight"), 2)[0],
    )


def _sizes(shape: Shape, dimensions: int) -> Shape:
    if len(shape) != dimensions or min(shape, default=0) < 1:
        raise ValueError(f"a tensor of shape {shape} where {dimensions} dimensions are expected")
    return shape


def _grid(positions: int) -> int:
    grid = math.isqrt(positions - 1)
    if grid < 1 or grid**2 + 1 != positions:
        raise ValueError(f"{positions} positions, which are no square of patches and a class token")
    return grid


def _heads(width: int, told: int | None, head_width: int) -> int:
    if told is None:
        if width % head_width:
            raise ValueError(f"a width of {width}, which is no multiple of {head_width} (a head's)")
        return width // head_width
    if width % told:
        raise ValueError(f"{told} heads, which do not share a width of {width}")
    return told
