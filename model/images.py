"""Bytes of any common image format in, a safe, upright picture in sRGB out."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from pathlib import Path

from PIL import Image
from PIL.ImageFile import ImageFile

from model.colour import to_eight_bits, to_srgb
from model.containers import png
from model.errors import DamagedImage, EmptyImage, ImageError, ImageTooLarge, UnsupportedFormat
from model.exif import read_exif
from model.image_formats import FORMATS, SNIFF_BYTES, sniff, unsupported

# Pillow's own guard is one number for the process: it would warn below our default and refuse what
# a raised setting allows. Our cap, checked before every decode, replaces it. Set once, at import:
# changing it around each decode would race between threads.
Image.MAX_IMAGE_PIXELS = None

# A decoder's own reduced scale, or ours, never goes below this many times the needed side, so that
# the final antialiased resize still has detail to average.
_OVERSAMPLING = 2

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Formats with more kinds of pixels than Pillow reads; what it does not open is refused as such.
_OPEN_ENDED = frozenset({"tiff", "bmp"})


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """The largest image that is accepted: bytes of the file, pixels of the full picture.

    Both are checked before anything is decoded. Decoding takes, measured at its peak, 4 to 10 bytes
    a pixel, 16 for WebP and floats: 1.6 GB for 100 megapixels. A JPEG decoded reduced takes 0.5.
    """

    max_bytes: int = 50_000_000
    max_pixels: int = 100_000_000


DEFAULT_LIMITS = ImageLimits()


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A decoded image: upright, opaque, 8-bit sRGB.

    `rgb` is in mode RGB and may be smaller than the image. `width` and `height` are those of the
    full image, upright. `format` is a key of `MEDIA_TYPES`. `taken_at` is the camera's local time,
    aware only when the image says of which zone.
    """

    rgb: Image.Image
    format: str
    media_type: str
    width: int
    height: int
    taken_at: datetime | None


def decode(
    source: bytes | Path, limits: ImageLimits = DEFAULT_LIMITS, *, shorter_side: int | None = None
) -> Picture:
    """The picture in an image file, whose format is taken from its content alone.

    All pixels are decoded, so a picture that is returned is whole. Of several frames or pages the
    first is taken. `shorter_side` is the smallest side in pixels that the caller needs: JPEGs are
    then decoded at a reduced scale and others averaged down, to a shorter side of at least twice
    that, or as large as the image is. A thumbnail of N pixels needs a `shorter_side` of N / 2. Safe
    to call from many threads.

    Raises EmptyImage, ImageTooLarge, UnsupportedFormat or DamagedImage, and no other error about
    the content; OSError when a path cannot be read.
    """
    data = _read(source, limits.max_bytes)
    name = sniff(data[:SNIFF_BYTES])
    if name is None:
        raise unsupported(data[:SNIFF_BYTES])
    with _decoder_errors(name):
        return _decode(data, name, limits, shorter_side)


def _read(source: bytes | Path, max_bytes: int) -> bytes:
    if isinstance(source, bytes):
        data, size_bytes = source, len(source)
    else:
        with source.open("rb") as file:
            # One byte more than allowed tells a file that grew since its size was taken.
            data = file.read(max_bytes + 1)
            size_bytes = max(len(data), source.stat().st_size)
    if size_bytes > max_bytes:
        raise ImageTooLarge(size_bytes=size_bytes, limit=max_bytes, setting="BEHOLDER_MAX_BYTES")
    if not data:
        raise EmptyImage
    return data


@contextmanager
def _decoder_errors(name: str) -> Iterator[None]:
    """Translate whatever a decoder raises: hostile files reach nearly every kind of exception."""
    try:
        yield
    except ImageError:
        raise
    except MemoryError as error:
        raise DamagedImage(
            f"decoding the {name.upper()} takes more memory than there is"
        ) from error
    except Exception as error:
        raise DamagedImage(f"the {name.upper()} is corrupt or cut short") from error


