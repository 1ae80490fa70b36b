import json
import multiprocessing
import os
import signal
from functools import partial

import numpy as np
import pytest
import torch

from dataset.store import FaceStore
from engine.errors import UserError
from pipeline.choose_threshold import main as choose_main
from pipeline.evaluate_dataset import main as evaluate_main
from pipeline.evaluation import embedder
from pipeline.evaluation.embedder import Chain, embed_faces
from pipeline.evaluation.embedding_processes import EmbeddingProcesses, device_of
from pipeline.evaluation.systems import load_networks

CPU = torch.device("cpu")


def test_two_processes_give_what_one_gives_in_the_same_order_and_a_lost_one_is_said(chain):
    faces = list(FaceStore.open(chain / "test_processed").faces[np.arange(20)])
    batches = [faces[:4], [faces[5], None, faces[6]], [face[::14, ::14] for face in faces[8:12]], faces[12:]]
    load = partial(load_networks, str(chain / "original.pth"), chain / "dsr.pth", chain / "finetuned.pth", "none")
    embed = partial(embed_faces, chain=Chain(True, "bicubic", True, ("original", "finetuned")))
    networks = load(CPU)
    with EmbeddingProcesses(2, load, CPU) as processes:
        found = list(processes.map(embed, batches))
        assert len(multiprocessing.active_children()) == 2
        for values, batch in zip(found, batches, strict=True):
            np.testing.assert_allclose(values, embed(networks, batch), atol=1e-6)
        assert np.isnan(found[1][1]).all() and not np.isnan(found[1][[0, 2]]).any()
        os.kill(multiprocessing.active_children()[0].pid, signal.SIGTERM)
        with pytest.raises(UserError, match="ended from outside.*fewer"):
            list(processes.map(embed, batches))
    assert multiprocessing.active_children() == []


def test_an_evaluation_by_two_processes_says_what_one_says(chain, report_folder, tmp_path, monkeypatch, run, arguments):
    shown, own = [], EmbeddingProcesses.map
    monkeypatch.setattr(embedder, "BATCH", 8)
    monkeypatch.setattr(EmbeddingProcesses, "map", lambda self, *given: shown.extend(own(self, *given)) or shown[-5:])
    more = ["--processes", "2", "--no-keep", "--systems", "dsr", "--sizes", "8"]
    assert run(evaluate_main, arguments(chain, tmp_path / "out", *more)) == 0
    assert [len(values) for values in shown] == [8, 8, 8, 8, 5] * 2  # at 8 px and at full size
    first, second = (json.loads((folder / "report.json").read_text()) for folder in (report_folder, tmp_path / "out"))
    by_one = {(result["system"], result["size_px"]): result for result in first["results"]}
    for result in second["results"]:
        expected = by_one[result["system"], result["size_px"]]
        assert result["verification"]["auc"] == pytest.approx(expected["verification"]["auc"], abs=1e-4)
        assert result["identification"]["cmc"] == expected["identification"]["cmc"]


def test_a_threshold_chosen_by_two_processes_is_that_chosen_by_one(chain, tmp_path, run):
    networks = ["--edgeface", chain / "original.pth", "--dsr", chain / "dsr.pth", "--finetuned", "none"]
    given = [chain / "val_processed", *networks, "--adapter", "none", "--sizes", "8", "--target", "far=0.05"]
    chosen = []
    for count in (1, 2):
        place = ["--cache", tmp_path / f"cache_{count}", "--out", tmp_path / f"by_{count}.json"]
        assert run(choose_main, [*given, "--processes", count, "--bootstrap", 0, *place]) == 0
        chosen.append(json.loads((tmp_path / f"by_{count}.json").read_text()))
    assert chosen[0]["value"] == pytest.approx(chosen[1]["value"], abs=1e-4)
    assert multiprocessing.active_children() == []


def test_each_process_takes_the_next_cuda_device_unless_one_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [str(device_of(number, torch.device("cuda"))) for number in range(3)] == ["cuda:0", "cuda:1", "cuda:0"]
    assert [str(device_of(number, torch.device("cuda:1"))) for number in range(2)] == ["cuda:1", "cuda:1"]
    assert [str(device_of(number, CPU)) for number in range(2)] == ["cpu", "cpu"]
