"""A look-alike of the model hub on loopback: listings, redirects to a store, ranges, refusals.

After the answers of huggingface.co that `huggingface_hub` relies on: the JSON of `/api/models`, the
headers of `/resolve` (ETag, X-Repo-Commit, X-Linked-ETag, X-Linked-Size), a redirect of large files
to another path that honours ranges, and refusals told apart by X-Error-Code.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_lookalike"
LARGE = (".safetensors", ".bin", ".pt")


@lru_cache
def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass
class Repository:
    """A model's files by name, at one commit with the branches that point to it."""

    files: dict[str, bytes]
    branches: set[str] = field(default_factory=lambda: {"main"})
    is_gated: bool = False
    is_private: bool = False

    @property
    def commit(self) -> str:
        """Changes when a file does."""
        lines = [f"{name} {_digest(self.files[name])}" for name in sorted(self.files)]
        return hashlib.sha1("\n".join(lines).encode()).hexdigest()


@dataclass
class Hub:
    """What is served and what was asked; `break_after` cuts the next large answer short, once."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    break_after: int | None = None
    is_broken_for_good: bool = False
    fails_with: int | None = None
    url: str = ""

    def add(self, name: str, folder: Path, **flags: Any) -> Repository:
        """Serve the files of a folder under a name."""
        files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
        self.repositories[name] = Repository(files, **flags)
        return self.repositories[name]

    def downloads(self) -> list[str]:
        """The names of files whose content was asked for, in their order."""
        return [
            path.rsplit("/", 1)[-1]
            for method, path, _ in self.requests
            if method == "GET" and not path.startswith("/api/")
        ]


@contextmanager
def serving_hub() -> Iterator[Hub]:
    """A hub on a free port of loopback, as long as the block lasts."""
    hub = Hub()

    class Bound(_Handler):
        served = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Bound)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    served: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Nothing on the tests' output."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.served.requests.append((self.command, path, dict(self.headers)))
        if self.served.fails_with is not None:
            self._send(self.served.fails_with, b"busy")
        elif path.startswith("/api/models/"):
            self._listing(path.removeprefix("/api/models/"))
        elif path.startswith("/store/"):
            self._store(*path.removeprefix("/store/").rsplit("/", 1))
        else:
            self._file(path)

    def _listing(self, path: str) -> None:
        name, _, revision = path.partition("/revision/")
        repository = self._allowed(name, revision or "main", is_listing=True)
        if repository is None:
            return
        siblings = [
            {"rfilename": file, "size": len(content), "blobId": _digest(content)}
            for file, content in repository.files.items()
        ]
        body = {"id": name, "modelId": name, "sha": repository.commit, "siblings": siblings}
        body |= {"private": repository.is_private, "gated": repository.is_gated, "tags": []}
        self._send(200, json.dumps(body).encode())

    def _file(self, path: str) -> None:
        name, _, rest = path.strip("/").partition("/resolve/")
        revision, _, file = rest.partition("/")
        repository = self._allowed(name, revision)
        if repository is None:
            return
        if file not in repository.files:
            self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
            return
        content = repository.files[file]
        etag = _digest(content)
        headers = {"X-Repo-Commit": repository.commit, "ETag": f'"{etag}"'}
        if file.endswith(LARGE):
            headers |= {"X-Linked-ETag": f'"{etag}"', "X-Linked-Size": str(len(content))}
            # As there, another host than the hub's.
            store = self.served.url.replace("127.0.0.1", "localhost")
            self._send(302, b"", headers | {"Location": f"{store}/store/{name}/{file}"})
        else:
            self._send(200, content, headers)

    def _store(self, name: str, file: str) -> None:
        content = self.served.repositories[name].files[file]
        start = 0
        headers = {"ETag": f'"{_digest(content)}"', "Accept-Ranges": "bytes"}
        if asked := self.headers.get("Range"):
            start = int(asked.removeprefix("bytes=").split("-")[0])
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self._send(206 if asked else 200, content[start:], headers)

    def _allowed(self, name: str, revision: str, *, is_listing: bool = False) -> Repository | None:
        repository = self.served.repositories.get(name)
        has_token = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if repository is None or (repository.is_private and not has_token):
            # The hub does not tell a stranger what is missing and what is hidden.
            self._send(401, b"", {"X-Error-Code": "RepoNotFound"})
        elif revision not in {*repository.branches, repository.commit}:
            self._send(404, b"", {"X-Error-Code": "RevisionNotFound"})
        elif repository.is_gated and not has_token and not is_listing:
            self._send(403, b"", {"X-Error-Code": "GatedRepo"})
        else:
            return repository
        return None

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for header, value in (headers or {}).items():
            self.send_header(header, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        limit = self.served.break_after
        if limit is not None and self.path.startswith("/store/"):
            self.served.break_after = limit if self.served.is_broken_for_good else None
            self.wfile.write(body[:limit])
            self.close_connection = True
            return
        self.wfile.write(body)
