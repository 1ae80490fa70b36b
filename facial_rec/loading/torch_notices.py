"""torch's notices about formats that it will drop one day: users can do nothing about them."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_deprecation_notices() -> Iterator[None]:
    """Keep deprecation notices from the user while an old format is read, and only those."""
    with warnings.catch_warnings():
        for text in ("TypedStorage is deprecated", "torch.quantize_per_tensor", r".*torch\.jit", r".*torch\.ao"):
            warnings.filterwarnings("ignore", message=text)
        warnings.filterwarnings("ignore", category=FutureWarning, module=r"torch\.")
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"torch\.")
        exporter = logging.getLogger("torch.export")
        level = exporter.level
        exporter.setLevel(logging.ERROR)
        try:
            yield
        finally:
            exporter.setLevel(level)
