"""What comes with an image in words: names, tags, captions, metadata, collections."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

import httpx
import pytest

from tests.app.asking import (
    ON_SQLITE,
    assert_problem,
    form_end,
    form_part,
    post_form,
    strict_json,
    upload,
)
from tests.pictures import picture_bytes

pytestmark = pytest.mark.anyio

# What is sent as the name, byte for byte, and what is stored of it.
NAMES: list[tuple[bytes, str]] = [
    (b"plain.png", "plain.png"),
    (b"../../etc/passwd", "passwd"),
    (b"..", "unnamed"),
    (b".", "unnamed"),
    (b"/", "unnamed"),
    (b"a/../..", "unnamed"),
    (b"C:\\\\Users\\\\me\\\\photo.png", "photo.png"),
    (b"   ", "unnamed"),
    (b"semi;colon.png", "semi;colon.png"),
    (b"per%0d%0acent.png", "per%0d%0acent.png"),
    (b"nul\0byte.png", "nul�byte.png"),
    (b"esc\x1b[31m.png", "esc�[31m.png"),
    (b"\xff\xfe\xe9.png", "���.png"),
    (b"half\xed\xa0\x80pair.png", "half���pair.png"),
    ("שלום עולם.png".encode(), "שלום עולם.png"),
    ("🦊 fox 日本.png".encode(), "🦊 fox 日本.png"),
    ("e\u0301te\u0301.png".encode(), "été.png"),
    ("line\u2028separator.png".encode(), "line�separator.png"),
]


@ON_SQLITE
async def test_any_file_name_is_stored_in_a_form_that_can_be_shown(
    client: httpx.AsyncClient,
) -> None:
    """A name never fails an upload, leads out of the store, or breaks a listing or a header."""
    for seed, (sent, stored) in enumerate(NAMES):
        part = form_part(
            b'form-data; name="file"; filename="' + sent + b'"', picture_bytes(seed=seed)
        )
        answer = await post_form(client, "/v1/images", part + form_end())
        assert answer.status_code == 201, (sent, answer.text)
        image = strict_json(answer)
        assert image["filename"] == stored, sent
        file = await client.get(image["urls"]["file"])
        assert file.status_code == 200
        disposition = file.headers["content-disposition"]
        assert disposition.startswith("inline; filename")
        assert disposition.isascii()
        assert disposition.isprintable()
    listed = strict_json(await client.get("/v1/images"))
    assert len(listed["items"]) == len(NAMES)


@ON_SQLITE
async def test_a_quoted_name_cannot_end_its_header(client: httpx.AsyncClient) -> None:
    """Quotes and line breaks in a name come back as data, never as another header."""
    sent = 'a"; filename="evil.html\r\nX-Evil: 1'
    # httpx escapes as browsers do: %22, %0D and %0A.
    image = await upload(client, name=sent)
    file = await client.get(image["urls"]["file"])
    assert "x-evil" not in file.headers
    assert file.headers["content-disposition"].count("filename") <= 2
    assert file.headers["content-type"] == "image/png"


@ON_SQLITE
@pytest.mark.parametrize("letter", ["x", "é", "語", "🦊"])
async def test_a_long_name_is_shortened_and_keeps_its_ending(
    client: httpx.AsyncClient, letter: str
) -> None:
    """Names of 300 characters are kept to what a file system would take."""
    image = await upload(client, name=letter * 300 + ".jpeg")
    assert len(image["filename"].encode()) <= 255
    assert image["filename"].endswith(".jpeg")
    assert image["filename"].startswith(letter)


WORDS: list[tuple[dict[str, Any], str]] = [
    ({"tags": ["a", "b\0"]}, "/tags/1"),
    ({"tags": ["x" * 101]}, "/tags/0"),
    ({"tags": [str(n) for n in range(101)]}, "/tags"),
    ({"caption": "a\0"}, "/caption"),
    ({"caption": "x" * 10_001}, "/caption"),
    ({"caption": ["one", "two"]}, "/caption"),
    ({"collection": "x" * 101}, "/collection"),
    ({"collection": "a\0"}, "/collection"),
    ({"metadata": "[]"}, "/metadata"),
    ({"metadata": "[1]"}, "/metadata"),
    ({"metadata": "0"}, "/metadata"),
    ({"metadata": '""'}, "/metadata"),
    ({"metadata": "false"}, "/metadata"),
    ({"metadata": "null"}, "/metadata"),
    ({"metadata": ""}, "/metadata"),
    ({"metadata": "{"}, "/metadata"),
    ({"metadata": "{'k': 1}"}, "/metadata"),
    ({"metadata": '{"k": NaN}'}, "/metadata/k"),
    ({"metadata": '{"k": -Infinity}'}, "/metadata/k"),
    ({"metadata": '{"k": 1e400}'}, "/metadata/k"),
    ({"metadata": '{"k": 9007199254740993}'}, "/metadata/k"),
    ({"metadata": '{"k": ' + "9" * 5_000 + "}"}, "/metadata"),
    ({"metadata": '{"k": [1, "\\u0000"]}'}, "/metadata/k/1"),
    ({"metadata": '{"\\u0000": 1}'}, "/metadata"),
    ({"metadata": '{"k": "\\ud800"}'}, "/metadata/k"),
    ({"metadata": '{"\\udfff": 1}'}, "/metadata"),
    ({"metadata": '{"a/b": {"~": NaN}}'}, "/metadata/a~1b/~0"),
    ({"metadata": '{"k":' * 20 + "1" + "}" * 20}, "/metadata" + "/k" * 16),
    ({"metadata": '{"k":' + "[" * 20_000 + "]" * 20_000 + "}"}, "/metadata"),
    ({"metadata": json.dumps({"k" * 201: 1})}, "/metadata"),
    ({"metadata": json.dumps({"k": "x" * 65_537})}, "/metadata/k"),
    ({"metadata": json.dumps({str(n): "x" * 1_000 for n in range(70)})}, "/metadata"),
]


async def test_words_that_cannot_be_stored_are_refused_with_their_place(
    client: httpx.AsyncClient,
) -> None:
    """One rule for every text on both databases, and nothing is stored of the image."""
    for fields, pointer in WORDS:
        answer = await client.post(
            "/v1/images", files={"file": ("a.png", picture_bytes())}, data=fields
        )
        problem = assert_problem(
            answer, 422, strict_json(answer)["type"].rpartition(":")[2], pointer
        )
        assert problem["type"].endswith((":invalid-request", ":text-rejected")), fields
    assert strict_json(await client.get("/v1/images"))["total"] == 0


@ON_SQLITE
@pytest.mark.parametrize("field", ["tags", "caption", "metadata", "collection"])
async def test_fields_that_are_no_utf8_are_refused(client: httpx.AsyncClient, field: str) -> None:
    """Bytes that are no text are not guessed at."""
    body = (
        form_part(b'form-data; name="file"; filename="a.png"', picture_bytes())
        + form_part(f'form-data; name="{field}"'.encode(), b"\xff\xfe")
        + form_end()
    )
    assert_problem(await post_form(client, "/v1/images", body), 422, "invalid-request", f"/{field}")


async def test_words_of_any_script_come_back_as_they_were(client: httpx.AsyncClient) -> None:
    """Text in any script, and every kind of JSON value, is the same after a round trip."""
    metadata = {
        "quote'\"\\": "' \" \\ %_",
        "": "no name",
        "日本": {"深": [1, 2.5, -0.001, 1e-300, True, False, None, "🦊"]},
        "big": 2**53,
        "small": -(2**53),
        "long": "x" * 30_000,
        "a.b": {"": []},
        "$.x[0]": {},
        "nl\n\t": "\r\n\x7f\x01",
    }
    caption = "שלום 👩‍👩‍👧 \u202eright\u202c <script>alert(1)</script>"
    tags = ["日本", "with, comma", "ÄÖ"]
    image = await upload(
        client, tags=tags, caption=caption, metadata=json.dumps(metadata), collection="  каталог "
    )
    read = strict_json(await client.get(f"/v1/images/{image['id']}"))
    assert read["metadata"] == metadata
    assert read["caption"] == caption
    assert read["tags"] == tags
    assert read["collection"] == "каталог"
    listed = await client.get("/v1/images", params={"collection": "каталог"})
    assert strict_json(listed)["total"] == 1


async def test_both_unicode_forms_are_one_name(client: httpx.AsyncClient) -> None:
    """What was stored in one form is found when it is asked for in the other."""
    decomposed = unicodedata.normalize("NFD", "Été à Zürich")
    composed = unicodedata.normalize("NFC", decomposed)
    await upload(
        client,
        tags=[decomposed],
        collection=decomposed,
        metadata=json.dumps({decomposed: decomposed}),
    )
    for form in (decomposed, composed):
        listed = await client.get("/v1/images", params={"collection": form})
        assert strict_json(listed)["total"] == 1
        found = await client.get("/v1/search", params={"text": "red", "collection": form})
        assert len(strict_json(found)["hits"]) == 1
        for leaf in (
            {"field": "tags", "op": "eq", "value": form},
            {"field": "collection", "op": "eq", "value": form},
            {"field": f"metadata.{form}", "op": "eq", "value": form},
            {"field": f"metadata.{form}", "op": "contains", "value": form[:3]},
        ):
            listed = await client.get("/v1/images", params={"filter": json.dumps(leaf)})
            assert strict_json(listed)["total"] == 1, leaf
