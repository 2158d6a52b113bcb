"""`beholder classify` and `beholder probe`: tables and JSON, files of labels, exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli import cli
from app.label_files import read_labels
from model import LabelError
from tests.model import tiny
from tests.pictures import picture_bytes

# What the tiny model's vocabulary has.
LABELS = "dog,cat,beach"


def invoke(*arguments: str) -> tuple[int, str, str]:
    """Status, standard output and standard error of a command in this process."""
    result = CliRunner().invoke(cli, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder of its own, and a model that loads in no time."""
    tiny.write(tmp_path / "tiny.safetensors")
    monkeypatch.setenv("BEHOLDER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("BEHOLDER_MODEL", str(tmp_path / "tiny.safetensors"))
    monkeypatch.setenv("BEHOLDER_THREADS", "1")
    return tmp_path / "data"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with pictures, a note and a hidden file."""
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    (folder / "red.png").write_bytes(picture_bytes())
    (folder / "deep" / "line\nbreak [bold].png").write_bytes(picture_bytes((0, 0, 255)))
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.png").write_bytes(picture_bytes())
    return folder


def test_folders_of_pictures_are_classified(data_dir: Path, photos: Path) -> None:
    """Each picture of the tree, best label first; what is no picture is passed by."""
    status, shown, problem = invoke("classify", str(photos), "--labels", LABELS, "--json")
    assert status == 0, problem
    found = json.loads(shown)
    assert [Path(one["picture"]).name for one in found] == ["red.png", "line\nbreak [bold].png"]
    for one in found:
        assert {prediction["label"] for prediction in one["predictions"]} == set(LABELS.split(","))
        probabilities = [prediction["probability"] for prediction in one["predictions"]]
        assert sum(probabilities) == pytest.approx(1)
        assert probabilities == sorted(probabilities, reverse=True)
        assert one["none_of_these"] is None
    status, shown, _ = invoke("classify", str(photos / "red.png"), "--labels", LABELS, "--top", "1")
    assert status == 0
    assert "red.png" in shown.replace("\n", "")
    assert found[0]["predictions"][0]["label"] in shown
    assert found[0]["predictions"][1]["label"] not in shown


def test_what_is_none_of_the_labels_is_told(data_dir: Path, photos: Path) -> None:
    """With a threshold above every fit nothing is any of them, with 0 everything is."""
    question = ("classify", str(photos / "red.png"), "--labels", LABELS)
    status, shown, _ = invoke(*question, "--threshold", "0", "--json")
    (one,) = json.loads(shown)
    assert (status, one["none_of_these"]) == (0, False)
    assert 0 < one["fit"] < 1
    status, shown, _ = invoke(*question, "--threshold", "1")
    assert status == 0
    assert "none of these" in shown.replace("\n", " ")
    (one,) = json.loads(invoke(*question, "--threshold", "auto", "--json")[1])
    assert one["none_of_these"] == (one["fit"] < 0.95)


def test_pictures_that_cannot_be_read_are_named_and_end_with_one(
    data_dir: Path, photos: Path
) -> None:
    """The good ones are answered all the same."""
    (photos / "cut.png").write_bytes(picture_bytes()[:300])
    status, shown, problem = invoke("classify", str(photos), "--labels", LABELS, "--json")
    assert status == 1
    assert len(json.loads(shown)) == 2
    (line,) = [line for line in problem.splitlines() if line.startswith("refused")]
    assert "cut.png" in line
    status, shown, problem = invoke("classify", str(photos / "notes.txt"), "--labels", LABELS)
    assert (status, shown) == (1, "")
    assert "notes.txt" in problem
    (photos / "empty").mkdir()
    status, shown, problem = invoke("classify", str(photos / "empty"), "--labels", LABELS)
    assert (status, shown) == (1, "")
    assert "There is no picture." in problem


def test_labels_come_from_a_file(data_dir: Path, photos: Path, tmp_path: Path) -> None:
    """A mark, any newline; blank lines and duplicates are told with their numbers."""
    labels = tmp_path / "labels.txt"
    labels.write_bytes("\ufeffdog\r\n\r\n  cat \rDOG\n".encode())
    question = ("classify", str(photos / "red.png"), "--labels", str(labels))
    status, shown, problem = invoke(*question, "--json")
    assert status == 0
    (one,) = json.loads(shown)
    assert {prediction["label"] for prediction in one["predictions"]} == {"dog", "cat"}
    told = [line for line in problem.splitlines() if line.startswith("passed by")]
    assert len(told) == 2
    assert "line 2: it is blank" in told[0]
    assert "line 4: 'DOG' stands in line 1 too" in told[1]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_a_file_of_labels_may_be_written_anywhere(
    tmp_path: Path, encoding: str, newline: str
) -> None:
    """Encodings with a mark and UTF-8 without; a separator inside a line is no newline."""
    path = tmp_path / "labels"
    labels = ("外套", "rain\u2028coat", "cafe\u0301")
    path.write_bytes(newline.join([*labels, ""]).encode(encoding))
    found = read_labels(path)
    assert found.labels == labels
    assert found.passed_by == ()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "has no label"),
        (b" \n\n", "has no label"),
        (b"dog\n\xff\xfec\n", "not UTF-8 in line 2"),
        (b"dog\0cat", r"U\+0000"),
        (b"\xff\xfed", "not UTF-16"),
    ],
)
def test_a_file_that_holds_no_labels_is_refused(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    """The error says what is wrong and where."""
    path = tmp_path / "labels"
    path.write_bytes(content)
    with pytest.raises(LabelError, match=reason):
        read_labels(path)


@pytest.mark.parametrize(
    "arguments",
    [
        ["PICTURE"],
        ["PICTURE", "--labels", "a,b", "--probe", "p"],
        ["PICTURE", "--labels", ""],
        ["PICTURE", "--labels", "a,,b"],
        ["PICTURE", "--labels", "a,b,A"],
        ["PICTURE", "--labels", "/no/such/labels.txt"],
        ["PICTURE", "--labels", "labels.txt"],
        ["PICTURE", "--labels", "a,b", "--templates", "prodcuts"],
        ["PICTURE", "--probe", "p", "--templates", "art"],
        ["PICTURE", "--labels", "a,b", "--threshold", "often"],
        ["PICTURE", "--labels", "a,b", "--threshold", "nan"],
        ["PICTURE", "--labels", "a,b", "--threshold", "1.5"],
        ["PICTURE", "--labels", "a,b", "--top", "0"],
        ["/no/such/picture.png", "--labels", "a,b"],
        ["--labels", "a,b"],
    ],
)
def test_a_question_that_makes_no_sense_ends_with_two(
    data_dir: Path, photos: Path, arguments: list[str]
) -> None:
    """Nothing is opened for it."""
    named = [str(photos / "red.png") if one == "PICTURE" else one for one in arguments]
    status, shown, problem = invoke("classify", *named)
    assert (status, shown) == (2, "")
    assert "Traceback" not in problem
    assert not data_dir.exists()


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A table of labelled pictures, one of them broken and one with two labels."""
    folder = tmp_path / "images"
    folder.mkdir()
    lines = ["image\tlabel\tsplit"]
    for number in range(12):
        for name, colour in (("warm", (255, 40, 0)), ("cold", (0, 40, 255))):
            (folder / f"{name}{number}.png").write_bytes(picture_bytes(colour, seed=number))
            split = "validation" if number % 4 == 0 else "train"
            lines.append(f"{name}{number}.png\t{name}\t{split}")
    (folder / "cut.png").write_bytes(picture_bytes()[:200])
    (folder / "both.png").write_bytes(picture_bytes())
    lines += ["cut.png\twarm\ttrain", "both.png\twarm\ttrain", "both.png\tcold\ttrain"]
    path = tmp_path / "labels.tsv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_probe_is_trained_on_a_table_used_listed_and_removed(
    data_dir: Path, table: Path, tmp_path: Path
) -> None:
    """What can't be learned from is named; JSON is JSON only."""
    status, shown, problem = invoke(
        "probe", "train", "heat", "--table", str(table), "--shots", "5", "--json"
    )
    assert status == 0, problem
    made = json.loads(shown)
    assert [one["label"] for one in made["labels"]] == ["cold", "warm"]
    assert made["held_out"] == 6
    refused = [line for line in problem.splitlines() if line.startswith("refused")]
    assert any("both.png" in line and "several labels" in line for line in refused)
    status, shown, _ = invoke("probe", "list")
    assert status == 0
    assert shown.startswith("heat  2 labels")
    assert shown.strip().endswith("usable")
    (listed,) = json.loads(invoke("probe", "list", "--json")[1])
    assert listed["details"]["shots"] == 5
    picture = tmp_path / "images" / "warm1.png"
    status, shown, problem = invoke("classify", str(picture), "--probe", "heat", "--json")
    assert status == 0, problem
    assert json.loads(shown)[0]["probe"] == "heat"
    assert invoke("probe", "remove", "heat")[0] == 0
    for command in (
        ("probe", "remove", "heat"),
        ("classify", str(picture), "--probe", "heat"),
        ("probe", "train", "a/b", "--table", str(table)),
        ("probe", "train", "heat"),
    ):
        status, shown, problem = invoke(*command)
        assert (status, shown) == (1, ""), command
        assert problem.strip().splitlines()[-1].startswith("beholder: ")
    for command in (
        ("probe", "train", "heat", "--table", "/no/such/table.tsv"),
        ("probe", "train", "heat", "--table", str(table), "--collection", "default"),
        ("probe", "train", "heat", "--shots", "0"),
        ("probe", "train"),
    ):
        assert invoke(*command)[0] == 2, command
