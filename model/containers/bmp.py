"""BMP (Windows GDI, "Bitmap Storage"): one header, one array of pixels."""

from model.containers.still import Still
from model.errors import DamagedImage, UnsupportedFormat

# Every header Windows and OS/2 ever defined; the first uses 16-bit sizes.
HEADER_BYTES = frozenset({12, 40, 52, 56, 64, 108, 124})
_WRAPPED = {4: "a JPEG", 5: "a PNG"}
_RUN_LENGTHS = frozenset({1, 2})
# Pillow unpacks run lengths in Python, a tenth of a second a megapixel during which no other thread
# runs; 40 kB can ask for a hundred megapixels.
_MOST_RUN_LENGTH_PIXELS = 16_000_000


def read(data: bytes) -> Still:
    """A BMP file as it is; only its size is read here.

    Raises DamagedImage when the header is cut short, UnsupportedFormat for a BMP that wraps another
    file format or would take very long.
    """
    header_bytes = int.from_bytes(data[14:18], "little")
    if len(data) < 14 + header_bytes:
        raise DamagedImage("the BMP is cut short")
    if header_bytes == 12:
        width = int.from_bytes(data[18:20], "little")
        height = int.from_bytes(data[20:22], "little")
        return Still(data=data, size=(width, height))
    compression = int.from_bytes(data[30:34], "little")
    if compression in _WRAPPED:
        raise UnsupportedFormat(f"BMP around {_WRAPPED[compression]}", "Send what is inside.")
    width = int.from_bytes(data[18:22], "little", signed=True)
    # A negative height means that the rows run from the top down.
    height = abs(int.from_bytes(data[22:26], "little", signed=True))
    if compression in _RUN_LENGTHS and width * height > _MOST_RUN_LENGTH_PIXELS:
        raise UnsupportedFormat("BMP with run lengths of this size", "Save it as PNG.")
    return Still(data=data, size=(width, height))
