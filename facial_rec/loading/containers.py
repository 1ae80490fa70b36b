"""What a file is, from its first bytes and its table of contents: never from its name."""

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from facial_rec.loading.archives import check_archive
from facial_rec.loading.refusals import DamagedError, NotWeightsError, UnsafeError, WeightsNotFoundError

LARGEST_FILE_BYTES = 4 * 2**30
_LEGACY_PICKLE = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."


class Container(StrEnum):
    """The ways in which weights are stored."""

    CHECKPOINT = "torch.save checkpoint"
    LEGACY = "torch.save checkpoint (before torch 1.6)"
    SAFETENSORS = "safetensors"
    TORCHSCRIPT = "TorchScript"
    EXPORTED = "torch.export program"


# Those that bring code of their own along with the tensors.
PROGRAMS = (Container.TORCHSCRIPT, Container.EXPORTED)


@dataclass(frozen=True)
class WeightsFile:
    """A whole file of a known kind.

    Attributes:
        path: The file.
        container: How the weights in it are stored.
    """

    path: Path
    container: Container


_OTHER_FORMATS = {
    b"\x1f\x8b": "a gzip archive; unpack it first",
    b"BZh": "a bzip2 archive; unpack it first",
    b"\xfd7zXZ": "an xz archive; unpack it first",
    b"7z\xbc\xaf": "a 7-zip archive; unpack it first",
    b"Rar!": "a RAR archive; unpack it first",
    b"\x28\xb5\x2f\xfd": "a Zstandard archive; unpack it first",
    b"\x89HDF": "an HDF5 (Keras) file; EdgeFace is published for PyTorch",
    b"\x93NUMPY": "a NumPy array; give the checkpoint that the embeddings were made with",
    b"\x89PNG": "a PNG image; give a weights file",
    b"\xff\xd8\xff": "a JPEG image; give a weights file",
    b"%PDF": "a PDF document; give a weights file",
    b"GGUF": "a GGUF file; EdgeFace is published for PyTorch",
    b"\x7fELF": "a program; give a weights file",
    b"\x08": "probably an ONNX model; give the PyTorch checkpoint that it was exported from",
}


def identify(path: Path) -> WeightsFile:
    """Tell how the weights in a file are stored, having checked that the whole file is there.

    Raises:
        WeightsNotFoundError: There is no such file, or it may not be read.
        NotWeightsError: The file is empty, a folder, text, a web page, a Git LFS pointer or of another format.
        DamagedError: The file is cut short, altered or too large.
        UnsafeError: The file brings compiled code along.
    """
    first = _first_bytes(path)
    if first.startswith(b"PK"):
        return WeightsFile(path, _zip_container(path, check_archive(path)))
    if first.startswith(_LEGACY_PICKLE):
        return WeightsFile(path, Container.LEGACY)
    if _is_safetensors(path, first):
        return WeightsFile(path, Container.SAFETENSORS)
    raise _not_weights(path, first)


def _first_bytes(path: Path) -> bytes:
    if path.is_dir():
        raise NotWeightsError(f"{path}: a folder, not a weights file; give the file inside it")
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            first = file.read(512)
    except FileNotFoundError:
        raise WeightsNotFoundError(f"{path}: no such file; check the path, or see: python -m facial_rec list") from None
    except PermissionError:
        raise WeightsNotFoundError(f"{path}: may not be read; change its permissions (chmod u+r)") from None
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        raise WeightsNotFoundError(f"{path}: cannot be read ({reason}); check the path") from None
    if size == 0:
        raise NotWeightsError(f"{path}: empty (0 bytes); download it again")
    if size > LARGEST_FILE_BYTES:
        limit = LARGEST_FILE_BYTES // 2**30
        raise DamagedError(f"{path}: {size / 2**30:.1f} GiB, over the limit of {limit} GiB; save the backbone alone")
    return first


def _zip_container(path: Path, names: list[str]) -> Container:
    inside = {name.partition("/")[2] for name in names}
    if any(name.startswith("data/aotinductor/") for name in inside):
        raise UnsafeError(f"{path}: an AOTInductor package, compiled code; give the torch.export program or weights")
    if any(name.startswith("models/") and name.endswith(".json") for name in inside):
        return Container.EXPORTED
    if any(name.startswith("serialized_exported_program") for name in names):
        raise NotWeightsError(
            f"{path}: exported by torch 2.6 or older; export it again with a later torch, or give its weights"
        )
    if "constants.pkl" in inside and any(name.startswith("code/") for name in inside):
        return Container.TORCHSCRIPT
    if "data.pkl" in inside:
        return Container.CHECKPOINT
    shown = ", ".join(names[:3])
    raise NotWeightsError(f"{path}: a zip archive without weights (it holds {shown}); unpack it first")


def _is_safetensors(path: Path, first: bytes) -> bool:
    if len(first) < 9 or first[8:9] != b"{":
        return False
    header_bytes = int.from_bytes(first[:8], "little")
    size = path.stat().st_size
    if 8 + header_bytes > size:
        raise DamagedError(
            f"{path}: a safetensors file cut short: its header of {header_bytes} bytes does not fit into "
            f"{size} bytes; download it again"
        )
    return True


def _not_weights(path: Path, first: bytes) -> NotWeightsError | DamagedError:
    if first.startswith(b"version https://git-lfs"):
        return NotWeightsError(f"{path}: a Git LFS pointer, not the weights; run git lfs pull")
    if first.lstrip()[:64].lower().startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return NotWeightsError(f"{path}: a web page, not weights; download the file itself (the raw or resolve link)")
    for magic, text in _OTHER_FORMATS.items():
        if first.startswith(magic):
            return NotWeightsError(f"{path}: {text}")
    if _is_text(first):
        beginning = " ".join(first[:40].decode("utf-8", "replace").split())
        return NotWeightsError(f"{path}: text, not weights (it begins {beginning!r}); give a weights file")
    if first.startswith(b"\x80"):
        return NotWeightsError(f"{path}: a bare pickle, not made by torch.save; save the state_dict with torch.save")
    return DamagedError(f"{path}: no known weights format (first bytes {first[:8].hex()}); download it again")


def _is_text(first: bytes) -> bool:
    text = first.decode("utf-8", "ignore")
    return len(text.encode()) >= len(first) - 3 and all(letter.isprintable() or letter.isspace() for letter in text)
