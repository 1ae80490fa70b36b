"""A dry run over the pickles of a checkpoint: nothing is built, nothing is called, sizes are compared with the file.

`torch.load(weights_only=True)` runs no foreign code either, but it believes the sizes that a pickle states.
"""

import io
import pickle
import struct
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from facial_rec.loading.refusals import DamagedError, UnsafeError

_BYTES_AN_ELEMENT = {
    **dict.fromkeys(("DoubleStorage", "LongStorage", "ComplexFloatStorage"), 8),
    **dict.fromkeys(("FloatStorage", "IntStorage", "QInt32Storage"), 4),
    **dict.fromkeys(("HalfStorage", "BFloat16Storage", "ShortStorage"), 2),
    "ComplexDoubleStorage": 16,
}
_LEGACY_PICKLES = 5


class _Inert:
    """Stands for whatever a pickle names: takes any call and any content, and does nothing."""

    name = ""

    def __init__(self, *arguments: Any):
        pass

    def __call__(self, *arguments: Any) -> Any:
        return self

    def __setstate__(self, state: Any) -> None:
        pass

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def __hash__(self) -> int:
        return id(self)

    def append(self, item: Any) -> None:
        """Take a list item."""

    def extend(self, items: Any) -> None:
        """Take list items."""

    def add(self, item: Any) -> None:
        """Take a set item."""


class DryRun(pickle._Unpickler):
    """Reads a pickle in pure Python (its memo is a dict, so that no index allocates), noting what it asks for.

    Attributes:
        names: Every class and function the pickle names, as "module.name".
        claimed: Storage key to the bytes that the pickle says it has.
    """

    def __init__(self, file: io.BufferedIOBase | io.BytesIO):
        super().__init__(file)
        self.names: set[str] = set()
        self.claimed: dict[str, int] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Note the name and hand out a class that does nothing."""
        self.names.add(f"{module}.{name}")
        return type("_Inert", (_Inert,), {"name": name})

    def persistent_load(self, pid: Any) -> Any:
        """Note the size that a storage claims."""
        if isinstance(pid, tuple) and len(pid) >= 5 and isinstance(pid[4], int):
            width = _BYTES_AN_ELEMENT.get(getattr(pid[1], "name", ""), 1)
            self.claimed[str(pid[2])] = max(self.claimed.get(str(pid[2]), 0), pid[4] * width)
        return _Inert()


def check_checkpoint(path: Path, archive: Path | io.BytesIO | None = None) -> None:
    """Check that a checkpoint runs nothing and claims no more than it holds.

    Args:
        path: The file, for messages.
        archive: What to read, where it is not the file itself but an archive inside it.

    Raises:
        UnsafeError: It names anything but tensors and plain containers.
        DamagedError: Its pickle cannot be read, or a storage is missing or smaller than stated.
    """
    refuse_code(path, check_zip_pickle(path, archive))


def check_legacy_checkpoint(path: Path) -> None:
    """Check a checkpoint from before torch 1.6 as `check_checkpoint` does the others."""
    refuse_code(path, check_legacy_pickle(path))


def check_zip_pickle(path: Path, archive: Path | io.BytesIO | None = None) -> set[str]:
    """Check that every storage named in a zipped pickle has the size that the pickle states.

    Where torch maps a file, a storage larger than its entry would read beyond it; where not, the line here says more.

    Args:
        path: The file, for messages.
        archive: What to read, where it is not the file itself but an archive inside it.

    Returns:
        Every class and function that the pickle names.

    Raises:
        DamagedError: The pickle cannot be read, or a storage is missing or smaller than stated.
    """
    try:
        with zipfile.ZipFile(path if archive is None else archive) as opened:
            sizes = {info.filename.partition("/")[2]: info.file_size for info in opened.infolist()}
            pickled = next(info for info in opened.infolist() if info.filename.partition("/")[2] == "data.pkl")
            run = _dry_run(path, io.BytesIO(opened.read(pickled)))
    except (zipfile.BadZipFile, StopIteration, EOFError, NotImplementedError, OSError) as error:
        raise DamagedError(f"{path}: a damaged archive ({error or 'no data.pkl'}); download it again") from None
    for key, claimed in run.claimed.items():
        held = sizes.get(f"data/{key}")
        if held is None or not 0 <= claimed <= held:
            found = "is missing" if held is None else f"holds {held}"
            raise DamagedError(f"{path}: tensor data {key} should have {claimed} bytes and {found}; download it again")
    return run.names


def check_legacy_pickle(path: Path) -> set[str]:
    """Check that the storages of a checkpoint from before torch 1.6 fit into the file.

    Returns:
        Every class and function that the pickles name.

    Raises:
        DamagedError: A pickle cannot be read, or the storages claim more than the file holds.
    """
    names: set[str] = set()
    claimed = 0
    with path.open("rb") as file:
        for _ in range(_LEGACY_PICKLES):
            run = _dry_run(path, file)
            names |= run.names
            claimed += sum(run.claimed.values())
    size = path.stat().st_size
    if not 0 <= claimed <= size:
        raise DamagedError(f"{path}: claims {claimed} bytes of tensors in a file of {size}; download it again")
    return names


def refuse_code(path: Path, names: Iterable[str]) -> None:
    """Refuse a checkpoint that names anything but tensors and plain containers.

    Raises:
        UnsafeError: With the first names; none was imported or called.
    """
    foreign = sorted(name for name in names if not _is_plain(name))
    if foreign:
        shown = ", ".join(foreign[:3]) + (f" and {len(foreign) - 3} more" if len(foreign) > 3 else "")
        raise UnsafeError(
            f"{path}: to load it, code would have to run ({shown}); nothing was run. "
            "If you trust its author, save model.state_dict() alone with torch.save"
        )


def _is_plain(name: str) -> bool:
    module, _, attribute = name.rpartition(".")
    if module in ("torch", "torch.storage"):
        known = getattr(torch, attribute, None)
        return attribute.endswith("Storage") or isinstance(known, torch.dtype | torch.qscheme) or attribute in _TORCH
    return name in _PLAIN


_TORCH = ("Size", "device", "Tensor", "serialization")
_PLAIN = {
    "collections.OrderedDict",
    "collections.Counter",
    "builtins.set",
    "builtins.bytearray",
    "builtins.complex",
    "__builtin__.set",
    "_codecs.encode",
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_qtensor",
    "torch._tensor._rebuild_from_type_v2",
    "torch.serialization._get_layout",
    "torch.nn.parameter.Parameter",
}


def _dry_run(path: Path, file: io.BufferedIOBase | io.BytesIO) -> DryRun:
    run = DryRun(file)
    try:
        run.load()
    except (
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
    ) as error:
        reason = (" ".join(str(error).split()) or type(error).__name__)[:100]
        raise DamagedError(f"{path}: its pickle cannot be read ({reason}); download it again") from None
    return run
