"""Which image formats are read, and what a file is by its first bytes."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from model.containers import bmp, gif, heif, jpeg, png, tiff, webp
from model.containers.still import Still
from model.errors import UnsupportedFormat
from model.tiff_directory import HEADERS as TIFF_HEADERS

# As many of a file's first bytes as `sniff` looks at.
SNIFF_BYTES = 512


@dataclass(frozen=True, slots=True)
class Format:
    """A format that is read: its container, and Pillow's decoder for it, None for HEIC's extra."""

    media_type: str
    read: Callable[[bytes], Still]
    decoder: type[ImageFile] | None


FORMATS = MappingProxyType(
    {
        "jpeg": Format("image/jpeg", jpeg.read, JpegImageFile),
        "png": Format("image/png", png.read, PngImageFile),
        "webp": Format("image/webp", webp.read, WebPImageFile),
        "gif": Format("image/gif", gif.read, GifImageFile),
        "bmp": Format("image/bmp", bmp.read, BmpImageFile),
        "tiff": Format("image/tiff", tiff.read, TiffImageFile),
        "avif": Format("image/avif", heif.read, AvifImageFile),
        "heic": Format("image/heic", heif.read, None),
    }
)
MEDIA_TYPES = MappingProxyType({name: known.media_type for name, known in FORMATS.items()})

_PREFIXES = {
    "jpeg": (b"\xff\xd8\xff",),
    "png": (png.SIGNATURE,),
    "gif": (b"GIF87a", b"GIF89a"),
    "tiff": TIFF_HEADERS,
}
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_HEIF_BRANDS = frozenset({b"mif1", b"mif2", b"msf1", b"miaf"})

# Formats that people do send, so that the refusal can name them.
_FOREIGN = (
    (b"%PDF-", "PDF"),
    (b"8BPS", "PSD"),
    (b"%!PS", "EPS"),
    (b"\xc5\xd0\xd3\xc6", "EPS"),
    (b"\0\0\1\0", "ICO"),
    (b"\0\0\2\0", "CUR"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"v/1\1", "OpenEXR"),
    (b"#?RADIANCE", "Radiance HDR"),
    (b"DDS ", "DDS"),
    (b"qoif", "QOI"),
    (b"IIRO", "camera raw"),
    (b"IIU\0", "camera raw"),
    (b"FUJIFILMCCD-RAW", "camera raw"),
    (b"PK\3\4", "ZIP"),
    (b"Rar!", "RAR"),
    (b"7z\xbc\xaf", "7-Zip"),
    (b"\x1f\x8b", "gzip"),
    (b"\x1aE\xdf\xa3", "WebM or Matroska video"),
    (b"ID3", "MP3"),
    (b"OggS", "Ogg"),
)
_MARKUP = (
    (re.compile(rb"<svg[\s>]", re.IGNORECASE), "SVG"),
    (re.compile(rb"<html|<!doctype html", re.IGNORECASE), "HTML"),
)


def sniff(head: bytes) -> str | None:
    """The name in `FORMATS` of a file that begins with `head`, or None.

    Decides by content alone; SNIFF_BYTES bytes are enough. HEIC is named also where the extra that
    reads it is missing.
    """
    for name, prefixes in _PREFIXES.items():
        if head.startswith(prefixes):
            return name
    if head.startswith(b"RIFF") and head[8:15] == b"WEBPVP8":
        return "webp"
    # "BM" alone also begins ordinary words.
    if head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in bmp.HEADER_BYTES:
        return "bmp"
    return _sniff_heif(head)


def _sniff_heif(head: bytes) -> str | None:
    brands = _brands(head)
    if brands and brands[0] in _AVIF_BRANDS:
        return "avif"
    if brands and brands[0] in _HEIC_BRANDS:
        return "heic"
    if brands and brands[0] in _HEIF_BRANDS:
        return "avif" if _AVIF_BRANDS.intersection(brands) else "heic"
    return None


def _brands(head: bytes) -> list[bytes]:
    """The brands of an ISO media file, its own first, then those it is compatible with."""
    if head[4:8] != b"ftyp":
        return []
    end = min(int.from_bytes(head[:4], "big"), len(head))
    return [head[8:12], *(head[place : place + 4] for place in range(16, end, 4))]


def unsupported(head: bytes) -> UnsupportedFormat:
    """The refusal for a file that `sniff` does not know, naming what it is where that is clear."""
    name = next((name for prefix, name in _FOREIGN if head.startswith(prefix)), None)
    if name is None and head[4:8] == b"ftyp":
        name = "camera raw" if head[8:11] == b"crx" else "video"
    if name is None and head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        name = next((name for pattern, name in _MARKUP if pattern.search(head)), "XML")
    return UnsupportedFormat(name, "Send JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF or HEIC.")
