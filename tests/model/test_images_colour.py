"""Colours as people see them: every kind of pixels becomes 8-bit sRGB."""

import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from model.images import decode
from tests.model.pictures import (
    PNG_SIGNATURE,
    cosine,
    difference,
    encoded,
    ink_profile,
    matrix_profile,
    photo,
    png,
    png_chunk,
    tiff,
    with_segments,
)

DISPLAY_P3 = matrix_profile(
    [(0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407)],
    2.2,
    "Display P3",
)
ADOBE_RGB = matrix_profile(
    [(0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)],
    2.19921875,
    "Adobe RGB (1998)",
)


def in_mode(mode: str) -> tuple[Image.Image, Image.Image]:
    """The test photo in a Pillow mode, and what it should come out as."""
    colour = photo()
    grey = colour.convert("L")
    if mode == "LAB":
        profiles = (ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"))
        made = ImageCms.applyTransform(colour, ImageCms.buildTransform(*profiles, "RGB", "LAB"))
        assert made is not None
        return made, colour
    if mode == "PA":
        return colour.quantize(256).convert("PA"), colour
    if mode.startswith("I;16"):
        wide = np.asarray(grey).astype(">u2" if mode == "I;16B" else "<u2") * 257
        made = Image.frombytes(mode, grey.size, wide.astype(wide.dtype).tobytes())
        return made, grey.convert("RGB")
    if mode in {"1", "L", "LA", "I", "F"}:
        return grey.convert(mode), grey.convert("RGB")
    return colour.convert(mode), colour


# Every mode in every format that Pillow writes it in without losing it.
WRITTEN = [
    (mode, kind)
    for kind, modes in {
        "JPEG": ["L", "RGB", "CMYK", "YCbCr"],
        "PNG": ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I;16B"],
        "WEBP": ["L", "LA", "P", "RGB", "RGBA", "CMYK", "HSV", "LAB", "I", "F"],
        "GIF": ["1", "L", "P", "RGB", "RGBA", "I", "F"],
        "BMP": ["1", "L", "P", "RGB", "RGBA"],
        "TIFF": ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I", "F",
                 "I;16", "I;16B"],
        "AVIF": ["L", "LA", "P", "RGB", "RGBA", "CMYK", "HSV", "LAB", "I", "F"],
    }.items()
    for mode in modes
]  # fmt: skip


@pytest.mark.parametrize(("mode", "format"), WRITTEN)
def test_every_mode_ends_as_rgb_that_looks_the_same(mode: str, format: str) -> None:
    """Whatever the pixels are stored as, they come out in 8-bit RGB with the same content."""
    made, expected = in_mode(mode)
    options = {"speed": 10} if format == "AVIF" else {}
    picture = decode(encoded(made, format, **options))
    assert picture.rgb.mode == "RGB"
    # One bit and 216 web colours are dithered: compare what an eye sees from a distance.
    seen, wanted = (image.reduce(4) for image in (picture.rgb, expected))
    assert cosine(seen, wanted) > 0.99


def test_sixteen_bit_grey_keeps_its_brightness() -> None:
    """A 16-bit copy of a photo equals the 8-bit one, which plain conversion would make white."""
    grey = photo().convert("L")
    wide = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    for kind in ("PNG", "TIFF"):
        assert difference(decode(encoded(wide, kind)).rgb, grey.convert("RGB")) == 0


def test_twelve_bit_grey_is_scaled_by_its_own_white() -> None:
    """A TIFF of 12 bits a sample is as bright as it should be, not a sixteenth of it."""
    fields = [(256, 3, 1, 2), (257, 3, 1, 1), (258, 3, 1, 12), (262, 3, 1, 1), (273, 4, 1, 8)]
    fields += [(277, 3, 1, 1), (278, 3, 1, 1), (279, 4, 1, 3)]
    data = tiff(fields, bytes([0xFF, 0xF8, 0x00, 0]))
    assert list(np.asarray(decode(data).rgb)[0, :, 0]) == [255, 128]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.5, 1.0], [0, 128, 255]),
        ([0.0, 100.0, 255.0], [0, 100, 255]),
        ([0.0, 257.0 * 100, 65535.0], [0, 100, 255]),
        ([-50.0, 0.0, 50.0], [0, 128, 255]),
        ([float("nan"), float("inf"), 1.0], [0, 0, 255]),
        ([7.0, 7.0, 7.0], [7, 7, 7]),
        ([-7.0, -7.0, -7.0], [0, 0, 0]),
    ],
)
def test_floats_are_scaled_by_their_range(values: list[float], expected: list[int]) -> None:
    """Fractions, 8-bit and 16-bit values are taken as such, other ranges are stretched."""
    image = Image.fromarray(np.array([values], dtype=np.float32))
    pixels = np.asarray(decode(encoded(image, "TIFF")).rgb)
    assert np.abs(pixels[0, :, 0].astype(int) - expected).max() <= 1


