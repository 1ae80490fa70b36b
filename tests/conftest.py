"""Fixtures that several packages share."""

import os
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real weights and faces, where they stand beside the checkout."""
    folder = ROOT.parent / "shared"
    if not (folder / "weights" / "edgeface_xxs_q.pt").is_file():
        pytest.skip("needs the real EdgeFace weights and LFW faces in ../shared, which are not here")
    return folder


@pytest.fixture(scope="session", autouse=True)
def one_thread_a_worker() -> None:
    """Two cores are shared by the test processes; more threads than that only wait for each other."""
    if os.environ.get("PYTEST_XDIST_WORKER"):
        torch.set_num_threads(1)
