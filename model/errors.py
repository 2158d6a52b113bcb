"""Everything the model layer raises on purpose.

ModelError
├── ImageError
│   ├── EmptyImage
│   ├── ImageTooLarge
│   ├── UnsupportedFormat
│   └── DamagedImage
├── TextError
│   ├── EmptyText
│   ├── TextOverContext
│   └── TextTooLong
├── LabelError
├── QueueFull
├── CheckpointError
│   ├── CheckpointNotFound
│   ├── CheckpointDamaged
│   ├── CheckpointUnsupported
│   ├── CheckpointMismatch
│   ├── ExtraMissing
│   ├── HubError
│   │   ├── HubModelNotFound
│   │   ├── HubAccessDenied
│   │   ├── HubModelUnusable
│   │   ├── HubUnreachable
│   │   ├── HubInterrupted
│   │   └── HubCacheUnusable
│   │       └── HubStorageFull
│   └── ProbeDamaged
└── TrainingError
    ├── PairsError
    └── NonFiniteLoss

Each class carries its facts as attributes, so that no caller reads a message to decide.
"""

from collections.abc import Sequence
from pathlib import Path


class ModelError(Exception):
    """Base of every error the model layer raises on purpose."""


class ImageError(ModelError):
    """The bytes cannot be turned into a picture."""


class EmptyImage(ImageError):
    """There were no bytes at all."""

    def __init__(self) -> None:
        super().__init__("The file is empty.")


class ImageTooLarge(ImageError):
    """The file or the picture in it is over a limit; nothing of it was decoded.

    Exactly one of `pixels` and `size_bytes` is set, and `limit` is in its unit. `setting` is the
    name of the setting that raises the limit.
    """

    def __init__(
        self, *, limit: int, setting: str, pixels: int | None = None, size_bytes: int | None = None
    ) -> None:
        assert (pixels is None) != (size_bytes is None)
        amount = f"{pixels:,} pixels" if pixels is not None else f"{size_bytes:,} bytes"
        super().__init__(
            f"The image has {amount}; at most {limit:,} are accepted (setting {setting})."
        )
        self.pixels = pixels
        self.size_bytes = size_bytes
        self.limit = limit
        self.setting = setting


class UnsupportedFormat(ImageError):
    """The bytes are not an image of a supported format.

    `format` is the recognised format's name or None; `hint` tells the reader what would help.
    """

    def __init__(self, format: str | None, hint: str = "") -> None:
        what = f"The format {format} is not supported." if format else "This is not a known image."
        super().__init__(f"{what} {hint}".rstrip())
        self.format = format
        self.hint = hint


class DamagedImage(ImageError):
    """The format is supported but the file is cut short, corrupt or inconsistent."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The image cannot be read: {reason}.")
        self.reason = reason


class TextError(ModelError):
    """The text cannot be embedded."""


class EmptyText(TextError):
    """The text has no visible character."""

    def __init__(self) -> None:
        super().__init__("The text is empty or blank.")


class TextOverContext(TextError):
    """The text would have to be cut to the model's context, and that is not wanted."""

    def __init__(self, context_length: int) -> None:
        super().__init__(
            f"The text has more tokens than the model's context length of {context_length}; "
            "shorten it, or have long texts cut (setting BEHOLDER_LONG_TEXTS)."
        )
        self.context_length = context_length


class TextTooLong(TextError):
    """The text is over the documented cap, far beyond what the model reads."""

    def __init__(self, characters: int, limit: int) -> None:
        super().__init__(f"The text has {characters:,} characters; at most {limit:,} are accepted.")
        self.characters = characters
        self.limit = limit


class LabelError(ModelError):
    """The labels or prompt templates of a classification make no sense; `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class QueueFull(ModelError):
    """More waits for the encoder than it gets to soon; try again in `retry_after_seconds`."""

    def __init__(self, waiting: int, retry_after_seconds: int) -> None:
        super().__init__(
            f"{waiting} pictures and texts wait for the model already; "
            f"try again in {retry_after_seconds} s."
        )
        self.waiting = waiting
        self.retry_after_seconds = retry_after_seconds


class CheckpointError(ModelError):
    """A weight file cannot be used; no part of it was loaded."""


class CheckpointNotFound(CheckpointError):
    """There is no such file; `path` is the absolute path that was tried."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"There is no model file at {path}.")
        self.path = path


class CheckpointDamaged(CheckpointError):
    """The file is cut short, altered, or no checkpoint of this program."""

    def __init__(self, path: Path, expected: str, found: str) -> None:
        super().__init__(f"{path} cannot be used: expected {expected}, found {found}.")
        self.path = path
        self.expected = expected
        self.found = found


class CheckpointUnsupported(CheckpointError):
    """The file is whole, but no architecture here computes what it holds."""

    def __init__(self, path: Path, expected: str, found: str) -> None:
        super().__init__(
            f"{path} holds no model of a known kind: expected {expected}, found {found}."
        )
        self.path = path
        self.expected = expected
        self.found = found


