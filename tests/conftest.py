"""Fixtures that several packages share."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState

from dataset.store import FaceStore
from dataset.synthetic.people import synthetic_faces
from engine import files
from facial_rec.networks.edgeface import build

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(autouse=True)
def fresh_accelerate_state() -> None:
    """Each training in this process may choose its own precision."""
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real data: weights/edgeface_xxs_q.pt and so on, faces/lfw/<person>/<photograph>.png and pairs.txt."""
    folder = Path(os.environ.get("REAL_FACES", ROOT.parent / "shared"))
    if not (folder / "weights" / "edgeface_xxs_q.pt").is_file():
        pytest.skip("needs real EdgeFace weights and LFW faces in the folder that REAL_FACES names")
    return folder


@pytest.fixture(scope="session")
def dataset_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared data set of synthetic faces: 6 people to train, 4 to validate, 4 photographs each."""
    root = tmp_path_factory.mktemp("dataset")
    for split, first, count in (("train", 0, 6), ("val", 100, 4)):
        people = torch.arange(first, first + count).repeat_interleave(4)
        faces = synthetic_faces(people, torch.arange(4).repeat(count), seed=0)
        pixels = faces.permute(0, 2, 3, 1).contiguous().numpy()
        names = [f"person_{int(person)}" for person in people]
        images = [f"{name}/{row % 4}.png" for row, name in enumerate(names)]
        FaceStore.build(root / f"{split}_processed", iter(pixels), images, names)
    return root


@pytest.fixture(scope="session")
def edgeface_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An EdgeFace-XXS with random weights, as a state_dict file."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "edgeface_xxs.pt"
    torch.save(build("edgeface_xxs").state_dict(), path)
    return path


@pytest.fixture(scope="session", autouse=True)
def one_thread_a_worker() -> None:
    """Two cores are shared by the test processes; more threads than that only wait for each other."""
    if os.environ.get("PYTEST_XDIST_WORKER"):
        torch.set_num_threads(1)


@pytest.fixture
def only_read(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Make a folder one in which no file can be made, for root too, as on a shared disk."""
    closed: list[Path] = []

    def refusing(original: Callable[..., Any]) -> Callable[..., Any]:
        def make(*given: Any, dir: Path | None = None, **options: Any) -> Any:
            if dir and any(Path(dir).is_relative_to(folder) for folder in closed):
                raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(Path(dir) / "tmp1"))
            return original(*given, dir=dir, **options)

        return make

    for name in ("mkstemp", "TemporaryFile"):
        monkeypatch.setattr(files.tempfile, name, refusing(getattr(files.tempfile, name)))
    return closed.append
