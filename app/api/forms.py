"""Multipart forms, streamed: files go to the store's volume while their SHA-256 is taken.

FastAPI's own parsing would write every file to the system's temporary folder, of any size, before
a handler sees the first byte; here the caps hold while the bytes arrive (RFC 7578).
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from app.api import body_caps
from app.errors import FieldInvalid, MalformedForm, RequestTooLarge
from index import BlobStore, member_pointer, stored_errors

FIELD_BYTES = 100_000
# All texts of a form together: they are kept in memory.
FIELDS_BYTES = 1_000_000
PARTS_ALLOWED = 10_000
FEED_BYTES = 1 << 18


@dataclass(frozen=True, slots=True)
class ReceivedFile:
    """A file of the form, complete on disk; `is_too_large` files were cut and are kept nowhere."""

    path: Path
    filename: str
    sha256: str
    size_bytes: int
    is_too_large: bool


@dataclass(slots=True)
class ReceivedForm:
    """The files in the order sent, and the values of each other field."""

    files: list[ReceivedFile] = field(default_factory=list)
    fields: dict[str, list[str]] = field(default_factory=dict)

    def one(self, name: str) -> str | None:
        """The value of a field that may be given once. Raises FieldInvalid."""
        values = self.fields.get(name, [])
        if len(values) > 1:
            raise FieldInvalid(member_pointer("", name), "give it once")
        return values[0] if values else None


@dataclass(frozen=True, slots=True)
class FormRules:
    """What a form may hold. With `is_batch`, a file over the cap is marked and the rest goes on."""

    file_field: str
    text_fields: frozenset[str]
    max_file_bytes: int
    max_request_bytes: int
    max_files: int
    is_batch: bool = False


@asynccontextmanager
async def received_form(
    request: Request,
    blobs: BlobStore,
    rules: FormRules,
    run: Callable[[Callable[[bytes], None], bytes], Awaitable[None]],
) -> AsyncIterator[ReceivedForm]:
    """The form of a request; its files are removed at the end unless somebody moved them.

    `run` runs a function with its argument off the event loop.

    Raises MalformedForm, FieldInvalid, RequestTooLarge, StorageError.
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise MalformedForm("send multipart/form-data with a boundary")
    allowed = rules.max_request_bytes
    if not rules.is_batch:
        allowed = min(allowed, rules.max_file_bytes + (1 << 20))
    if body_caps.announces_more(request.headers, allowed):
        raise _too_large(rules)
    body_caps.allow(request.scope, allowed)
    try:
        receiver = _Receiver(options[b"boundary"], blobs, rules)
    except FormParserError as error:
        raise MalformedForm(str(error).rstrip(".")) from error
    try:
        await _read(request, receiver, allowed, rules, run)
        yield receiver.form
    finally:
        receiver.close()


async def _read(
    request: Request,
    receiver: _Receiver,
    allowed: int,
    rules: FormRules,
    run: Callable[[Callable[[bytes], None], bytes], Awaitable[None]],
) -> None:
    received = 0
    waiting = bytearray()
    try:
        async for chunk in request.stream():
            received += len(chunk)
            if received > allowed:
                raise _too_large(rules)
            waiting += chunk
            if len(waiting) >= FEED_BYTES:
                await run(receiver.feed, bytes(waiting))
                waiting.clear()
    except ClientDisconnect as error:
        raise MalformedForm("the connection ended before the form did") from error
    await run(receiver.feed, bytes(waiting))
    receiver.finish()


def _too_large(rules: FormRules) -> RequestTooLarge:
    if rules.is_batch:
        return RequestTooLarge(rules.max_request_bytes, "BEHOLDER_MAX_REQUEST_BYTES")
    return RequestTooLarge(rules.max_file_bytes, "BEHOLDER_MAX_BYTES")


