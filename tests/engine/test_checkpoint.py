from pathlib import Path

import pytest
import torch

from engine.checkpoint import CheckpointError, load_checkpoint, save_checkpoint


def saved(folder: Path) -> Path:
    path = folder / "last.pth"
    save_checkpoint(path, {"format": "kind", "weight": torch.arange(4096.0), "step": 3})
    return path


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    state = load_checkpoint(saved(tmp_path), "kind")
    assert state["step"] == 3 and torch.equal(state["weight"], torch.arange(4096.0))


def test_a_flipped_bit_in_a_tensor_is_noticed(tmp_path: Path) -> None:
    path = saved(tmp_path)
    data = bytearray(path.read_bytes())
    data[data.index(torch.arange(4096.0).numpy().tobytes()[400:440])] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(CheckpointError, match="CRC"):
        load_checkpoint(path, "kind")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_truncated_checkpoint_is_refused(tmp_path: Path, share: float) -> None:
    path = saved(tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(CheckpointError, match="not a whole checkpoint"):
        load_checkpoint(path, "kind")


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "last.pth"
    torch.save({"format": "kind", "path": tmp_path}, path)
    with pytest.raises(CheckpointError, match="not a whole checkpoint"):
        load_checkpoint(path, "kind")


def test_a_checkpoint_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds kind, expected other"):
        load_checkpoint(saved(tmp_path), "other")
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        load_checkpoint(tmp_path / "none.pth", "kind")


def test_a_full_disk_keeps_the_earlier_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(path, {"format": "kind", "step": 4})
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1
