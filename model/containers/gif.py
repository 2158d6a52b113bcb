"""GIF (GIF89a specification): a screen, then blocks of which the first image is the picture."""

from model.containers.still import Still, most_blocks
from model.errors import DamagedImage

_EXTENSION, _IMAGE, _TRAILER = 0x21, 0x2C, 0x3B
_GRAPHIC_CONTROL = 0xF9


def read(data: bytes) -> Still:
    """The first frame of a GIF, on its screen; further frames are walked over, not kept.

    Raises DamagedImage when the file ends within a block or holds no image.
    """
    try:
        return _walk(data)
    except IndexError as error:
        raise DamagedImage("the GIF is cut short") from error


def _walk(data: bytes) -> Still:
    position = 13 + _table_bytes(data[10])
    palette = data[13:position]
    control = b""
    image: bytes | None = None
    width, height = _word(data, 6), _word(data, 8)
    steps = most_blocks(len(data))
    # Some old files lack the trailer; between two blocks nothing of a picture is missing.
    while position < len(data) and data[position] != _TRAILER:
        start = position
        if data[position] == _EXTENSION:
            position, steps = _after_sub_blocks(data, position + 2, steps)
            if image is None and data[start + 1] == _GRAPHIC_CONTROL:
                control = _without_disposal(data[start:position])
        elif data[position] == _IMAGE:
            colours = _table_bytes(data[position + 9])
            position, steps = _after_sub_blocks(data, position + 11 + colours, steps)
            if image is None:
                image = data[start:position]
                # A frame may reach beyond the screen; decoders then widen the screen.
                width = max(width, _word(image, 1) + _word(image, 5))
                height = max(height, _word(image, 3) + _word(image, 7))
        else:
            raise DamagedImage("the GIF holds an unknown block")
    if image is None:
        raise DamagedImage("the GIF holds no image")
    screen = width.to_bytes(4, "little")[:2] + height.to_bytes(4, "little")[:2]
    kept = data[:6] + screen + data[10:13] + palette + control + image + b";"
    return Still(data=kept, size=(width, height))


def _word(data: bytes, position: int) -> int:
    return data[position] | data[position + 1] << 8


def _table_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _after_sub_blocks(data: bytes, position: int, steps: int) -> tuple[int, int]:
    """The place after a chain of sub-blocks, and the steps left for the rest of the walk."""
    while length := data[position]:
        position += 1 + length
        steps -= 1
        if steps < 0:
            raise DamagedImage("the GIF has too many blocks")
    return position + 1, steps - 1


def _without_disposal(control: bytes) -> bytes:
    """The graphic control block, asking nothing for after the frame.

    To dispose of a frame the decoder allocates a second one while it opens the file.
    """
    return control[:3] + bytes([control[3] & 0b11100011]) + control[4:]
