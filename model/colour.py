"""Colour: any pixels Pillow decodes, as 8-bit sRGB the way people see them."""

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

# What transparent parts lie on. Also what browsers and viewers show behind a picture.
BACKGROUND = (255, 255, 255)

_SCALED_AT_ONCE = 1_000_000

_WIDE_MODES = frozenset({"I;16", "I;16L", "I;16B", "I;16N", "I", "F"})


def to_eight_bits(image: Image.Image, sample_bits: int = 8) -> Image.Image:
    """The same picture in mode L, LA, RGB, RGBA or CMYK, transparency always an alpha channel.

    `sample_bits` is the depth of the stored samples; it says where white is when 16 bits hold fewer
    (12-bit TIFF). Integers wider than 16 bits and floats have no agreed white: they count as 8-bit,
    then as 16-bit values where they fit, else they are stretched from lowest to highest; floats
    between 0 and 1 are fractions of white.
    """
    if image.mode in _WIDE_MODES:
        return _narrow(image, sample_bits)
    if image.mode in {"LA", "RGBA"}:
        return image
    if image.has_transparency_data:
        return image.convert("LA" if image.mode in {"1", "L", "La"} else "RGBA")
    if image.mode in {"L", "RGB", "CMYK"}:
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def to_srgb(image: Image.Image, icc_profile: bytes | None) -> Image.Image:
    """An opaque RGB picture in sRGB from one that `to_eight_bits` gave.

    Colours go through the profile when it is readable and made for such pixels; otherwise they
    count as sRGB (CMYK by the plain formula, as browsers do). Transparent parts lie on BACKGROUND.
    """
    if icc_profile:
        image = _through_profile(image, icc_profile)
    if image.mode == "LA":
        image = image.convert("RGBA")
    if image.mode != "RGBA":
        return image if image.mode == "RGB" else image.convert("RGB")
    flat = Image.new("RGB", image.size, BACKGROUND)
    flat.paste(image, mask=image)
    return flat


def _narrow(image: Image.Image, sample_bits: int) -> Image.Image:
    samples = np.asarray(image)
    grey = Image.fromarray(_eight_bits(samples, *_black_and_white(samples, sample_bits)))
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        opaque = np.where(samples == transparent, np.uint8(0), np.uint8(255))
        grey.putalpha(Image.fromarray(opaque))
    return grey


def _black_and_white(samples: NDArray[np.generic], sample_bits: int) -> tuple[float, float]:
    """The values that become 0 and 255."""
    is_float = samples.dtype.kind == "f"
    is_known = np.isfinite(samples)
    known = samples if is_known.all() else samples[is_known]
    if known.size == 0:
        return 0.0, 1.0
    lowest, highest = float(known.min()), float(known.max())
    if lowest < 0 or highest > 65535:
        # One level all over has no range to stretch.
        return lowest, highest if highest > lowest else lowest + 1
    if is_float and highest <= 1:
        return 0.0, 1.0
    if highest <= 255:
        # Masks, and 8-bit pictures converted to a wider mode; as 16 bits they would be black.
        return 0.0, 255.0
    return 0.0, 2.0**sample_bits - 1 if 8 < sample_bits < 16 else 65535.0


def _eight_bits(samples: NDArray[np.generic], black: float, white: float) -> NDArray[np.uint8]:
    # In blocks of rows, since whole pictures of floats would take sixteen bytes a pixel.
    rows = max(1, _SCALED_AT_ONCE // samples.shape[1])
    eight_bits = np.empty(samples.shape, dtype=np.uint8)
    for top in range(0, len(samples), rows):
        block = samples[top : top + rows].astype(np.float64)
        values = np.nan_to_num(block, nan=black, posinf=black, neginf=black)
        scaled = np.rint((values - black) * (255 / (white - black)))
        eight_bits[top : top + rows] = np.clip(scaled, 0, 255)
    return eight_bits


def _through_profile(image: Image.Image, icc_profile: bytes) -> Image.Image:
    try:
        profile = ImageCms.ImageCmsProfile(BytesIO(icc_profile))
        if "sRGB" in (profile.profile.profile_description or ""):
            return image
        space = profile.profile.xcolor_space.strip()
        if space == "RGB" and image.mode in {"L", "LA"}:
            image = image.convert("RGB" if image.mode == "L" else "RGBA")
        if space == "RGB" and image.mode in {"RGB", "RGBA"}:
            return _converted(image, profile, image.mode)
        if space == "CMYK" and image.mode == "CMYK":
            return _converted(image, profile, "RGB")
        if space == "GRAY" and image.mode in {"L", "LA"}:
            coloured = _converted(image.getchannel("L"), profile, "RGB")
            if image.mode == "LA":
                coloured.putalpha(image.getchannel("A"))
            return coloured
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        # A profile that cannot be read says nothing about the pixels, which are whole.
        return image
    return image


def _converted(image: Image.Image, profile: ImageCms.ImageCmsProfile, mode: str) -> Image.Image:
    transform = ImageCms.buildTransform(
        profile,
        ImageCms.createProfile("sRGB"),
        image.mode,
        mode,
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    return transform.apply(image)
