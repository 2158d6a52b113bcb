"""Dual encoders of the library `transformers` (an extra) as a family of models."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from model.dual_encoder import DualEncoder
from model.errors import CheckpointError, ExtraMissing
from model.towers.adapted import AdaptedImageTower, AdaptedTextTower

# What a configuration may say that is no part of the architecture, or would run code of others.
_NOT_ARCHITECTURE = {"auto_map", "dtype", "torch_dtype", "quantization_config"}


@dataclass(frozen=True, slots=True)
class TransformersArchitecture:
    """A configuration of the library, from which it builds the towers.

    `config` is what stands in a model folder's config.json. The heads are linear maps that start as
    the identity, since no tower there ends with one that could be trained alone.
    """

    family: ClassVar[str] = "transformers"

    config: Mapping[str, Any]
    context_length: int
    embedding_width: int
    pad_id: int
    is_sigmoid: bool

    def build(self) -> DualEncoder:
        """The modules with random weights.

        Raises ExtraMissing without the library, CheckpointError for a configuration that it does
        not know.
        """
        model = build_library_model(self.config)
        image_head, text_head = (
            nn.Linear(self.embedding_width, self.embedding_width, bias=False) for _ in range(2)
        )
        for head in (image_head, text_head):
            nn.init.eye_(head.weight)
        return DualEncoder(
            AdaptedImageTower(model),
            image_head,
            AdaptedTextTower(model, self.pad_id),
            text_head,
            is_sigmoid=self.is_sigmoid,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the checkpoint's header."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The inverse of `to_dict`. Raises KeyError, TypeError or ValueError for anything else."""
        config = dict(values["config"])
        if not isinstance(config["model_type"], str):
            raise TypeError("model_type is no text")
        return cls(
            config=config,
            context_length=int(values["context_length"]),
            embedding_width=int(values["embedding_width"]),
            pad_id=int(values["pad_id"]),
            is_sigmoid=bool(values["is_sigmoid"]),
        )


def build_library_model(config: Mapping[str, Any]) -> Any:
    """The library's model of a configuration, in evaluation mode; never code that comes with it.

    On the meta device what is computed rather than stored (positions' numbers) is there all the
    same, so that the weights alone are left to be filled in. Raises as `build` does.
    """
    with library() as transformers:
        made = library_config(transformers, config)
        model = transformers.AutoModel.from_config(made, trust_remote_code=False)
        if torch.get_default_device().type == "meta":
            _fill_computed(model)
        return model.eval()


def load_library_model(
    config: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> tuple[Any, Mapping[str, Any]]:
    """The library's model with these weights, in their precision, and what it says of their names.

    Names of older versions are translated by the library. Raises as `build` does.
    """
    with library() as transformers:
        made = library_config(transformers, config)
        kind = transformers.MODEL_MAPPING[type(made)]
        model, names = kind.from_pretrained(
            None,
            config=made,
            state_dict=dict(tensors),
            dtype=next(one.dtype for one in tensors.values() if one.is_floating_point()),
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
        return model.eval(), names


def library_config(transformers: Any, config: Mapping[str, Any]) -> Any:
    """The library's own form of a configuration."""
    kept = {
        name: value
        for name, value in config.items()
        if name not in _NOT_ARCHITECTURE and not name.startswith("_")
    }
    return transformers.CONFIG_MAPPING[config["model_type"]].from_dict(kept)


@contextlib.contextmanager
def library() -> Iterator[Any]:
    """The library, quiet; what it raises within the block is a CheckpointError.

    Raises ExtraMissing when it is not installed.
    """
    if find_spec("transformers") is None:
        raise ExtraMissing("transformers", "This model is computed by the library transformers")
    # An optional package, and slow to import.
    import transformers  # noqa: PLC0415

    logging: Any = transformers.utils.logging
    verbosity, had_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield transformers
    except CheckpointError:
        raise
    except Exception as error:  # Whatever a configuration of others leads to.
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(
            f"transformers {transformers.__version__} can't build this model: {reason}"
        ) from error
    finally:
        logging.set_verbosity(verbosity)
        if had_bars:
            logging.enable_progress_bar()


def _fill_computed(model: Any) -> None:
    """Buffers that no file stores, by the library's own initialisation, which knows their values.

    Weights stay on the meta device, where initialisation does nothing.
    """
    for part in model.modules():
        # Set on what was initialised once, which would be passed over.
        part.__dict__.pop("_is_hf_initialized", None)
        for name in part._non_persistent_buffers_set:  # noqa: SLF001  (torch has no public name)
            buffer = getattr(part, name)
            if buffer is not None:
                setattr(part, name, torch.empty(buffer.shape, dtype=buffer.dtype, device="cpu"))
    with torch.device("cpu"):
        model.initialize_weights()
