"""The flow of `make demo`, with real services and the small encoder."""

import io
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from app.demo.photos import SAMPLE_PHOTOS
from app.demo.run import NothingToShow, Questions, run_demo
from app.services import Services


@pytest.fixture
def console() -> Console:
    """A wide console that keeps what is printed."""
    return Console(file=io.StringIO(), width=200)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures of one colour each, and a file that is none."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for colour in ("red", "green", "blue"):
        Image.new("RGB", (40, 30), colour).save(folder / f"{colour}.png")
    (folder / "notes.txt").write_text("not a picture")
    return folder


def printed(console: Console) -> str:
    """All that the console was given so far."""
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def rows(text: str) -> list[str]:
    """File names in the tables' rows, in order."""
    return [line.split("│")[2].strip() for line in text.splitlines() if line.startswith("│")]


def test_ones_own_photos_are_loaded_and_both_questions_answered(
    services: Services, console: Console, folder: Path
) -> None:
    """The sentence finds its colour first, the picture leaves itself out."""
    run_demo(services, Questions("red", picture="blue.png"), photos=folder, console=console)
    text = printed(console)
    assert "3 new, 0 already there, 1 refused" in text
    assert "notes.txt" in text
    found = rows(text)
    assert found[0] == "red.png"
    assert sorted(found[:3]) == ["blue.png", "green.png", "red.png"]
    assert sorted(found[3:]) == ["green.png", "red.png"]


def test_a_second_run_adds_nothing(services: Services, console: Console, folder: Path) -> None:
    """Photographs that are there are skipped, and the questions are answered again."""
    for _ in range(2):
        run_demo(services, Questions("red"), photos=folder, console=console)
    assert "0 new, 3 already there" in printed(console)
    assert services.library.count() == 3


def test_samples_carry_title_licence_and_credit(services: Services, console: Console) -> None:
    """Whoever opens a sample in the page reads what it is and whose."""
    run_demo(services, Questions("red"), console=console)
    images = services.library.page(limit=100, cursor=None, where=None).images
    titles = {Path(sample.path).name: sample.title for sample in SAMPLE_PHOTOS}
    assert images
    assert {image.filename: image.caption for image in images}.items() <= titles.items()
    assert all({"licence", "credit", "package"} <= image.metadata.keys() for image in images)


@pytest.mark.parametrize("name", ["empty", "missing"])
def test_a_folder_without_pictures_is_one_clear_error(
    services: Services, console: Console, tmp_path: Path, name: str
) -> None:
    """Nothing is asked of an empty store, and the message names the folder."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(NothingToShow, match=name):
        run_demo(services, Questions("red"), photos=tmp_path / name, console=console)


def test_brackets_in_file_names_are_shown_as_they_are(
    services: Services, console: Console, folder: Path
) -> None:
    """A name is text, never markup."""
    (folder / "red.png").rename(folder / "[bold]red[!].png")
    run_demo(services, Questions("[red] red"), photos=folder, console=console)
    assert rows(printed(console))[0] == "[bold]red[!].png"
    assert "“[red] red”" in printed(console)
