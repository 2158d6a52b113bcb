"""The stored bytes and their thumbnails: ranges, caching, and nothing that could run."""

from __future__ import annotations

import io
from pathlib import Path

import httpx
import pytest
from PIL import Image

from app.settings import Settings
from tests.app.asking import ON_SQLITE, assert_problem, upload
from tests.pictures import picture_bytes

pytestmark = [pytest.mark.anyio, ON_SQLITE]


def blob_path(settings: Settings, sha256: str) -> Path:
    """Where the store keeps the bytes with this digest."""
    return settings.data_dir / "blobs" / sha256[:2] / sha256[2:4] / sha256


def assert_never_runs(answer: httpx.Response) -> None:
    """Headers under which no browser takes the bytes for anything but a picture."""
    assert answer.headers["x-content-type-options"] == "nosniff"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "sandbox" in policy
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize(
    ("format", "media_type"),
    [
        ("PNG", "image/png"),
        ("JPEG", "image/jpeg"),
        ("WEBP", "image/webp"),
        ("GIF", "image/gif"),
        ("BMP", "image/bmp"),
        ("TIFF", "image/tiff"),
    ],
)
async def test_a_file_comes_back_byte_for_byte_under_its_true_type(
    client: httpx.AsyncClient, format: str, media_type: str
) -> None:
    """The type is that of the content, whatever the name was."""
    data = picture_bytes(format=format)
    image = await upload(client, data, name="page.html")
    file = await client.get(image["urls"]["file"])
    assert file.content == data
    assert file.headers["content-type"] == media_type
    assert_never_runs(file)


async def test_parts_of_a_file_can_be_asked_for(client: httpx.AsyncClient) -> None:
    """Ranges are answered by 206 with these very bytes, or 416 when there are none."""
    data = picture_bytes()
    path = (await upload(client, data))["urls"]["file"]
    size = len(data)
    for asked, start, end in [
        ("bytes=0-9", 0, 10),
        ("bytes=10-", 10, size),
        ("bytes=-7", size - 7, size),
        (f"bytes=5-{10 * size}", 5, size),
    ]:
        answer = await client.get(path, headers={"Range": asked})
        assert answer.status_code == 206, asked
        assert answer.content == data[start:end]
        assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{size}"
        assert_never_runs(answer)
    beyond = await client.get(path, headers={"Range": f"bytes={size}-"})
    assert beyond.status_code == 416
    assert beyond.json()["status"] == 416
    assert beyond.headers["content-range"] == f"bytes */{size}"
    for nonsense in ("bytes=abc", "lines=0-1", "bytes=9-1", "bytes=" + "0-0," * 2_000):
        answer = await client.get(path, headers={"Range": nonsense})
        assert answer.status_code in {200, 416}, nonsense


@pytest.mark.parametrize("what", ["file", "thumbnail"])
async def test_what_the_asker_has_is_not_sent_again(client: httpx.AsyncClient, what: str) -> None:
    """An entity tag that still holds is answered by 304 without a body."""
    path = (await upload(client))["urls"][what]
    full = await client.get(path)
    etag = full.headers["etag"]
    assert "immutable" in full.headers["cache-control"]
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        answer = await client.get(path, headers={"If-None-Match": known})
        assert answer.status_code == 304, known
        assert answer.content == b""
        assert answer.headers["etag"] == etag
    again = await client.get(path, headers={"If-None-Match": '"other"'})
    assert again.status_code == 200
    assert again.content == full.content


async def test_head_answers_as_get_without_the_content(client: httpx.AsyncClient) -> None:
    """Whoever only asks whether something is there, and how large it is, is told."""
    image = await upload(client)
    own = f"/v1/images/{image['id']}"
    for path in (own, *image["urls"].values(), "/", "/v1/images", "/livez", "/openapi.json"):
        got = await client.get(path)
        answer = await client.head(path, headers={"Range": "bytes=0-9"})
        assert (answer.status_code, answer.content) == (200, b""), path
        for name in ("content-type", "content-length", "etag", "content-security-policy"):
            assert answer.headers.get(name) == got.headers.get(name), (path, name)
    assert (await client.head("/v1/images/no-such")).status_code == 404
    assert (await client.head("/no/such")).status_code == 404
    assert (await client.head("/v1/images/batch")).status_code in {404, 405}


async def test_a_thumbnail_is_a_small_upright_webp(client: httpx.AsyncClient) -> None:
    """The longest side is at most the kept size that the asked one leads to, never enlarged."""
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by a quarter
    file = io.BytesIO()
    Image.new("RGB", (900, 450), (200, 10, 10)).save(file, "JPEG", exif=exif)
    image = await upload(client, file.getvalue())
    assert (image["width"], image["height"]) == (450, 900)
    for asked, longest in [(None, 320), (1, 160), (160, 160), (161, 320), (640, 640), (4096, 900)]:
        params = {} if asked is None else {"size": asked}
        answer = await client.get(image["urls"]["thumbnail"], params=params)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "image/webp"
        assert_never_runs(answer)
        with Image.open(io.BytesIO(answer.content)) as shown:
            assert shown.format == "WEBP"
            assert shown.size == (longest // 2, longest)


@pytest.mark.parametrize("size", ["0", "-1", "4097", "1e3", "big", "", "9" * 400])
async def test_a_size_that_makes_no_sense_is_refused(client: httpx.AsyncClient, size: str) -> None:
    """Sizes are whole numbers with a bound."""
    path = (await upload(client))["urls"]["thumbnail"]
    answer = await client.get(path, params={"size": size})
    assert_problem(answer, 422, "invalid-request", "/size")


async def test_a_thumbnail_that_is_gone_is_made_again(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    """Thumbnails are derived: losing them costs a decode and nothing else."""
    image = await upload(client)
    first = (await client.get(image["urls"]["thumbnail"])).content
    for path in (settings.data_dir / "thumbnails").rglob("*.320"):
        path.unlink()
    assert (await client.get(image["urls"]["thumbnail"])).content == first


async def test_a_missing_file_is_said_to_be_missing(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    """The image is still listed and searched; its bytes answer 410, and an upload heals it."""
    data = picture_bytes()
    image = await upload(client, data)
    blob_path(settings, image["sha256"]).unlink()
    assert_problem(await client.get(image["urls"]["file"]), 410, "file-missing")
    params = {"size": 640}
    assert_problem(await client.get(image["urls"]["thumbnail"], params=params), 410, "file-missing")
    assert (await client.get(f"/v1/images/{image['id']}")).status_code == 200
    assert (await client.get("/v1/search", params={"text": "red"})).status_code == 200
    healed = await upload(client, data)
    assert healed["id"] == image["id"]
    assert (await client.get(image["urls"]["file"])).content == data


async def test_no_path_of_a_problem_leaves_the_server(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    """Where the files lie is nobody's business."""
    image = await upload(client)
    blob_path(settings, image["sha256"]).unlink()
    answer = await client.get(image["urls"]["file"])
    assert str(settings.data_dir) not in answer.text
