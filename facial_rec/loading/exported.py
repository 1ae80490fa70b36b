"""`torch.export` archives (.pt2): their tensors read directly, their program checked before torch may build it.

`torch.export.load` falls back to full unpickling, evaluates expressions with sympy and looks operators up by any
dotted name under `torch`: a crafted file could run code in three ways.
"""

import ast
import json
import re
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from facial_rec.loading.pickles import check_checkpoint
from facial_rec.loading.refusals import DamagedError, UnsafeError
from facial_rec.loading.torch_notices import no_deprecation_notices

_WEIGHTS_CONFIG = re.compile(r"[^/]+/data/weights/[^/]+_weights_config\.json")
_OPERATOR = re.compile(
    r"torch\.ops\.(aten|prims|higher_order)\.(?!from_file)\w+(\.\w+)?|_operator\.(?!attrgetter|itemgetter|methodcaller)\w+"
    r"|torch\.sym_\w+|math\.\w+"
)
_EXPRESSION_WORDS = {"Symbol", "positive", "integer", "nonnegative", "real", "True", "False", "Max", "Min", "Mod"}
_EXPRESSION_WORDS |= {"FloorDiv", "CleanDiv", "PythonMod", "Eq", "Ne", "Ge", "Gt", "Le", "Lt", "And", "Or", "Not", "oo"}
_GUARD_CALLS = ("size", "stride", "dim", "ndimension", "storage_offset", "numel")
# Numbers of torch._export.serde.schema.ScalarType.
_DTYPES = {
    1: torch.uint8,
    2: torch.int8,
    3: torch.int16,
    4: torch.int32,
    5: torch.int64,
    6: torch.float16,
    7: torch.float32,
    8: torch.float64,
    12: torch.bool,
    13: torch.bfloat16,
}


def check_exported(path: Path) -> None:
    """Check that building the program runs nothing but torch's own operators.

    Raises:
        UnsafeError: It holds pickled objects, or names or expressions beyond torch's operators.
        DamagedError: Its description cannot be read.
    """
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if "/data/constants/" in name and not name.endswith(".json") and "/tensor_" not in name:
                raise UnsafeError(
                    f"{path}: holds a pickled object ({name}); nothing was run. Export plain tensors only"
                )
            if name.endswith(".json"):
                for key, value in _fields(_json(path, archive, name)):
                    _check_field(path, key, value)
            elif "/data/sample_inputs/" in name or name.endswith(".pt"):
                _check_inner(path, archive.read(name))


def exported_tensors(path: Path) -> dict[str, Tensor]:
    """Read parameters and buffers without building the program.

    Returns:
        Name to tensor on the CPU.

    Raises:
        DamagedError: A tensor's data is missing or shorter than its shape says.
    """
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if _WEIGHTS_CONFIG.fullmatch(name)]
        if len(names) != 1:
            raise DamagedError(f"{path}: {len(names)} tables of weights where one is expected; export it again")
        folder = names[0].rpartition("/")[0]
        config = _json(path, archive, names[0]).get("config")
        if not isinstance(config, dict):
            raise DamagedError(f"{path}: its table of weights is damaged; export it again")
        return {name: _tensor(path, archive, folder, name, entry) for name, entry in config.items()}


def load_exported(path: Path, device: torch.device) -> nn.Module:
    """Build the program on a device, once `check_exported` has let it pass.

    Raises:
        DamagedError: torch cannot build it.
    """
    from torch.export.passes import move_to_device_pass

    try:
        with no_deprecation_notices():
            program = torch.export.load(path)
            return move_to_device_pass(program, str(device)).module()
    except Exception as error:  # torch.export raises classes of its own that have no public base
        reason = " ".join(str(error).split())[:120]
        raise DamagedError(f"{path}: not readable as a torch.export program ({reason}); export it again") from None


def _tensor(path: Path, archive: zipfile.ZipFile, folder: str, name: str, entry: Any) -> Tensor:
    try:
        meta = entry["tensor_meta"]
        sizes, strides = ([int(number["as_int"]) for number in meta[key]] for key in ("sizes", "strides"))
        offset = int(meta["storage_offset"]["as_int"])
        data = bytearray(archive.read(f"{folder}/{entry['path_name']}"))
        flat = torch.frombuffer(data, dtype=_DTYPES[meta["dtype"]]) if data else torch.zeros(0)
        return torch.as_strided(flat, sizes, strides, offset).contiguous()
    except (KeyError, TypeError, ValueError, RuntimeError, OverflowError) as error:
        reason = " ".join(str(error).split())[:80]
        raise DamagedError(f"{path}: tensor {name} cannot be read ({reason}); export it again") from None


def _check_field(path: Path, key: str, value: Any) -> None:
    if key == "use_pickle" and value:
        raise UnsafeError(f"{path}: holds a pickled tensor; nothing was run. Export plain tensors only")
    if key == "target" and _names_code(value):
        raise UnsafeError(f"{path}: its program calls {value[:80]}, not an operator of torch; nothing was run")
    if key == "expr_str" and not _is_plain_expression(str(value)):
        raise UnsafeError(f"{path}: a size in its program is code ({str(value)[:60]!r}); nothing was run")
    if key == "guards_code" and not all(_is_plain_guard(str(guard)) for guard in value or ()):
        raise UnsafeError(f"{path}: a guard in its program is code; nothing was run")


def _names_code(target: Any) -> bool:
    """Tell whether torch would look this operator's name up, and find something that is no operator."""
    looked_up = isinstance(target, str) and target.startswith(("torch", "_operator", "math", "#"))
    return looked_up and "." in target and not _OPERATOR.fullmatch(target)


def _is_plain_expression(text: str) -> bool:
    words = set(re.findall(r"[^\W\d]\w*", text))
    allowed = all(word in _EXPRESSION_WORDS or re.fullmatch(r"[su]\d+", word) for word in words)
    return allowed and re.fullmatch(r"[\w\s+\-*/(),.='<>]*", text) is not None


def _is_plain_guard(text: str) -> bool:
    try:
        nodes = list(ast.walk(ast.parse(text, mode="eval")))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    calls = [node.func for node in nodes if isinstance(node, ast.Call)]
    return all(isinstance(call, ast.Attribute) and call.attr in _GUARD_CALLS for call in calls) and not any(
        isinstance(node, ast.Lambda | ast.NamedExpr | ast.ListComp | ast.GeneratorExp | ast.Await) for node in nodes
    )


def _check_inner(path: Path, data: bytes) -> None:
    """Check a checkpoint inside the archive, as sample inputs are: torch would unpickle it without limits."""
    if not data:
        return
    if not data.startswith(b"PK"):
        raise UnsafeError(f"{path}: holds sample inputs in an old pickle format; nothing was run. Export it again")
    check_checkpoint(path, BytesIO(data))


def _json(path: Path, archive: zipfile.ZipFile, name: str) -> Any:
    try:
        return json.loads(archive.read(name))
    except (ValueError, RecursionError):
        raise DamagedError(f"{path}: {name} is not valid JSON; download or export it again") from None


def _fields(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield every key and value of nested JSON."""
    stack = [value]
    while stack:
        current = stack.pop()
        if isinstance(current, dict):
            yield from current.items()
            stack.extend(current.values())
        elif isinstance(current, list):
            stack.extend(current)
