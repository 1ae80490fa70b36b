import errno
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import Tensor

from facial_rec import convert_weights
from facial_rec.loading.adapter import write_adapter
from facial_rec.loading.saving import save_finetuned, save_weights
from facial_rec.loading.weights import read_weights

State = dict[str, Tensor]

WRITERS: dict[str, Callable[[Path, State, Path], None]] = {
    "fine-tuned": lambda path, state, _: save_finetuned(path, "edgeface_xxs", state, {}),
    "adapter": lambda path, state, _: write_adapter(path, state, state | {"head.fc.bias": torch.ones(512)}, {}),
    **{
        form: lambda path, _, source, form=form: save_weights(path, read_weights(source), form)  # type: ignore[misc]
        for form in ("state_dict", "safetensors", "torchscript", "pt2")
    },
}


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let a write beyond this fail, as on a full disk."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files")
@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk_is_named_and_the_earlier_file_stays(
    writer: str, xxs: State, xxs_file: Path, tmp_path: Path
) -> None:
    path = tmp_path / "weights.bin"
    path.write_text("before")
    with pytest.raises(OSError, match="weights.bin") as raised, files_of_at_most(1000):
        WRITERS[writer](path, xxs, xxs_file)
    assert raised.value.errno == errno.EFBIG and raised.value.filename == str(path)
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files")
def test_a_conversion_to_a_full_disk_is_one_line(
    xxs_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended, files_of_at_most(100_000):
        convert_weights.main([str(xxs_file), str(tmp_path / "a.safetensors")])
    assert ended.value.code == 2
    assert f"error: {tmp_path}/a.safetensors: file too large" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
