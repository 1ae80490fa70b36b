"""A reader of pickles that can hold lists, bytes, booleans, numbers and numpy arrays of them, and nothing else.

Nothing that a pickle names is imported or called: arrays become `PlainArray`, made of inert parts from this module.
Written on Python's own pickle machine, whose memo is a dict, so that no index allocates.
"""

import io
import pickle
import struct
from collections.abc import Callable
from typing import Any, ClassVar

_ERRORS = (
    pickle.UnpicklingError,
    struct.error,
    EOFError,
    AttributeError,
    IndexError,
    KeyError,
    TypeError,
    ValueError,
    AssertionError,
    RecursionError,
    OverflowError,
    MemoryError,
    ImportError,
)
"""What damaged pickles raise."""


class PickleRefusedError(Exception):
    """A pickle that is damaged, or asks for more than plain values; says why."""


class PlainArray:
    """An array as it stood in the pickle.

    Attributes:
        shape: Its sides.
        kind: Its type in numpy's words, such as "u1" or "b1".
        data: Its bytes.
    """

    shape: tuple[int, ...] = ()
    kind = ""
    data = b""

    def set(self, shape: Any, kind: Any, data: Any) -> "PlainArray":
        """Take what a pickle says, if it is of the right types and sizes."""
        plain = isinstance(shape, tuple) and all(isinstance(side, int) and side >= 0 for side in shape)
        if not plain or not isinstance(kind, _Kind) or not isinstance(data, bytes | bytearray):
            raise pickle.UnpicklingError("an array that is none")
        self.shape, self.kind, self.data = shape, kind.name, bytes(data)
        return self


class _Kind:
    """Stands for a numpy dtype."""

    name = ""


class _Call:
    """Stands for a function that a pickle may name."""

    def __init__(self, run: Callable[..., Any]) -> None:
        self._run = run

    def __call__(self, *arguments: Any) -> Any:
        return self._run(*arguments)


def _kind(name: Any = b"", *_: Any) -> _Kind:
    kind = _Kind()
    kind.name = (name.decode("ascii") if isinstance(name, bytes) else str(name)).lstrip("|<=")
    return kind


def _bytes(value: Any = b"", encoding: Any = "latin1") -> bytes:
    if isinstance(value, str) and encoding in ("latin1", "latin-1", b"latin1", b"latin-1"):
        return value.encode("latin-1")
    if isinstance(value, bytes | bytearray):
        return bytes(value)
    raise pickle.UnpicklingError("bytes of something that is none")


def _scalar(kind: Any, data: Any = b"") -> int:
    raw = _bytes(data)
    if not isinstance(kind, _Kind) or kind.name not in ("b1", "u1", "i1", "i4", "i8", "u4", "u8"):
        raise pickle.UnpicklingError("a number of another kind")
    return int.from_bytes(raw, "little", signed=kind.name.startswith("i"))


_MULTIARRAY = {
    "_reconstruct": _Call(lambda *_: PlainArray()),
    "scalar": _Call(_scalar),
}
_ALLOWED: dict[str, Any] = {
    "numpy.ndarray": _Call(lambda *_: PlainArray()),
    "numpy.dtype": _Call(_kind),
    **{f"numpy.{core}.multiarray.{name}": call for core in ("core", "_core") for name, call in _MULTIARRAY.items()},
    **{
        f"numpy.{core}.numeric._frombuffer": _Call(lambda data, kind, shape, *_: PlainArray().set(shape, kind, data))
        for core in ("core", "_core")
    },
    "_codecs.encode": _Call(_bytes),
    **{f"{module}.{name}": _Call(_bytes) for module in ("builtins", "__builtin__") for name in ("bytes", "bytearray")},
}


class _PlainUnpickler(pickle._Unpickler):
    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = dict(pickle._Unpickler.dispatch)

    def find_class(self, module: str, name: str) -> Any:
        found = _ALLOWED.get(f"{module}.{name}")
        if found is None:
            raise PickleRefusedError(f"asks for {module}.{name}, which is no list, bytes, boolean or array")
        return found

    def load_build(self) -> None:
        state, thing = self.stack.pop(), self.stack[-1]  # type: ignore[attr-defined]
        if isinstance(thing, PlainArray):
            _, shape, kind, _, data = state
            thing.set(shape, kind, _bytes(data))
        elif not isinstance(thing, _Kind):
            raise pickle.UnpicklingError("a state for what has none")

    dispatch[pickle.BUILD[0]] = load_build

    def load_bytearray8(self) -> None:
        (size,) = struct.unpack("<Q", self.read(8))  # type: ignore[attr-defined]
        data = self.read(min(size, 2**62))  # type: ignore[attr-defined]
        if len(data) != size:
            raise EOFError
        self.append(bytearray(data))  # type: ignore[attr-defined]

    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8


def read_plain_pickle(data: bytes) -> Any:
    """Read a pickle of lists, tuples, dicts, text, bytes, numbers and `PlainArray`; Python 2's strings as bytes.

    Raises:
        PickleRefusedError: It is damaged, or names anything else.
    """
    try:
        return _PlainUnpickler(io.BytesIO(data), encoding="bytes").load()
    except _ERRORS as error:
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise PickleRefusedError(f"damaged ({reason})") from None
