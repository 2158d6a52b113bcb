"""A pickle read as plain data: nothing that it names is ever called.

`torch.save` and TorchScript keep a pickle beside their raw storages. Python's unpickler runs what a
pickle asks for; here every instruction only moves values, and the few names that weights need have
a meaning of their own. Any other name ends the reading.

Sources: Python's pickletools (the instructions), torch/_utils.py and
torch/csrc/jit/serialization/pickler.cpp (what stands for a tensor).
"""

import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import torch


@dataclass(frozen=True, slots=True)
class Storage:
    """Raw elements that lie elsewhere, under `key`."""

    dtype: torch.dtype
    key: str
    elements: int


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A view of a storage; offset and strides count elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Pickled:
    """What a pickle holds, and every storage that it speaks of, by key."""

    content: Any
    storages: Mapping[str, Storage]


@dataclass(slots=True, eq=False)
class Opaque:
    """An object that is no weight: its class's name, and what it holds by name."""

    kind: str
    attributes: dict[str, Any] = field(default_factory=dict)


class ForeignName(ValueError):
    """The pickle names something that weights don't need; nothing of it was run."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def read_pickle(file: BinaryIO) -> Pickled:
    """What the pickle holds, tensors as `StoredTensor`; `file` then stands behind it.

    Raises ForeignName, or ValueError for a pickle that is broken or no data.
    """
    machine = _Machine()
    try:
        for instruction, argument, _position in pickletools.genops(file):
            if instruction.name == "STOP":
                return Pickled(machine.stack.pop(), machine.storages)
            machine.step(instruction.name, argument)
    except ForeignName:
        raise
    # What a broken pickle makes of a stack: too few values, or values of a wrong type.
    except (IndexError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"broken pickle: {error}") from error
    raise ValueError("the pickle has no end")


@dataclass(frozen=True, slots=True)
class _Name:
    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


_STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


def _tensor(storage: Any, offset: int, shape: Any, strides: Any, *_: Any) -> StoredTensor:
    numbers = (offset, *shape, *strides)
    if type(storage) is not Storage or not all(type(one) is int for one in numbers):
        raise TypeError("a tensor of no numbers")
    return StoredTensor(storage, offset, tuple(shape), tuple(strides))


def _first(value: Any, *_: Any) -> Any:
    return value


def _empty(*_: Any) -> dict[str | int, Any]:
    return {}


# Calls that stand for a value, by the callee's name.
_VALUES: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _empty,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
    "torch.Size": _first,
    "torch.jit._pickle.build_boollist": _first,
    "torch.jit._pickle.build_doublelist": _first,
    "torch.jit._pickle.build_intlist": _first,
    "torch.jit._pickle.build_tensorlist": _first,
    "torch.jit._pickle.restore_type_tag": _first,
}

# What training scripts keep beside the weights: it may be there, and is not looked at.
_IGNORED = frozenset(
    {
        "_codecs.encode",
        "argparse.Namespace",
        "builtins.set",
        "collections.Counter",
        "collections.defaultdict",
        "numpy._core.multiarray._reconstruct",
        "numpy._core.multiarray.scalar",
        "numpy.core.multiarray._reconstruct",
        "numpy.core.multiarray.scalar",
        "numpy.dtype",
        "numpy.ndarray",
        "pathlib.Path",
        "pathlib.PosixPath",
        "pathlib.WindowsPath",
        "torch.device",
    }
    | {
        f"torch.{str(dtype).removeprefix('torch.')}"
        for dtype in (*_STORAGES.values(), torch.complex64)
    }
)

_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_ARGUMENTS = frozenset(
    [
        *("INT", "LONG", "LONG1", "LONG4", "BININT", "BININT1", "BININT2", "FLOAT", "BINFLOAT"),
        *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES"),
        *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    ]
)
_EMPTY: dict[str, Callable[[], Any]] = {
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_SET": list,
}
_SHORT_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _Machine:
    """The stack and the memo that a pickle's instructions work on."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.storages: dict[str, Storage] = {}

    def step(self, instruction: str, argument: Any) -> None:
        """Do one instruction. Raises ForeignName, and what a wrong stack makes Python raise."""
        if instruction in _CONSTANTS:
            self.stack.append(_CONSTANTS[instruction])
        elif instruction in _ARGUMENTS:
            self.stack.append(argument)
        elif instruction in _EMPTY:
            self.stack.append(_EMPTY[instruction]())
        elif instruction in _SHORT_TUPLES:
            count = _SHORT_TUPLES[instruction]
            values = tuple(self.stack.pop() for _ in range(count))
            self.stack.append(values[::-1])
        elif instruction in {"BINPUT", "LONG_BINPUT", "PUT", "MEMOIZE"}:
            self.memo[len(self.memo) if argument is None else argument] = self.stack[-1]
        elif instruction in {"BINGET", "LONG_BINGET", "GET"}:
            self.stack.append(self.memo[argument])
        elif instruction not in {"PROTO", "FRAME"}:
            # An instruction that weights never have is as foreign as a name.
            handler = _HANDLERS.get(instruction)
            if handler is None:
                raise ForeignName(f"the instruction {instruction}")
            handler(self, argument)

    def mark(self, _: Any) -> None:
        self.below.append(self.stack)
        self.stack = []

    def since_mark(self) -> list[Any]:
        values, self.stack = self.stack, self.below.pop()
        return values

    def make_tuple(self, _: Any) -> None:
        values = self.since_mark()
        self.stack.append(tuple(values))

    def append(self, _: Any) -> None:
        value = self.stack.pop()
        self._list().append(value)

    def appends(self, _: Any) -> None:
        values = self.since_mark()
        self._list().extend(values)

    def set_item(self, _: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set([key], [value])

    def set_items(self, _: Any) -> None:
        values = self.since_mark()
        self._set(values[::2], values[1::2])

    def put_name(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self._put_name(module, name)

    def put_stacked_name(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self._put_name(str(module), str(name))

    def reduce(self, _: Any) -> None:
        arguments, callee = self.stack.pop(), self.stack.pop()
        value = _VALUES.get(str(callee))
        self.stack.append(Opaque(str(callee)) if value is None else value(*arguments))

    def new_object(self, _: Any) -> None:
        _arguments, kind = self.stack.pop(), self.stack.pop()
        self.stack.append(Opaque(str(kind)))

    def build(self, _: Any) -> None:
        # Dictionaries have a state too: the versions of the modules that their weights are of.
        state, built = self.stack.pop(), self.stack[-1]
        if isinstance(built, Opaque) and isinstance(state, dict):
            built.attributes.update(state)

    def put_storage(self, _: Any) -> None:
        kind, storage, key, _location, elements = self.stack.pop()[:5]
        if kind != "storage" or type(key) is not str or type(elements) is not int:
            raise TypeError("no storage")
        self.storages[key] = Storage(_STORAGES[storage.name], key, elements)
        self.stack.append(self.storages[key])

    def _put_name(self, module: str, name: str) -> None:
        known = _Name(module, name)
        is_storage = name in _STORAGES and module in {"torch", "torch.cuda"}
        is_script = module == "__torch__" or module.startswith("__torch__.")
        if not (is_storage or is_script or str(known) in _VALUES or str(known) in _IGNORED):
            raise ForeignName(str(known))
        self.stack.append(known)

    def _list(self) -> list[Any]:
        # Objects that behave as lists may be filled like them; what is in them does not matter.
        return self.stack[-1] if isinstance(self.stack[-1], list) else []

    def _set(self, keys: list[Any], values: list[Any]) -> None:
        if isinstance(self.stack[-1], dict):
            # Only plain keys: the hash of a tuple takes as deep a stack as the tuple is deep.
            pairs = zip(keys, values, strict=True)
            self.stack[-1].update((key, value) for key, value in pairs if type(key) in {str, int})


_HANDLERS: dict[str, Callable[[_Machine, Any], None]] = {
    "MARK": _Machine.mark,
    "TUPLE": _Machine.make_tuple,
    "APPEND": _Machine.append,
    "APPENDS": _Machine.appends,
    "ADDITEMS": _Machine.appends,
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_items,
    "GLOBAL": _Machine.put_name,
    "STACK_GLOBAL": _Machine.put_stacked_name,
    "REDUCE": _Machine.reduce,
    "NEWOBJ": _Machine.new_object,
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.put_storage,
}