def _decode(data: bytes, name: str, limits: ImageLimits, shorter_side: int | None) -> Picture:
    still = FORMATS[name].read(data)
    if still.size is not None:
        _check_pixels(still.size, limits.max_pixels)
    image = _open(still.data, name)
    # Also as the decoder understands the header, should it ever differ from us.
    _check_pixels(image.size, limits.max_pixels)
    exif = read_exif(still.exif)
    turned = read_exif(image.info.get("exif")) if still.turned_by_decoder else exif
    icc_profile = still.icc_profile or image.info.get("icc_profile")

    pixels, (width, height) = _load(image, still.sample_bits, shorter_side)
    if name == "png" and _ends_in_zeros(image):
        png.check_rows(still)
    pixels = to_srgb(pixels, icc_profile)
    if turned.orientation in _UPRIGHT:
        pixels = pixels.transpose(_UPRIGHT[turned.orientation])
    if turned.orientation >= 5:
        width, height = height, width
    return Picture(
        # A decoder's object would keep the compressed file alive as long as the picture.
        rgb=pixels.copy() if isinstance(pixels, ImageFile) else pixels,
        format=name,
        media_type=FORMATS[name].media_type,
        width=width,
        height=height,
        taken_at=exif.taken_at,
    )


def _ends_in_zeros(image: ImageFile) -> bool:
    """Whether the last rows, two because of interlacing, are as they were before decoding."""
    width, height = image.size
    return not image.crop((0, max(0, height - 2), width, height)).tobytes().strip(b"\0")


def _check_pixels(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width <= 0 or height <= 0:
        raise DamagedImage("it has no pixels")
    if width * height > max_pixels:
        raise ImageTooLarge(pixels=width * height, limit=max_pixels, setting="BEHOLDER_MAX_PIXELS")


def _open(data: bytes, name: str) -> ImageFile:
    decoder = FORMATS[name].decoder or _heic_decoder()
    try:
        # The one decoder, not Image.open: that would guess again, and read what we set apart.
        return decoder(BytesIO(data))
    except Exception as error:
        if name in _OPEN_ENDED:
            raise UnsupportedFormat(f"{name.upper()} of this kind", "Save it as PNG.") from error
        raise


def _heic_decoder() -> type[ImageFile]:
    try:
        from pillow_heif import HeifImageFile  # noqa: PLC0415 - an extra, asked for when needed
    except ImportError as error:
        hint = "The extra 'heic' reads it: pip install 'beholder[heic]'."
        raise UnsupportedFormat("HEIC", hint) from error
    decoder: type[ImageFile] = HeifImageFile
    return decoder


def _load(
    image: ImageFile, sample_bits: int, shorter_side: int | None
) -> tuple[Image.Image, tuple[int, int]]:
    """The decoded pixels, reduced where `shorter_side` allows, and the full size."""
    if shorter_side is None:
        image.load()
        return to_eight_bits(image, sample_bits), image.size
    kept_side = _OVERSAMPLING * shorter_side
    full_size = image.size
    # JPEG alone has a reduced scale; a second call would be ignored, so the target is asked once.
    drafted = image.draft(None, (kept_side, kept_side)) if image.format == "JPEG" else None
    image.load()
    pixels = to_eight_bits(image, sample_bits)
    if drafted:
        _, (_, _, width, height) = drafted
        pixels = _to_extent(_with_whole_edges(pixels, int(width), int(height)), width, height)
    else:
        full_size = image.size
    factor = min(pixels.size) // kept_side
    if factor > 1:
        width, height = (side / factor for side in pixels.size)
        pixels = _to_extent(pixels.reduce(factor), width, height)
    return pixels, full_size


def _with_whole_edges(pixels: Image.Image, width: int, height: int) -> Image.Image:
    """A reduced JPEG whose last column and row, where filled in part, repeat those before.

    The rest of them is padding, and what an encoder puts there is its own affair.
    """
    if width < pixels.width:
        pixels.paste(pixels.crop((width - 1, 0, width, pixels.height)), (width, 0))
    if height < pixels.height:
        pixels.paste(pixels.crop((0, height - 1, pixels.width, height)), (0, height))
    return pixels


def _to_extent(pixels: Image.Image, width: float, height: float) -> Image.Image:
    """The part of `pixels` that shows the image, in whole pixels.

    A scale that does not divide the size ends within a pixel. Cutting that pixel off would be half
    a pixel of the model's input, and five times the difference to a full decode (measured: 3.0
    instead of 0.55 grey levels).
    """
    if width.is_integer() and height.is_integer():
        return pixels
    size = (round(width), round(height))
    return pixels.resize(size, Image.Resampling.BICUBIC, (0, 0, width, height))
