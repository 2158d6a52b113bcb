"""Zip files of strangers: a hostile entry is refused by name, the rest can be used."""

from __future__ import annotations

import hashlib
import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from index import BlobStore
from index.archives import DIRECTORY_BYTES, Archive, is_archive
from index.errors import ArchiveError, RetrievalError

GOOD = {"good.png": b"good", "sub/other.png": b"other"}


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Archive]:
    """An archive of the good files and one more entry."""

    def made(name: str | zipfile.ZipInfo | None = None, content: bytes = b"x") -> Archive:
        path = tmp_path / "a.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as writer:
            for good, data in GOOD.items():
                writer.writestr(good, data)
            if name is not None:
                writer.writestr(
                    name, content, None if isinstance(name, str) else zipfile.ZIP_DEFLATED
                )
        return Archive(path)

    return made


def an_entry(name: str, mode: int) -> zipfile.ZipInfo:
    """An entry of this file mode."""
    entry = zipfile.ZipInfo(name)
    entry.external_attr = mode << 16
    return entry


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("../out.png", b"x", "leads out"),
        ("a/../../out.png", b"x", "leads out"),
        ("..\\out.png", b"x", "leads out"),
        ("../", b"", "leads out"),
        ("/etc/passwd", b"x", "absolute"),
        ("C:\\out.png", b"x", "absolute"),
        ("\\\\server\\out.png", b"x", "absolute"),
        ("new\nline.png", b"x", "character"),
        ("inner.zip", b"PK\x03\x04", "inside"),
        ("inner.tar.gz", b"x", "inside"),
        ("bomb.png", bytes(2_000_000), "far more"),
        (an_entry("link.png", stat.S_IFLNK | 0o777), b"/etc/passwd", "link"),
        (an_entry("pipe.png", stat.S_IFIFO | 0o644), b"", "regular"),
        (an_entry("device.png", stat.S_IFCHR | 0o644), b"", "regular"),
    ],
)
def test_a_hostile_entry_is_refused_and_the_rest_can_be_used(
    make: Callable[..., Archive], name: str | zipfile.ZipInfo, content: bytes, reason: str
) -> None:
    """By its name in the archive, with a reason."""
    with make(name, content) as archive:
        assert archive.names == list(GOOD)
        (refused,) = archive.refused
        assert reason in refused.reason
        for good, data in GOOD.items():
            with archive.open(good) as entry:
                assert entry.read() == data


def test_what_systems_leave_beside_pictures_is_passed_by(make: Callable[..., Archive]) -> None:
    """Neither used nor reported."""
    for name in ("__MACOSX/._good.png", ".DS_Store", "sub/Thumbs.db", "folder/"):
        with make(name, b"") as archive:
            assert (archive.names, archive.refused) == (list(GOOD), [])


def test_an_entry_is_copied_under_a_cap_with_its_digest(
    make: Callable[..., Archive], tmp_path: Path
) -> None:
    """One byte over the cap shows that there is more; the file lies where uploads lie."""
    blobs = BlobStore(tmp_path / "data")
    with make() as archive:
        whole = archive.copy_out("sub/other.png", blobs, max_bytes=100, collection="c")
        assert whole.path.read_bytes() == b"other"
        assert whole.sha256 == hashlib.sha256(b"other").hexdigest()
        assert (whole.filename, whole.collection, whole.size_bytes) == ("other.png", "c", 5)
        cut = archive.copy_out("sub/other.png", blobs, max_bytes=3, collection="c")
        assert cut.size_bytes == 4


def test_a_damaged_entry_raises_and_leaves_nothing(
    make: Callable[..., Archive], tmp_path: Path
) -> None:
    """A flipped byte is found by the checksum."""
    make("c.png", b"some more bytes that are long enough").close()
    path = tmp_path / "a.zip"
    content = bytearray(path.read_bytes())
    content[content.index(b"c.png") + 12] ^= 0xFF
    path.write_bytes(content)
    blobs = BlobStore(tmp_path / "data")
    with Archive(path) as archive:
        with pytest.raises(ArchiveError):
            archive.copy_out("c.png", blobs, max_bytes=100, collection="c")
        assert list((tmp_path / "data" / "incoming").iterdir()) == []
        archive.copy_out("good.png", blobs, max_bytes=100, collection="c")


