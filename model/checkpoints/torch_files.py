"""The files that torch writes: zip archives of `torch.save` and TorchScript, and what was before.

Tensors are mapped from the file, so that a file of gigabytes takes no memory until it is used.
Sources: torch/serialization.py; caffe2/serialize/inline_container.h (the archive).
"""

import mmap
import re
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model.checkpoints.pickles import Storage, StoredTensor, read_pickle

# Far more than the names and shapes of any model take.
_MAXIMUM_PICKLE_BYTES = 64_000_000
ZIP_START = b"PK\x03\x04"
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LOCAL_HEADER_BYTES = 30
_PICKLE = re.compile(r"[^/]+/data\.pkl")


@dataclass(frozen=True, slots=True)
class TorchFile:
    """What a file holds, with `Opaque` objects for all that are no weights.

    `tensor` gives a tensor's elements; it raises ValueError when the file does not have them.
    """

    is_script: bool
    content: Any
    tensor: Callable[[StoredTensor], Tensor]


def read_torch_file(path: Path) -> TorchFile:
    """Open a file of `torch.save` or `torch.jit.save`; nothing in it is run.

    Raises ForeignName when its pickle names what is no weight, ValueError when it is broken.
    """
    with path.open("rb") as file:
        if path.stat().st_size == 0:
            raise ValueError("the file is empty")
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    return _read_zip(mapped, path) if mapped[:4] == ZIP_START else _read_legacy(mapped)


def _read_zip(mapped: mmap.mmap, path: Path) -> TorchFile:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = {info.filename: info for info in archive.infolist()}
            roots = [name.removesuffix("data.pkl") for name in entries if _PICKLE.fullmatch(name)]
            if len(roots) != 1:
                raise ValueError("the archive has no data.pkl, so torch did not write it")
            root = roots[0]
            pickled = read_pickle(BytesIO(_read(archive, entries[f"{root}data.pkl"])))
            byte_order = entries.get(f"{root}byteorder")
            if byte_order and _read(archive, byte_order) != b"little":
                raise ValueError("its numbers are big-endian")
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise ValueError(f"broken archive: {error}") from error
    known: dict[str, Tensor] = {}

    def elements(storage: Storage) -> Tensor:
        if storage.key not in known:
            info = entries.get(f"{root}data/{storage.key}")
            if info is None:
                raise ValueError(f"its archive lacks data/{storage.key}")
            start = _start(mapped, info)
            content = memoryview(mapped)[start : start + info.file_size]
            if zlib.crc32(content) != info.CRC:
                raise ValueError(f"data/{storage.key} was altered or cut")
            known[storage.key] = _elements(mapped, start, info.file_size, storage)
        return known[storage.key]

    return TorchFile(
        is_script=f"{root}constants.pkl" in entries,
        content=pickled.content,
        tensor=lambda stored: _view(elements(stored.storage), stored),
    )


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    with archive.open(entry) as file:
        content = file.read(_MAXIMUM_PICKLE_BYTES + 1)
    if len(content) > _MAXIMUM_PICKLE_BYTES:
        raise ValueError(f"its {entry.filename} is over 64 MB")
    return content


def _start(mapped: mmap.mmap, info: zipfile.ZipInfo) -> int:
    if info.compress_type != zipfile.ZIP_STORED:
        raise ValueError("its weights are compressed, which torch never does")
    header = mapped[info.header_offset : info.header_offset + _LOCAL_HEADER_BYTES]
    lengths = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    return info.header_offset + _LOCAL_HEADER_BYTES + lengths


def _read_legacy(mapped: mmap.mmap) -> TorchFile:
    head = BytesIO(mapped[:_MAXIMUM_PICKLE_BYTES])
    if read_pickle(head).content != _LEGACY_MAGIC:
        raise ValueError("a pickle that torch did not write")
    read_pickle(head)  # The protocol's number.
    system = read_pickle(head).content
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise ValueError("its numbers are big-endian")
    pickled = read_pickle(head)
    keys = read_pickle(head).content
    position = head.tell()
    places: dict[str, int] = {}
    for key in keys if isinstance(keys, list) else ():
        storage = pickled.storages.get(key) if isinstance(key, str) else None
        count = int.from_bytes(mapped[position : position + 8], "little")
        if storage is None or storage.elements != count:
            raise ValueError("its list of storages is not that of its tensors")
        places[storage.key] = position + 8
        position += 8 + count * storage.dtype.itemsize

    def elements(storage: Storage) -> Tensor:
        if storage.key not in places:
            raise ValueError(f"it lacks the storage {storage.key}")
        start = places[storage.key]
        return _elements(mapped, start, len(mapped) - start, storage)

    return TorchFile(
        is_script=False,
        content=pickled.content,
        tensor=lambda stored: _view(elements(stored.storage), stored),
    )


def _elements(mapped: mmap.mmap, start: int, size_bytes: int, storage: Storage) -> Tensor:
    wanted = storage.elements * storage.dtype.itemsize
    if not 0 <= wanted <= size_bytes or start + wanted > len(mapped):
        raise ValueError("it is cut short")
    if wanted == 0:
        return torch.empty(0, dtype=storage.dtype)
    if start % storage.dtype.itemsize:
        copied = bytearray(mapped[start : start + wanted])
        return torch.frombuffer(copied, dtype=storage.dtype)
    return torch.frombuffer(mapped, dtype=storage.dtype, count=storage.elements, offset=start)


def _view(elements: Tensor, stored: StoredTensor) -> Tensor:
    lasts = [(size - 1) * stride for size, stride in zip(stored.shape, stored.strides, strict=True)]
    is_empty = 0 in stored.shape
    count = 0 if is_empty else torch.Size(stored.shape).numel()
    is_inside = min((stored.offset, *stored.shape, *stored.strides)) >= 0 and (
        is_empty or stored.offset + sum(lasts) < elements.numel()
    )
    # One element seen twice would make a small file a large tensor.
    if not is_inside or count > elements.numel():
        raise ValueError("a tensor lies outside of its storage")
    return elements.as_strided(stored.shape, stored.strides, stored.offset)
