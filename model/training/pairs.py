"""Tables of images with captions or labels, and folders of photos without either.

A table is tab-separated UTF-8 with a header row that names at least `image` and either `caption`
or `label`. An image is a path relative to the folder `images` beside the table where there is one,
else to the table's own folder. Quotes have no meaning; a row is a line.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from model.errors import PairsError

_HELD_OUT_ONE_IN = 7
_IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})


@dataclass(frozen=True, slots=True)
class CaptionedPhoto:
    """One image with every caption the table gives it, in the table's order."""

    path: Path
    captions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LabelledPhoto:
    """One image with its label."""

    path: Path
    label: str


def read_pairs(table: Path) -> list[CaptionedPhoto]:
    """The images of a table with the columns `image` and `caption`, each once.

    Raises PairsError that names the line.
    """
    captions: dict[Path, list[str]] = {}
    for line, row in _rows(table, ("image", "caption")):
        if not row["caption"].strip():
            raise PairsError(table, line, "the caption is blank")
        captions.setdefault(_image(table, line, row["image"]), []).append(row["caption"].strip())
    return [CaptionedPhoto(path, tuple(texts)) for path, texts in captions.items()]


def read_labels(table: Path, split: str | None = None) -> list[LabelledPhoto]:
    """The rows of a table with the columns `image` and `label`; of one `split` if one is given.

    Raises PairsError that names the line.
    """
    columns = ("image", "label") if split is None else ("image", "label", "split")
    return [
        LabelledPhoto(_image(table, line, row["image"]), row["label"].strip())
        for line, row in _rows(table, columns)
        if split is None or row["split"] == split
    ]


def read_split(table: Path) -> tuple[list[CaptionedPhoto], list[CaptionedPhoto]]:
    """The training and the held-out photos of a table with captions or labels as texts.

    A column `split` says which are which: `train`, anything else is held out. Without one, about
    one in seven is held out, by the name of its file. Raises PairsError.
    """
    texts: dict[Path, list[str]] = {}
    held_out: dict[Path, bool] = {}
    for line, row in _rows(table, ("image",)):
        text = row.get("caption", row.get("label", "")).strip()
        if not text:
            raise PairsError(table, line, "there is neither a caption nor a label")
        path = _image(table, line, row["image"])
        texts.setdefault(path, []).append(text)
        split = row.get("split")
        held_out[path] = split != "train" if split is not None else _is_held_out(path)
    photos = [CaptionedPhoto(path, tuple(own)) for path, own in texts.items()]
    return (
        [photo for photo in photos if not held_out[photo.path]],
        [photo for photo in photos if held_out[photo.path]],
    )


def read_photos(source: Path) -> list[Path]:
    """Photos to learn from without captions: those of a folder's tree, or a table's images.

    Of a table with a column `split` only the rows `train` count. Raises PairsError.
    """
    if source.is_dir():
        found = sorted(path for path in source.rglob("*") if path.suffix.lower() in _IMAGE_SUFFIXES)
        if not found:
            raise PairsError(source, None, "the folder holds no image")
        return found
    return list(
        dict.fromkeys(
            _image(source, line, row["image"])
            for line, row in _rows(source, ("image",))
            if row.get("split", "train") == "train"
        )
    )


def _rows(table: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        lines = table.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise PairsError(table, None, f"not readable as UTF-8 text ({error})") from error
    header = lines[0].split("\t") if lines else []
    missing = [column for column in columns if column not in header]
    if missing:
        raise PairsError(table, 1, f"the header lacks the column {missing[0]!r}")
    if len(lines) == 1:
        raise PairsError(table, None, "the table has no rows")
    for number, line in enumerate(lines[1:], start=2):
        cells = line.split("\t")
        if len(cells) != len(header):
            raise PairsError(table, number, f"{len(cells)} cells where {len(header)} are named")
        yield number, dict(zip(header, cells, strict=True))


def _image(table: Path, line: int, name: str) -> Path:
    beside = table.parent / "images"
    path = (beside if beside.is_dir() else table.parent) / name
    if not path.is_file():
        raise PairsError(table, line, f"there is no image {path}")
    return path


def _is_held_out(path: Path) -> bool:
    return hashlib.sha256(path.name.encode()).digest()[0] % _HELD_OUT_ONE_IN == 0
