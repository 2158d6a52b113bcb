"""Where the image files are: a folder, or a bucket."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from urllib.parse import urlsplit

from index.blobs import BlobStore


def check_blobs_url(url: str) -> None:
    """Raises ValueError unless `open_blobs` can make something of it."""
    parts = urlsplit(url)
    if parts.scheme != "s3" or not parts.netloc or parts.query or parts.fragment:
        raise ValueError("give s3://bucket or s3://bucket/prefix")
    if importlib.util.find_spec("obstore") is None:
        raise ValueError("S3 needs the extra `s3`: pip install 'beholder[s3]'")


def open_blobs(directory: Path, url: str | None = None) -> BlobStore:
    """The image files at `url`, or in `directory`, where all the rest is kept in any case.

    Raises StorageError.
    """
    if url is None:
        return BlobStore(directory)
    from index.s3_blobs import S3Blobs  # noqa: PLC0415  (its library is an extra)

    return S3Blobs(directory, url)
