"""Still: what a container says about its first picture, and the bytes that paint it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Still:
    """The first picture of a file, found without decoding a pixel.

    `data` is a file of the same format, reduced to what paints the picture where the format allows.
    `size` is (width, height) as stored, before any orientation, of all that decoding it will touch;
    None where only the decoder can say, which then does so without allocating the picture.
    `exif` is an EXIF block, with or without its "Exif" header, or None. It sets the orientation
    unless `turned_by_decoder`: AVIF and HEIC turn by boxes of their own and EXIF must not turn them
    a second time (ISO/IEC 23008-12, 6.5.10 and A.2).
    `icc_profile` is None also where the decoder reports the profile itself.
    `sample_bits` is the depth of the stored samples where it is not 8 and the decoder keeps it.
    """

    data: bytes
    size: tuple[int, int] | None = None
    exif: bytes | None = None
    turned_by_decoder: bool = False
    icc_profile: bytes | None = None
    sample_bits: int = 8


def most_blocks(size_bytes: int) -> int:
    """The most blocks a walk over a file of `size_bytes` may meet before the file is refused.

    Real files hold few and large blocks; one of 50 MB made of empty blocks would keep a thread, and
    with it the interpreter, busy for many seconds.
    """
    return 100_000 + size_bytes // 64
