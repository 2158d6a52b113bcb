"""The program where it may write to its data folder alone, and reaches nobody."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pictures import picture_bytes

ROOT = Path(__file__).parents[2]
SECONDS = 240
# Of its own: no network, a root that is read-only but for $0, and 64 kB for temporary files.
CONFINED = """
mount --bind "$0" "$0" && mount -t tmpfs -o size=64k tmpfs "$1" &&
mount -o remount,ro,bind / && shift && exec "$@"
"""


@pytest.fixture(scope="module")
def unshare() -> list[str]:
    """How to begin a namespace; skips where nobody may."""
    command = ["unshare", "--user", "--map-root-user", "--net", "--mount"]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*command, "true"], check=False).returncode
    ):
        pytest.skip("no namespaces can be made here")
    return command


@pytest.mark.slow
def test_it_works_without_network_home_and_room_for_temporary_files(
    unshare: list[str], tmp_path: Path
) -> None:
    """All it writes is in the data folder, where it has room; the model is in the package."""
    data, tiny, photos = (tmp_path / name for name in ("data", "tiny", "photos"))
    for folder in (data, tiny, photos):
        folder.mkdir()
    large = picture_bytes(size=(400, 400))
    assert len(large) > 64 * 1024
    (photos / "red.png").write_bytes(large)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "TMPDIR": str(tiny),
        "BEHOLDER_DATA_DIR": str(data),
        "BEHOLDER_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }

    def confined(*arguments: str) -> subprocess.CompletedProcess[str]:
        inner = [sys.executable, "-m", "app", *arguments]
        return subprocess.run(
            [*unshare, "sh", "-c", CONFINED, str(data), str(tiny), *inner],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    added = confined("ingest", str(photos), "--json")
    assert added.returncode == 0, added.stderr
    assert json.loads(added.stdout)["created"] == 1
    found = confined("search", "a red picture", "--json")
    assert found.returncode == 0, found.stderr
    assert [hit["image"]["filename"] for hit in json.loads(found.stdout)["hits"]] == ["red.png"]
    assert list(tiny.iterdir()) == []
