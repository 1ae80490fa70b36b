from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from facial_rec.embedding import EdgeFaceEmbedding
from facial_rec.loading.branch import BranchedEdgeFace, is_branch, write_branch
from facial_rec.loading.refusals import AdapterError
from facial_rec.networks.edgeface import build
from pipeline.deployment.deployed_networks import DeployedError, load_deployed


@pytest.fixture
def branch_file(edgeface_file: Path, tmp_path: Path) -> Path:
    torch.manual_seed(1)
    base = EdgeFaceEmbedding(edgeface_file)
    network = BranchedEdgeFace(base.trainable_copy())
    with torch.no_grad():
        network.upper[0].blocks[0].norm.bias.add_(0.1)
    path = tmp_path / "x.branch.safetensors"
    write_branch(path, base.network.state_dict(), network, {"min_size_px": 6})
    return path


def test_a_branch_sees_faces_of_any_size() -> None:
    torch.manual_seed(0)
    network = BranchedEdgeFace(build("edgeface_xxs").eval())
    for size in (6, 14, 28, 112):
        assert network(torch.rand(2, 3, size, size)).shape == (2, 512)


def test_a_file_holds_only_what_the_base_lacks_and_loads_beside_it(branch_file: Path, edgeface_file: Path) -> None:
    assert is_branch(branch_file) and branch_file.stat().st_size < 400_000
    branched, faces = EdgeFaceEmbedding(edgeface_file, adapter=branch_file), torch.rand(2, 3, 112, 112)
    assert "resolution branch" in branched.kind
    assert not torch.allclose(branched(faces), EdgeFaceEmbedding(edgeface_file)(faces))


def test_another_base_is_refused(branch_file: Path, tmp_path: Path) -> None:
    torch.manual_seed(9)
    torch.save(build("edgeface_xxs").state_dict(), tmp_path / "other.pt")
    with pytest.raises(AdapterError, match="made for another EdgeFace"):
        EdgeFaceEmbedding(tmp_path / "other.pt", adapter=branch_file)


def test_what_is_no_branch_is_not_taken_for_one(edgeface_file: Path, tmp_path: Path) -> None:
    assert not is_branch(edgeface_file) and not is_branch(tmp_path / "missing")


@pytest.mark.parametrize("damage", ["branch.0.weight", "branch.4.conv2.bias", "shape", "nan"])
def test_a_damaged_branch_is_refused(damage: str, branch_file: Path, edgeface_file: Path) -> None:
    with safe_open(branch_file, framework="pt") as file:
        facts, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    changes = {
        "shape": {"branch.2.weight": torch.ones(3)},
        "nan": {"branch.0.bias": torch.full((24,), float("nan"))},
    }
    kept = {name: tensor for name, tensor in tensors.items() if name != damage}
    save_file(kept | changes.get(damage, {}), branch_file, facts)
    with pytest.raises(AdapterError, match="make it again"):
        EdgeFaceEmbedding(edgeface_file, adapter=branch_file)


def test_a_branch_is_not_deployed_in_silence(branch_file: Path, edgeface_file: Path) -> None:
    with pytest.raises(DeployedError, match="resolution branch"):
        load_deployed(str(edgeface_file), None, True, None, str(branch_file))
