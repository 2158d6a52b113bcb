"""In which number format the towers compute: measured once on a machine, then remembered."""

import json
import platform
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal

import structlog
import torch

from model.durable_files import write_durably
from model.serving.linear import PackedLinear

Precision = Literal["auto", "float32", "bfloat16"]

# What is measured: a linear map as image towers have them, a few milliseconds in either format.
_ROWS, _INPUTS, _OUTPUTS = 256, 768, 3072
_REPEATS = 15
# In bfloat16 everything around the linear maps is as slow as before, and digits are lost.
_LEAST_GAIN = 1.2

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}

_log = structlog.get_logger()

# What `set_precision` said, for the whole process, as torch keeps its number of threads.
_said: list[torch.dtype] = []


def set_precision(name: Precision, *, remembered: Path | None = None) -> None:
    """In which precision the encoders compute that this process makes from now on.

    "auto" takes the fastest, which `remembered` is for, as in `fastest_precision`.
    """
    _said[:] = [fastest_precision(remembered) if name == "auto" else _DTYPES[name]]


def serving_precision() -> torch.dtype:
    """What `set_precision` said last, or else the fastest."""
    return _said[0] if _said else fastest_precision()


def native_precision() -> torch.dtype:
    """bfloat16 where the processor multiplies in it, else float32.

    Elsewhere bfloat16 is emulated, slower than float32. Half precision, in which weights are
    stored, is never computed in.
    """
    capabilities = torch.cpu.get_capabilities()
    is_native = capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")
    return torch.bfloat16 if is_native else torch.float32


def fastest_precision(remembered: Path | None = None) -> torch.dtype:
    """float32 or bfloat16, whichever multiplies faster here.

    `remembered` is a file for the answer, which is measured anew on another processor, with
    another torch or another number of threads.
    """
    machine = {
        "processor": _processor(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }
    if remembered is not None and (known := _read(remembered, machine)):
        return known
    seconds = measured_seconds()
    is_faster = seconds["bfloat16"] * _LEAST_GAIN < seconds["float32"]
    chosen = "bfloat16" if is_faster else "float32"
    _log.debug("precision_measured", chosen=chosen, **machine, seconds=seconds)
    if remembered is not None:
        content = {**machine, "seconds": seconds, "chosen": chosen}
        try:
            write_durably(remembered, json.dumps(content, indent=2).encode())
        except OSError as error:
            # It is measured anew at the next start, which costs less than a start that fails.
            _log.warning("precision_not_remembered", path=str(remembered), reason=error.strerror)
    return _DTYPES[chosen]


@cache
def measured_seconds() -> Mapping[str, float]:
    """How long one linear map takes in each precision, in seconds, in this process.

    In turns, and of each the least: what else the machine does makes a time longer, never shorter.
    """
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(_ROWS, _INPUTS, generator=generator)
    weight = torch.randn(_OUTPUTS, _INPUTS, generator=generator)
    taken: dict[str, list[float]] = {name: [] for name in _DTYPES}
    with torch.inference_mode():
        sides = {
            name: (x.to(dtype), PackedLinear(weight, None, dtype))
            for name, dtype in _DTYPES.items()
        }
        for _ in range(_REPEATS):
            for name, (features, linear) in sides.items():
                start = time.perf_counter()
                linear(features)
                taken[name].append(time.perf_counter() - start)
    return {name: min(seconds) for name, seconds in taken.items()}


def _read(remembered: Path, machine: Mapping[str, object]) -> torch.dtype | None:
    try:
        content = json.loads(remembered.read_text())
        if all(content[name] == value for name, value in machine.items()):
            return _DTYPES[content["chosen"]]
    except (OSError, ValueError, KeyError, TypeError):
        # Absent or damaged, it costs one more measurement.
        pass
    return None


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