def test_sixteen_bit_colour_is_narrowed() -> None:
    """48-bit PNGs lose depth, nothing else."""
    colour = np.asarray(photo())
    rows = [row.astype(">u2").tobytes() for row in colour.astype(np.uint16) * 257]
    assert difference(decode(png((200, 160), 16, 2, rows)).rgb, photo()) == 0


def test_alpha_lies_on_white() -> None:
    """Transparent parts show white, half transparent ones half of it, hidden colours never."""
    colour = Image.new("RGBA", (3, 1))
    colour.putdata([(255, 0, 0, 255), (255, 0, 0, 128), (255, 0, 0, 0)])
    for kind in ("PNG", "TIFF", "WEBP"):
        options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
        pixels = np.asarray(decode(encoded(colour, kind, **options)).rgb)[0]
        assert pixels.tolist() == [[255, 0, 0], [255, 127, 127], [255, 255, 255]]


def test_hidden_colours_do_not_bleed_when_the_picture_is_reduced() -> None:
    """Reducing a picture does not mix in the colours of its transparent parts."""
    image = Image.new("RGBA", (512, 512), (0, 0, 0, 0))
    image.paste((255, 0, 0, 255), (0, 0, 251, 512))
    pixels = np.asarray(decode(encoded(image, "PNG"), shorter_side=16).rgb)
    assert (pixels[..., 0] == 255).all()


def test_a_palette_with_transparency_equals_its_rgba_version() -> None:
    """A palette with an alpha for each colour is flattened like the RGBA picture it stands for."""
    quantised = photo().quantize(64)
    alphas = bytes([0] * 32 + [255] * 32)
    data = encoded(quantised, "PNG", transparency=alphas)
    quantised.info["transparency"] = alphas
    rgba = encoded(quantised.convert("RGBA"), "PNG")
    assert difference(decode(data).rgb, decode(rgba).rgb) == 0


@pytest.mark.parametrize(
    ("depth", "colour_type", "row", "key"),
    [
        (1, 0, b"\x80", [1]),
        (2, 0, b"\xc0", [3]),
        (4, 0, b"\x90", [9]),
        (8, 0, b"\x90\0", [0x90]),
        (16, 0, b"\x12\x34\0\0", [0x1234]),
        (8, 2, b"\1\2\3\0\0\0", [1, 2, 3]),
        (16, 2, b"\1\2\3\4\5\6" + bytes(6), [0x0102, 0x0304, 0x0506]),
    ],
)
def test_a_transparent_colour_is_matched_at_every_depth(
    depth: int, colour_type: int, row: bytes, key: list[int]
) -> None:
    """A PNG's one transparent colour is found whatever the depth it is written in."""
    transparent = struct.pack(f">{len(key)}H", *key)
    data = png((2, 1), depth, colour_type, [row], [(b"tRNS", transparent)])
    assert np.asarray(decode(data).rgb)[0].tolist() == [[255, 255, 255], [0, 0, 0]]


def test_a_gif_s_transparent_colour_lies_on_white() -> None:
    """Transparent parts of a GIF show white."""
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 0, 0])
    image.putpixel((1, 0), 1)
    pixels = np.asarray(decode(encoded(image, "GIF", transparency=0)).rgb)[0]
    assert pixels.tolist() == [[255, 255, 255], [200, 0, 0]]


@pytest.mark.parametrize("shorter_side", [None, 20])
def test_cmyk_jpegs_keep_their_colours_on_both_paths(shorter_side: int | None) -> None:
    """CMYK in Adobe's inverted form has the colours of its RGB original, reduced or not."""
    original = photo(size=(400, 320))
    data = encoded(original.convert("CMYK"), "JPEG")
    assert b"Adobe" in data
    picture = decode(data, shorter_side=shorter_side)
    assert cosine(picture.rgb, original.resize(picture.rgb.size)) > 0.97
    assert difference(picture.rgb, original.resize(picture.rgb.size)) < 6


def test_ycck_jpegs_keep_their_colours() -> None:
    """CMYK stored as YCCK (Adobe transform 2) is converted once."""
    original = photo()
    # libjpeg gives 255 - RGB of the stored YCbCr as (inverted) ink, Pillow inverts what it writes.
    stored = ImageOps.invert(original).convert("YCbCr").split()
    inks = [ImageOps.invert(plane) for plane in stored]
    planes = Image.merge("CMYK", [*inks, Image.new("L", original.size, 0)])
    data = encoded(planes, "JPEG", quality=95)
    adobe = data.index(b"Adobe")
    assert data[adobe + 11] == 0
    picture = decode(data[: adobe + 11] + b"\2" + data[adobe + 12 :])
    assert difference(picture.rgb, original) < 6


