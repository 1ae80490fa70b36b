from pathlib import Path

import pytest
import torch

from facial_rec.embedding import EdgeFaceEmbedding
from facial_rec.loading.adapter import apply_adapter, read_adapter, write_adapter
from facial_rec.loading.weights import read_weights
from facial_rec.merge import main


@pytest.fixture
def adapter(edgeface_file: Path, tmp_path: Path) -> Path:
    base = read_weights(edgeface_file)
    tuned = {name: tensor + 0.01 if tensor.dim() == 1 else tensor for name, tensor in base.state_dict.items()}
    path = tmp_path / "adapter.safetensors"
    write_adapter(path, base.state_dict, tuned, {"base_arch": base.arch})
    return path


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return ended.value.code


def test_the_merged_file_embeds_as_base_and_adapter_together(
    edgeface_file: Path, adapter: Path, tmp_path: Path
) -> None:
    out = tmp_path / "tuned.pth"
    assert call(str(edgeface_file), str(adapter), str(out)) == 0
    faces = torch.rand(2, 3, 112, 112)
    apart, merged = EdgeFaceEmbedding(edgeface_file, adapter=adapter), EdgeFaceEmbedding(out)
    torch.testing.assert_close(merged(faces), apart(faces))
    assert not torch.allclose(merged(faces), EdgeFaceEmbedding(edgeface_file)(faces))


def test_a_file_that_is_there_and_another_suffix_are_refused(
    edgeface_file: Path, adapter: Path, tmp_path: Path
) -> None:
    (tmp_path / "tuned.pth").write_bytes(b"precious")
    assert call(str(edgeface_file), str(adapter), str(tmp_path / "tuned.pth")) == 2
    assert (tmp_path / "tuned.pth").read_bytes() == b"precious"
    assert call(str(edgeface_file), str(adapter), str(tmp_path / "tuned.onnx")) == 2


def test_a_weaker_adapter_lies_between_base_and_tuned(edgeface_file: Path, adapter: Path, tmp_path: Path) -> None:
    out = tmp_path / "half.safetensors"
    assert call(str(edgeface_file), str(adapter), str(out), "--strength", "0.5") == 0
    base = read_weights(edgeface_file).state_dict
    half = apply_adapter(base, read_adapter(out))
    for name, tensor in base.items():
        torch.testing.assert_close(half[name], tensor + 0.005 if tensor.dim() == 1 else tensor, atol=1e-3, rtol=1e-3)
    assert read_adapter(out).metadata["strength"] == 0.5
    assert call(str(edgeface_file), str(out), str(tmp_path / "quarter.safetensors"), "--strength", "0.5") == 0
    assert read_adapter(tmp_path / "quarter.safetensors").metadata["strength"] == 0.25
    assert call(str(edgeface_file), str(adapter), str(tmp_path / "none.safetensors"), "--strength", "0") == 2
