"""Export and the torch backend take what the trainings left, as the evaluation does."""

import shutil
from pathlib import Path

import pytest
import torch

from dsr.dsr_file import PRETRAINED, save_dsr
from dsr.network import DSR
from engine.errors import UserError
from engine.files import sha256_of
from facial_rec.loading.saving import save_finetuned
from facial_rec.networks.edgeface import build
from pipeline.default_files import choose_tuned
from pipeline.deployment.deployed_networks import choose_deployed
from pipeline.export import ExportConfig
from pipeline.recognition.backends import RecogniserOptions, open_backend


@pytest.fixture
def trained(tmp_path: Path, edgeface_file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory after a training and a fine-tuning."""
    monkeypatch.chdir(tmp_path)
    for folder in ("runs/dsr", "runs/edgeface"):
        (tmp_path / folder).mkdir(parents=True)
    shutil.copy(edgeface_file, tmp_path / "edgeface_xxs.pt")
    save_dsr(tmp_path / "runs/dsr/best.pth", DSR("small"), {})
    torch.manual_seed(1)
    tuned = build("edgeface_xxs").state_dict()
    save_finetuned(tmp_path / "runs/edgeface/edgeface_finetuned.pth", "edgeface_xxs", tuned, {})
    return tmp_path


def test_what_was_trained_is_taken_and_named(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = RecogniserOptions(backend="torch")
    hashes = open_backend(options).hashes
    assert hashes["dsr"] == sha256_of(trained / "runs/dsr/best.pth")
    assert hashes["edgeface_small"] == sha256_of(trained / "runs/edgeface/edgeface_finetuned.pth")
    told = capsys.readouterr().err
    assert "runs/dsr/best.pth" in told and "runs/edgeface/edgeface_finetuned.pth" in told and "edgeface_xxs.pt" in told
    exported = ExportConfig()
    networks = choose_deployed(exported.edgeface, exported.dsr, exported.finetuned, exported.adapter)
    assert networks.hashes == hashes


def test_what_was_trained_can_be_left_out(trained: Path) -> None:
    hashes = choose_deployed(None, "default", "none", "auto").hashes
    assert hashes["dsr"] == sha256_of(PRETRAINED)
    assert hashes["edgeface_small"] == hashes["edgeface"]
    assert "dsr" not in choose_deployed(None, "none", "none", "none").hashes


def test_an_adapter_and_a_fine_tuned_network_exclude_each_other(trained: Path) -> None:
    assert choose_tuned("auto", "auto")[1] == "none"
    assert choose_tuned("auto", "low.safetensors") == (None, "low.safetensors")
    assert choose_tuned("none", "auto") == (None, "auto")
    with pytest.raises(UserError, match="--finetuned tuned.pth and --adapter low.safetensors: .* give one"):
        choose_tuned("tuned.pth", "low.safetensors")


def test_the_torch_backend_computes_with_as_many_threads_as_were_asked_for(trained: Path) -> None:
    before = torch.get_num_threads()
    try:
        open_backend(RecogniserOptions(backend="torch", threads=2))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
