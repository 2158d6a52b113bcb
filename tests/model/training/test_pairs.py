"""Tables of pairs and labels, and folders of photos."""

from pathlib import Path

import pytest

from model.errors import PairsError
from model.training.pairs import read_labels, read_pairs, read_photos


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images in the folder `images`."""
    (tmp_path / "images").mkdir()
    for name in ("one.jpg", "two.jpg"):
        (tmp_path / "images" / name).touch()
    return tmp_path


def table(folder: Path, *lines: str) -> Path:
    """A table of these lines, with blanks between cells where a tab belongs."""
    path = folder / "table.tsv"
    path.write_text("\n".join(line.replace("|", "\t") for line in lines) + "\n", encoding="utf-8")
    return path


def test_captions_are_gathered_by_image(folder: Path) -> None:
    """Rows may come in any order; quotes and blanks inside a caption stay."""
    one, two = read_pairs(
        table(folder, "image|caption", 'one.jpg|a "red" car', "two.jpg|a dog ", "one.jpg|a car")
    )
    assert one.path == folder / "images" / "one.jpg"
    assert one.captions == ('a "red" car', "a car")
    assert two.captions == ("a dog",)


def test_labels_can_be_read_by_split(folder: Path) -> None:
    """Only rows of the split asked for count."""
    path = table(folder, "image|split|label", "one.jpg|train|hat", "two.jpg|validation|shoe")
    assert [photo.label for photo in read_labels(path)] == ["hat", "shoe"]
    assert [photo.label for photo in read_labels(path, "validation")] == ["shoe"]


def test_photos_of_a_table_leave_other_splits_out(folder: Path) -> None:
    """Validation rows are never learnt from, and an image counts once."""
    path = table(folder, "image|split", "one.jpg|train", "one.jpg|train", "two.jpg|validation")
    assert read_photos(path) == [folder / "images" / "one.jpg"]


def test_photos_of_a_folder_are_found_in_its_tree(folder: Path) -> None:
    """Folders need no table; other files in them are passed over."""
    (folder / "notes.txt").touch()
    assert [path.name for path in read_photos(folder)] == ["one.jpg", "two.jpg"]


@pytest.mark.parametrize(
    ("lines", "line", "reason"),
    [
        (["image|text", "one.jpg|x"], 1, "lacks the column 'caption'"),
        (["image|caption"], None, "has no rows"),
        (["image|caption", "one.jpg|a car", "two.jpg"], 3, "1 cells where 2 are named"),
        (["image|caption", "one.jpg|  "], 2, "the caption is blank"),
        (["image|caption", "three.jpg|a car"], 2, "there is no image"),
    ],
)
def test_a_bad_table_is_refused_by_line(
    folder: Path, lines: list[str], line: int | None, reason: str
) -> None:
    """The error names the table, the line and what is wrong with it."""
    with pytest.raises(PairsError, match=reason) as raised:
        read_pairs(table(folder, *lines))
    assert raised.value.line == line


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """A missing file, bytes that are no text and an empty folder are errors, not crashes."""
    (tmp_path / "noise.tsv").write_bytes(b"\xff\xfe\x00\x81")
    for source in (tmp_path / "none.tsv", tmp_path / "noise.tsv"):
        with pytest.raises(PairsError):
            read_pairs(source)
    with pytest.raises(PairsError, match="no image"):
        read_photos(tmp_path)