@pytest.mark.parametrize("profile", [DISPLAY_P3, ADOBE_RGB], ids=["P3", "AdobeRGB"])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_wide_gamut_profiles_come_out_in_srgb(format: str, profile: bytes) -> None:
    """A picture stored in a wide space looks as it did before it was converted to it."""
    original = photo()
    made = ImageCms.profileToProfile(
        original,
        ImageCms.createProfile("sRGB"),
        ImageCms.ImageCmsProfile(BytesIO(profile)),
    )
    assert made is not None
    options: dict[str, object] = {"icc_profile": profile}
    options |= {"JPEG": {"quality": 95}, "AVIF": {"speed": 10, "quality": 90}}.get(format, {})
    picture = decode(encoded(made, format, **options))
    assert difference(made, original) > 2
    assert difference(picture.rgb, original) < 2 + 2 * (format in {"JPEG", "WEBP", "AVIF"})


def test_an_srgb_profile_changes_nothing() -> None:
    """Colours that are sRGB already keep their exact values, whoever made the profile."""
    profile = matrix_profile(
        [(0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410)],
        2.2,
        "sRGB IEC61966-2.1",
    )
    picture = decode(encoded(photo(), "PNG", icc_profile=profile))
    assert difference(picture.rgb, photo()) == 0


def test_a_grey_profile_and_a_colour_profile_both_apply_to_grey() -> None:
    """Linear grey comes out brighter; grey with a display's profile goes through it too."""
    grey = Image.new("L", (4, 4), 64)
    linear = matrix_profile([], 1.0, "linear grey")
    assert decode(encoded(grey, "PNG", icc_profile=linear)).rgb.getpixel((0, 0)) == (137, 137, 137)
    pixel = decode(encoded(grey, "JPEG", icc_profile=ADOBE_RGB)).rgb.getpixel((0, 0))
    assert isinstance(pixel, tuple)
    assert max(pixel) - min(pixel) <= 2
    with_alpha = decode(encoded(grey.convert("LA"), "PNG", icc_profile=linear))
    assert with_alpha.rgb.getpixel((0, 0)) == (137, 137, 137)


def test_cmyk_goes_through_its_own_profile() -> None:
    """What ink looks like is what its profile says, not what a formula makes of it."""
    # Paper is white, and any ink at all is the green of L 60, a -50, b 50.
    profile = ink_profile([(255, 128, 128), *[(153, 78, 178)] * 15])
    ink = Image.new("CMYK", (8, 8), (255, 0, 0, 0))
    pixel = decode(encoded(ink, "TIFF", icc_profile=profile)).rgb.getpixel((0, 0))
    assert isinstance(pixel, tuple)
    red, green, blue = pixel
    assert green > red + 60
    assert green > blue + 60


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize(
    "profile",
    [b"nonsense", DISPLAY_P3[:150], ink_profile([(0, 0, 0)] * 16), matrix_profile([], 1.0, "grey")],
    ids=["noise", "cut", "for ink", "for grey"],
)
def test_a_profile_that_cannot_apply_is_ignored(format: str, profile: bytes) -> None:
    """A broken profile, or one for other pixels, leaves the colours as they are."""
    options = {"speed": 10} if format == "AVIF" else {}
    plain = decode(encoded(photo(), format, **options)).rgb
    picture = decode(encoded(photo(), format, icc_profile=profile, **options))
    assert difference(picture.rgb, plain) == 0


def test_a_profile_in_missing_parts_is_ignored() -> None:
    """A JPEG whose profile segments do not add up is shown without the profile."""
    plain = encoded(photo(), "JPEG")
    for segment in (b"ICC_PROFILE\0", b"ICC_PROFILE\0\1\2" + DISPLAY_P3, b"ICC_PROFILE\0\0\0x"):
        picture = decode(with_segments(plain, (0xE2, segment)))
        assert difference(picture.rgb, decode(plain).rgb) == 0


def test_a_profile_of_any_size_may_be_compressed_in_a_png() -> None:
    """A large display profile is used; one that would expand without end is not, nor is junk."""
    large = DISPLAY_P3 + bytes(3_000_000)
    plain = encoded(photo(), "PNG")

    def with_profile(packed: bytes) -> Image.Image:
        head = len(PNG_SIGNATURE) + 25
        return decode(plain[:head] + png_chunk(b"iCCP", b"p\0\0" + packed) + plain[head:]).rgb

    assert difference(with_profile(zlib.compress(large)), photo()) > 2
    assert difference(with_profile(zlib.compress(bytes(20_000_000))), photo()) == 0
    assert difference(with_profile(b"no zlib"), photo()) == 0
