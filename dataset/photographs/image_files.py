"""Pictures in and out: whatever a camera, a scanner or a web site made, as uint8 RGB."""

import contextlib
import errno
import io
import os
import stat
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from dataset.photographs.photograph_folders import what_it_is
from dataset.photographs.pixels_alone import pixels_alone
from engine.errors import UserError
from engine.files import atomic_path

DECODER_ERRORS = (OSError, SyntaxError, ValueError, EOFError, TypeError, LookupError, struct.error, zlib.error)
"""What Pillow's decoders raise on damaged files."""

_TURNS: dict[Any, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What brings a picture of each Exif orientation upright."""


class ImageError(UserError):
    """A file that cannot be read as an image."""


class _DamagedError(ImageError):
    """A file whose contents are at fault."""


def read_image(path: str | Path) -> NDArray[np.uint8]:
    """Read an image as (H, W, 3) uint8 RGB.

    The EXIF orientation is applied where it can be read; other metadata, damaged or not, change nothing. Transparency
    is laid on black; grey, palette, CMYK and 16-bit pictures are converted, 16 bits by their upper 8; of an animation
    the first frame is taken.

    Raises:
        ImageError: It is missing, no file, not readable, empty, truncated, no image, or larger than 89 megapixels.
    """
    path = Path(path)
    _refuse_no_file(path)
    return _decoded(path, path)


def image_size(path: Path) -> tuple[int, int] | None:
    """Return the width and height that an image file's header says; None where none can be read from it."""
    try:
        _refuse_no_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                return image.size
    except (ImageError, Image.DecompressionBombError, *DECODER_ERRORS):
        return None


def read_encoded(path: Path) -> bytes:
    """Return the bytes of an image's file; raise `ImageError` as `read_image` does where there are none."""
    _refuse_no_file(path)
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from None


def _refuse_no_file(path: Path) -> None:
    """Raise `ImageError` where a path is no file with something in it; a pipe is not opened, which would wait."""
    try:
        found = path.stat()
    except OSError as error:
        raise _unreadable(path, error) from None
    if not stat.S_ISREG(found.st_mode):
        raise ImageError(f"{path}: {what_it_is(found.st_mode)}, no picture; remove it")
    if found.st_size == 0:
        raise ImageError(f"{path}: empty file (0 bytes); copy it again or remove it")


def _unreadable(path: Path, error: OSError) -> "ImageError":
    """Return the refusal of a picture that the system does not hand out."""
    if error.errno in (errno.EACCES, errno.EPERM):
        return ImageError(f"{path}: may not be read; allow this user to read it")
    if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENOTDIR):
        if path.is_symlink():
            return ImageError(f"{path}: a link that leads nowhere; mend or remove it")
        return ImageError(f"{path}: no such image; check the path")
    reason = os.strerror(error.errno or errno.EIO).lower()
    return ImageError(f"{path}: cannot be read ({reason}); copy it again or remove it")


def decode_image(data: bytes, name: str) -> NDArray[np.uint8]:
    """Decode an image file's bytes as `read_image` does, without a file; `name` is for messages."""
    if not data:
        raise ImageError(f"{name}: empty file (0 bytes); copy it again or remove it")
    return _decoded(io.BytesIO(data), name)


def _decoded(source: Path | io.BytesIO, name: Path | str) -> NDArray[np.uint8]:
    """Decode a file; where that fails, its pixels alone."""
    try:
        return _decoded_whole(source, name)
    except _DamagedError:
        try:
            data = source.read_bytes() if isinstance(source, Path) else source.getvalue()
        except OSError as error:
            raise _unreadable(Path(name), error) from None
        pixels = pixels_alone(data)
        if pixels is None or pixels == data:
            raise
        with contextlib.suppress(_DamagedError):
            return _decoded_whole(io.BytesIO(pixels), name)
        raise


def _decoded_whole(source: Path | io.BytesIO, name: Path | str) -> NDArray[np.uint8]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns about harmless metadata
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(source) as image:
                return _as_rgb(_upright(image))
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        limit = (Image.MAX_IMAGE_PIXELS or 0) // 1_000_000
        raise ImageError(f"{name}: larger than {limit} megapixels; make it smaller") from None
    except UnidentifiedImageError:
        raise _DamagedError(
            f"{name}: not an image in a known format; convert it to PNG or JPEG, or remove it"
        ) from None
    except DECODER_ERRORS as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise _unreadable(Path(name), error) from None
        reason = " ".join(str(error).split()) or type(error).__name__
        raise _DamagedError(f"{name}: damaged image ({reason}); copy it again or remove it") from None


def write_png(path: Path, image: NDArray[np.uint8]) -> None:
    """Write (H, W, 3) uint8 RGB as PNG, atomically."""
    with atomic_path(path) as temporary:
        Image.fromarray(image).save(temporary, format="PNG")


def encode_image(image: NDArray[np.uint8], jpeg_quality: int = 0) -> bytes:
    """Return the bytes of a file of (H, W, 3) uint8 RGB: PNG, or JPEG of a quality from 1 to 100."""
    file = io.BytesIO()
    if jpeg_quality:
        Image.fromarray(image).save(file, "JPEG", quality=jpeg_quality, subsampling=0)
    else:
        Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def _upright(image: Image.Image) -> Image.Image:
    """Turn a picture as its Exif says; Exif that cannot be read says nothing."""
    image.load()  # what is at fault in the pixels shows here
    try:
        turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation))
    except DECODER_ERRORS:
        turn = None
    return image if turn is None else image.transpose(turn)


def _as_rgb(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        grey = _eight_bits(np.asarray(image))
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.has_transparency_data:
        ink = image.convert("RGBA")
        image = Image.new("RGBA", ink.size, (0, 0, 0, 255))
        image.alpha_composite(ink)
    return np.array(image.convert("RGB"))


def _eight_bits(grey: NDArray[Any]) -> NDArray[np.uint8]:
    """Bring 16-bit, 32-bit and float grey to 8 bits; floats up to 1 are taken as a share of white."""
    values = grey.astype(np.float64)
    top = float(values.max(initial=0))
    if grey.dtype.kind == "f":
        values = values * 255 if top <= 1 else values
    elif grey.dtype.itemsize == 2 or top > 255:
        values = np.floor(values / 256)
    return np.nan_to_num(values).clip(0, 255).astype(np.uint8)
