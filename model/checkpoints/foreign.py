"""Anyone's CLIP model, a file or a folder, as a checkpoint of ours or as our own file."""

from pathlib import Path

from model.checkpoints.assembling import assemble
from model.checkpoints.checkpoint import Checkpoint
from model.checkpoints.dual_encoder_folder import dual_encoder_folder, read_dual_encoder_folder
from model.checkpoints.open_clip_folder import CONFIG as OPEN_CLIP_CONFIG
from model.checkpoints.open_clip_folder import WEIGHTS as OPEN_CLIP_WEIGHTS
from model.checkpoints.open_clip_folder import read_open_clip_folder
from model.checkpoints.own import is_own, write_checkpoint
from model.checkpoints.told import Told
from model.checkpoints.transformers_folder import CONFIG as TRANSFORMERS_CONFIG
from model.checkpoints.transformers_folder import WEIGHTS as TRANSFORMERS_WEIGHTS
from model.checkpoints.transformers_folder import read_transformers_folder
from model.checkpoints.weights import EXPECTED, WEIGHT_SUFFIXES, Weights, read_weights
from model.errors import CheckpointDamaged, CheckpointNotFound

_FOLDERS = (
    (OPEN_CLIP_CONFIG, OPEN_CLIP_WEIGHTS, read_open_clip_folder),
    (TRANSFORMERS_CONFIG, TRANSFORMERS_WEIGHTS, read_transformers_folder),
)


def read_foreign(
    source: Path, *, architecture: str | None = None, image_size: int | None = None
) -> Checkpoint:
    """A CLIP model of OpenAI's, OpenCLIP's or transformers' format; nothing in it is ever run.

    `source` is a file of weights or a folder of OpenCLIP's or transformers'; a file in such a
    folder is read with its configuration. Other dual encoders than CLIP are read from folders of
    transformers, whose extra must be installed, and only as they are. `architecture` is a name
    like OpenCLIP's, whose "-quickgelu" tells the activation of weights that don't; `image_size` is
    another side of the square input, to which positions are interpolated. Tensors are
    mapped from the file and keep its precision.

    Raises CheckpointNotFound, CheckpointDamaged, CheckpointUnsupported, CheckpointMismatch,
    ExtraMissing.
    """
    source = source.absolute()
    try:
        if not source.exists():
            raise CheckpointNotFound(source)
        if folder := dual_encoder_folder(source):
            return read_dual_encoder_folder(
                folder, is_as_stored=architecture is None and image_size is None
            )
        weights, told = _of_folder(source) if source.is_dir() else _of_file(source)
    except OSError as error:
        found = error.strerror or "none"
        raise CheckpointDamaged(source, "a readable file or folder", found) from error
    return assemble(weights, told, architecture=architecture, image_size=image_size)


def convert_checkpoint(
    source: Path, out: Path, *, architecture: str | None = None, image_size: int | None = None
) -> str:
    """Write what `read_foreign` reads to an own file at `out`; gives the file's fingerprint.

    Weights go from file to file a tensor at a time. Raises what `read_foreign` raises.
    """
    return write_checkpoint(
        read_foreign(source, architecture=architecture, image_size=image_size), out
    )


def is_foreign(path: Path) -> bool:
    """Whether something that is no own file is at `path`, so that it has to be converted."""
    try:
        return path.exists() and not is_own(path)
    except OSError:
        return False


def _of_folder(folder: Path) -> tuple[Weights, Told]:
    for config, _, read in _FOLDERS:
        if (folder / config).is_file():
            return read(folder)
    files = sorted(path for path in folder.iterdir() if path.suffix in WEIGHT_SUFFIXES)
    if len(files) != 1:
        raise CheckpointDamaged(
            folder,
            f"{OPEN_CLIP_CONFIG}, {TRANSFORMERS_CONFIG} or one file of weights",
            f"{len(files)} files of weights and no configuration",
        )
    return _of_file(files[0])


def _of_file(path: Path) -> tuple[Weights, Told]:
    for config, names, read in _FOLDERS:
        if path.name in names and (path.parent / config).is_file():
            return read(path.parent)
    weights = read_weights(path)
    if not weights.tensors:
        raise CheckpointDamaged(path, EXPECTED, "a file without a tensor")
    if any(name.startswith(("vision_model.", "text_model.")) for name in weights.tensors):
        raise CheckpointDamaged(
            path, f"{TRANSFORMERS_CONFIG} beside weights with transformers' names", "no such file"
        )
    return weights, Told()