class CheckpointMismatch(CheckpointError):
    """The tensors are not those of the architecture; all their names are in the attributes.

    The names are those of the file, which `what` may name.
    """

    def __init__(
        self,
        missing: Sequence[str],
        unexpected: Sequence[str],
        misshapen: Sequence[str] = (),
        *,
        what: str = "The weights do not fit the architecture",
    ) -> None:
        parts = [
            f"{len(names)} {kind} (first: {names[0]})"
            for kind, names in (
                ("missing", missing),
                ("unexpected", unexpected),
                ("of another shape", misshapen),
            )
            if names
        ]
        super().__init__(f"{what}: {'; '.join(parts)}.")
        self.missing = tuple(missing)
        self.unexpected = tuple(unexpected)
        self.misshapen = tuple(misshapen)


class ExtraMissing(CheckpointError):
    """The model needs a library that is not installed; `extra` is the name that installs it."""

    def __init__(self, extra: str, reason: str) -> None:
        super().__init__(f"{reason}, which beholder's extra '{extra}' installs.")
        self.extra = extra


class ProbeDamaged(CheckpointError):
    """The bytes are not those of a probe that this program saved; `found` says what is wrong."""

    def __init__(self, found: str) -> None:
        super().__init__(f"The saved probe can't be used: {found}. Train it again.")
        self.found = found


class HubError(CheckpointError):
    """A model could not be fetched from the hub; `model` is its name."""

    def __init__(self, model: str, message: str) -> None:
        super().__init__(message)
        self.model = model


class HubModelNotFound(HubError):
    """There is no such model or revision of it; `reason` says more."""

    def __init__(self, model: str, reason: str) -> None:
        super().__init__(model, f"The hub has no model {model}: {reason}.")
        self.reason = reason


class HubAccessDenied(HubError):
    """The model is there, but not for the token given."""

    def __init__(self, model: str, reason: str) -> None:
        super().__init__(
            model,
            f"The hub does not give the model {model}: {reason}. A token that may read it is set "
            "with BEHOLDER_HUB_TOKEN.",
        )
        self.reason = reason


class HubModelUnusable(HubError):
    """What the hub has under the name is no model that can be read."""

    def __init__(self, model: str, reason: str) -> None:
        super().__init__(model, f"The model {model} can't be fetched: {reason}.")
        self.reason = reason


class HubUnreachable(HubError):
    """The hub does not answer or is not to be asked, and the model is not in the cache as a whole.

    `missing` names the files that the cache lacks, and is empty before anyone looked.
    """

    def __init__(self, model: str, reason: str, missing: Sequence[str], cache: Path | None) -> None:
        lacking = f" and {cache} lacks {' and '.join(missing)}" if missing else ""
        super().__init__(model, f"The hub does not give the model {model}: {reason}{lacking}.")
        self.reason = reason
        self.missing = tuple(missing)
        self.cache = cache


class HubInterrupted(HubError):
    """The download broke off after `done` of `total` bytes; files that were complete are kept."""

    def __init__(self, model: str, done: int, total: int) -> None:
        super().__init__(
            model,
            f"The download of {model} broke off after {done:,} of {total:,} bytes; "
            "run it again, and it goes on with what is missing.",
        )
        self.done = done
        self.total = total


class HubCacheUnusable(HubError):
    """The folder of downloaded models can't be written; `reason` is the system's."""

    def __init__(self, model: str, cache: Path, reason: str) -> None:
        super().__init__(model, f"{model} can't be stored in {cache}: {reason}.")
        self.cache = cache
        self.reason = reason


class HubStorageFull(HubCacheUnusable):
    """There is less room than the download needs, both in bytes."""

    def __init__(self, model: str, cache: Path, needed: int, free: int) -> None:
        super().__init__(model, cache, f"it needs {needed:,} bytes and {free:,} are free")
        self.needed = needed
        self.free = free


class TrainingError(ModelError):
    """Training cannot start or go on; checkpoints already written stay valid."""


class PairsError(TrainingError):
    """A table of pairs or labels cannot be read; `line` counts from 1, None for the whole file."""

    def __init__(self, path: Path, line: int | None, reason: str) -> None:
        where = f"{path}, line {line}" if line is not None else str(path)
        super().__init__(f"{where}: {reason}.")
        self.path = path
        self.line = line
        self.reason = reason


class NonFiniteLoss(TrainingError):
    """The loss became NaN or infinite at `step`; the last good checkpoint is kept."""

    def __init__(self, step: int, checkpoint: Path | None) -> None:
        kept = f"; the last good checkpoint is {checkpoint}" if checkpoint else ""
        super().__init__(f"The loss is not finite at step {step}{kept}.")
        self.step = step
        self.checkpoint = checkpoint
