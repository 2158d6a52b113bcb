"""The service as a real process, and a reverse proxy in front of it."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
START_SECONDS = 180


@dataclass(frozen=True, slots=True)
class Server:
    """A running service and what tests ask of it directly."""

    url: str

    def get(self, path: str) -> Any:
        """The JSON answer to a GET."""
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:
            return json.load(answer)

    def post(self, path: str, content: Any) -> Any:
        """The JSON answer to a POST of JSON."""
        request = urllib.request.Request(
            self.url + path,
            data=json.dumps(content).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def put(self, path: str, content: Any) -> Any:
        """The JSON answer to a PUT of JSON."""
        request = urllib.request.Request(
            self.url + path,
            data=json.dumps(content).encode(),
            headers={"Content-Type": "application/json"},
            method="PUT",
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def add(
        self, name: str, data: bytes, caption: str = "", collection: str = ""
    ) -> dict[str, Any]:
        """Upload a file; gives the stored image."""
        boundary = "a-boundary-no-picture-contains"
        words = "".join(
            f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'
            for field, value in (("caption", caption), ("collection", collection))
            if value
        )
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        body = f"{words}{head}Content-Type: application/octet-stream\r\n\r\n"
        request = urllib.request.Request(
            f"{self.url}v1/images",
            data=body.encode() + data + f"\r\n--{boundary}--\r\n".encode(),
            headers={"Content-Type": f"multipart/form-data; boundary={boundary}"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            image: dict[str, Any] = json.load(answer)
            return image

    def has(self, image_id: str) -> bool:
        """Whether the service still has the image."""
        try:
            self.get(f"v1/images/{image_id}")
        except urllib.error.HTTPError as error:
            error.close()
            return False
        return True


@contextmanager
def serve(data: Path, settings: Mapping[str, str] | None = None) -> Iterator[Server]:
    """The service as a process on a free loopback port; its output is shown when it dies."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "BEHOLDER_DATA_DIR": str(data),
        "BEHOLDER_THREADS": "1",
        **(settings or {}),
    }
    command = [sys.executable, "-m", "app", "serve", "--host", "127.0.0.1", "--port", str(port)]
    with (data.parent / f"{data.name}.log").open("w+b") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            _wait_until_ready(f"http://127.0.0.1:{port}/", process, Path(log.name))
            yield Server(f"http://127.0.0.1:{port}/")
        finally:
            process.terminate()
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{url}readyz", timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"the service did not start; its output:\n{log.read_text(errors='replace')}")


@contextmanager
def stripping_proxy(url: str, prefix: str) -> Iterator[str]:
    """A reverse proxy that serves what is at `url` under `prefix`, and nothing else."""

    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.forward(None)

        def do_POST(self) -> None:
            self.forward(self.rfile.read(int(self.headers["Content-Length"])))

        def forward(self, body: bytes | None) -> None:
            if not self.path.startswith(prefix):
                self.send_error(HTTPStatus.NOT_FOUND)
                return
            request = urllib.request.Request(url + self.path.removeprefix(prefix), data=body)
            request.add_header("Content-Type", self.headers.get("Content-Type", ""))
            with urllib.request.urlopen(request, timeout=30) as answer:
                self.send_response(answer.status)
                for name in ("Content-Type", "Content-Length", "Content-Security-Policy"):
                    self.send_header(name, answer.headers[name])
                self.end_headers()
                self.wfile.write(answer.read())

        def log_message(self, *_: object) -> None:
            """Nothing: its log is nobody's business."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}{prefix}"
        finally:
            server.shutdown()
            thread.join()