class _Receiver:
    """The parser's callbacks: what part we are in, and where its bytes go."""

    def __init__(self, boundary: bytes, blobs: BlobStore, rules: FormRules) -> None:
        self.form = ReceivedForm()
        self._blobs = blobs
        self._rules = rules
        self._paths: list[Path] = []
        self._parts = 0
        self._is_ended = False
        self._header_name = b""
        self._header_value = b""
        self._headers: dict[bytes, bytes] = {}
        self._name = ""
        self._filename: str | None = None
        self._text = bytearray()
        self._text_bytes = 0
        self._file: BinaryIO | None = None
        self._size = 0
        self._seen = hashlib.sha256()
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._on_part_begin,
                "on_header_field": self._on_header_field,
                "on_header_value": self._on_header_value,
                "on_header_end": self._on_header_end,
                "on_headers_finished": self._on_headers_finished,
                "on_part_data": self._on_part_data,
                "on_part_end": self._on_part_end,
                "on_end": self._on_end,
            },
        )

    def feed(self, data: bytes) -> None:
        """Parse more of the body. Raises MalformedForm, FieldInvalid, StorageError."""
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise MalformedForm(str(error).rstrip(".")) from error

    def finish(self) -> None:
        """The body is over. Raises MalformedForm when the form is not."""
        if not self._is_ended:
            raise MalformedForm("it ends in the middle of a part")

    def close(self) -> None:
        """Close and remove the files that are still where they arrived."""
        if self._file is not None:
            self._file.close()
        for path in self._paths:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)

    def _on_part_begin(self) -> None:
        self._parts += 1
        if self._parts > PARTS_ALLOWED:
            raise MalformedForm(f"it has over {PARTS_ALLOWED:,} parts")
        self._headers = {}
        self._text = bytearray()
        self._size = 0
        self._seen = hashlib.sha256()

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _on_header_end(self) -> None:
        self._headers[self._header_name.lower()] = self._header_value
        self._header_name = self._header_value = b""

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        filename = options.get(b"filename")
        self._filename = None if filename is None else filename.decode("utf-8", "replace")
        if self._filename is None:
            if self._name not in self._rules.text_fields:
                raise FieldInvalid(member_pointer("", self._name), "the form has no such field")
            return
        if self._name != self._rules.file_field:
            raise FieldInvalid(member_pointer("", self._name), "the form has no such file field")
        if len(self.form.files) >= self._rules.max_files:
            raise FieldInvalid(
                member_pointer("", self._name), f"send at most {self._rules.max_files} files"
            )
        path = self._blobs.incoming()
        with stored_errors(path):
            self._file = path.open("wb")
        self._paths.append(path)

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._size += end - start
        if self._file is None:
            if self._size > FIELD_BYTES:
                raise FieldInvalid(
                    member_pointer("", self._name), f"send at most {FIELD_BYTES:,} bytes"
                )
            self._text_bytes += end - start
            if self._text_bytes > FIELDS_BYTES:
                raise FieldInvalid(
                    member_pointer("", self._name),
                    f"the fields have at most {FIELDS_BYTES:,} bytes together",
                )
            self._text += data[start:end]
            return
        if self._size > self._rules.max_file_bytes:
            if not self._rules.is_batch:
                raise _too_large(self._rules)
            return
        chunk = memoryview(data)[start:end]
        self._seen.update(chunk)
        with stored_errors(self._paths[-1]):
            self._file.write(chunk)

    def _on_part_end(self) -> None:
        if self._file is None:
            try:
                value = self._text.decode()
            except UnicodeDecodeError as error:
                raise FieldInvalid(member_pointer("", self._name), "send UTF-8") from error
            self.form.fields.setdefault(self._name, []).append(value)
            return
        with stored_errors(self._paths[-1]):
            self._file.close()
        self._file = None
        self.form.files.append(
            ReceivedFile(
                self._paths[-1],
                self._filename or "",
                self._seen.hexdigest(),
                self._size,
                self._size > self._rules.max_file_bytes,
            )
        )

    def _on_end(self) -> None:
        self._is_ended = True