def test_a_file_is_found_by_path_by_folder_or_by_its_last_name(
    make: Callable[..., Archive],
) -> None:
    """Names of either system, in either Unicode form; a name that two have means neither."""
    with make("café.png") as archive:
        assert archive.find("sub/other.png") == "sub/other.png"
        assert archive.find("sub\\other.png") == "sub/other.png"
        assert archive.find("./good.png") == "good.png"
        assert archive.find("other.png", "sub") == "sub/other.png"
        assert archive.find("other.png") == "sub/other.png"
        assert archive.find("cafe\u0301.png") == "café.png"
        assert archive.find("elsewhere/other.png") is None
        assert archive.find("../good.png") is None
    with make("third/other.png") as archive:
        assert archive.find("other.png") is None


def test_the_same_name_twice_counts_once(make: Callable[..., Archive]) -> None:
    """The first is used, the second reported."""
    with pytest.warns(UserWarning, match="Duplicate"):
        archive = make("good.png", b"again")
    with archive, archive.open("good.png") as entry:
        assert entry.read() == b"good"
        assert [one.reason for one in archive.refused] == ["another entry has the same name"]


def test_entries_that_share_bytes_are_refused(tmp_path: Path) -> None:
    """A bomb that unpacks the same bytes again and again (Fifield, 2019)."""
    packed = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = packed.compress(b"picture " * 50) + packed.flush()
    local = b"PK\x03\x04" + struct.pack(
        "<HHHHHIIIHH", 20, 0, 8, 0, 0, zlib.crc32(b"picture " * 50), len(body), 400, 5, 0
    )
    content = local + b"a.png" + body
    directory = b"".join(
        b"PK\x01\x02"
        + struct.pack("<HHHHHHIIIHHHHHII", 20, 20, 0, 8, 0, 0, 0, len(body), 400, 5, *[0] * 6)
        + name
        for name in (b"a.png", b"b.png", b"c.png")
    )
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 3, 3, len(directory), len(content), 0)
    path = tmp_path / "a.zip"
    path.write_bytes(content + directory + end)
    with Archive(path) as archive:
        assert archive.names == ["a.png"]
        assert {one.reason for one in archive.refused} == {"it shares bytes with another entry"}


def test_a_list_of_entries_that_is_too_long_is_not_read(tmp_path: Path) -> None:
    """However many the archive claims, no more than some megabytes are held."""
    name = b"a" * 60_000
    one = b"PK\x01\x02" + struct.pack("<HHHHHHIIIHHHHHII", *[20] * 2, *[0] * 7, len(name), *[0] * 6)
    count = DIRECTORY_BYTES // len(name) + 1
    directory = (one + name) * count
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, count, count, len(directory), 0, 0)
    path = tmp_path / "a.zip"
    path.write_bytes(directory + end)
    with pytest.raises(ArchiveError, match="too many entries"):
        Archive(path)


def test_other_methods_than_deflate_are_refused(tmp_path: Path) -> None:
    """LZMA's dictionary takes as much memory as the archive says."""
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as writer:
        writer.writestr("a.png", b"x" * 100)
    with Archive(path) as archive:
        assert archive.names == []
        assert "method" in archive.refused[0].reason


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04",
        b"PK\x05\x06" + bytes(17),
        b"no zip at all",
        b"PK\x03\x04" + bytes(100) + b"PK\x05\x06" + b"\xff" * 18,
    ],
)
def test_what_is_no_zip_file_is_refused(tmp_path: Path, content: bytes) -> None:
    """With one error, and the file closed."""
    path = tmp_path / "a.zip"
    path.write_bytes(content)
    with pytest.raises(ArchiveError):
        Archive(path)


def test_a_zip_file_is_known_by_its_first_bytes(tmp_path: Path) -> None:
    """A table that is named .zip is a table."""
    path = tmp_path / "a.zip"
    path.write_bytes(b"image\ttext\n")
    assert not is_archive(path)
    with zipfile.ZipFile(path, "w"):
        pass
    assert is_archive(path)


def _a_zip() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as writer:
        for name, data in GOOD.items():
            writer.writestr(name, data)
    return content.getvalue()


A_ZIP = _a_zip()


@given(st.lists(st.tuples(st.integers(0, len(A_ZIP) - 1), st.integers(1, 255)), max_size=6))
def test_no_flipped_byte_ends_in_anything_but_our_errors(
    tmp_path_factory: pytest.TempPathFactory, flips: list[tuple[int, int]]
) -> None:
    """Wherever it is: in names, sizes, the list of entries or the pictures."""
    content = bytearray(A_ZIP)
    for place, mask in flips:
        content[place] ^= mask
    folder = tmp_path_factory.mktemp("zip")
    path = folder / "a.zip"
    path.write_bytes(content)
    blobs = BlobStore(folder / "data")
    try:
        with Archive(path) as archive:
            for name in archive.names:
                try:
                    archive.copy_out(name, blobs, max_bytes=1_000, collection="c")
                except RetrievalError:
                    continue
    except ArchiveError:
        pass
