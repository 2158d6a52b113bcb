"""Files that a power cut leaves as they were or as they should be, never half of it."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


def write_durably(path: Path, content: bytes) -> None:
    """Write to a temporary name beside `path`, flush to the disk, rename over it."""
    with writing_durably(path) as file:
        file.write(content)


@contextlib.contextmanager
def writing_durably(path: Path) -> Iterator[BinaryIO]:
    """A file to write piece by piece, which becomes the one at `path` when the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        # mkstemp makes the file private; what we write is as readable as its folder says.
        temporary.chmod(0o644)
        replace_durably(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def replace_durably(temporary: Path, path: Path, *, new_folders: int = 1) -> None:
    """Make a finished file on the same volume the one at `path`, on the disk before this returns.

    `new_folders` is how many of the folders above it may not be on the disk yet themselves.
    """
    sync(temporary)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary.replace(path)
    # The rename itself must survive too, and that is a matter of the folders.
    for folder in list(path.parents)[:new_folders]:
        sync(folder)


def sync(path: Path) -> None:
    """Wait until what is in a file, or which files are in a folder, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
