"""Thumbnails: small WebP copies of pictures."""

from io import BytesIO

from PIL import Image

from model.images import Picture


def thumbnail(picture: Picture, size: int) -> bytes:
    """A WebP copy of the picture whose longest side is at most `size` pixels, never enlarged.

    Upright, sRGB and without metadata, as `picture.rgb` is. A picture that was decoded reduced
    gives no more pixels than it has: decode with `shorter_side` of at least half the thumbnail.
    """
    width, height = picture.rgb.size
    scale = min(1.0, size / max(width, height))
    target = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = picture.rgb
    if target != small.size:
        small = small.resize(target, Image.Resampling.BICUBIC)
    stored = BytesIO()
    # Method 2 takes half the time of the default 4, for files 4 % larger.
    small.save(stored, "WEBP", quality=80, method=2)
    return stored.getvalue()
