import json
import sys

import httpx
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from facial_rec import compare_weights, convert_weights, embed_images, get_weights, inspect_weights, list_weights
from facial_rec.hub import fetch
from facial_rec.inspect_weights import describe
from facial_rec.refusals import HubError


def run(main, *arguments):
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in arguments])
    return exit_.value.code


@pytest.fixture
def faces(tmp_path):
    rng = np.random.default_rng(0)
    for person in ("ann", "bob"):
        for number in range(2):
            path = tmp_path / "faces" / person / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (112, 112, 3), dtype=np.uint8)).save(path)
    return tmp_path / "faces"


def test_inspect_says_what_a_file_is(xxs_file, capsys):
    assert run(inspect_weights.main, xxs_file, "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["architecture"] == "edgeface_xxs" and facts["parameters"] == 1_244_744
    assert facts["container"] == "torch.save checkpoint" and facts["dtype"] == "float32" and facts["official"] is None
    assert run(inspect_weights.main, xxs_file) == 0
    assert "1,244,744" in capsys.readouterr().out


def test_inspect_names_official_files(shared):
    assert describe(shared / "weights" / "edgeface_xs_q.pt")["official"] == "edgeface_xs_q.pt"


def test_inspect_refuses_in_one_line(tmp_path, capsys):
    (tmp_path / "a.pt").write_text("version https://git-lfs.github.com/spec/v1\n")
    assert run(inspect_weights.main, tmp_path / "a.pt") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "git lfs pull" in error


def test_convert_writes_prints_parity_and_never_overwrites(xxs_file, tmp_path, capsys):
    out = tmp_path / "a.safetensors"
    assert run(convert_weights.main, xxs_file, out, "--dtype", "float16") == 0
    assert "parity" in capsys.readouterr().out
    with safe_open(out, framework="pt") as file:
        assert file.get_tensor("stem.0.weight").dtype == torch.float16
    before = out.read_bytes()
    assert run(convert_weights.main, xxs_file, out) == 2
    assert out.read_bytes() == before
    assert run(convert_weights.main, xxs_file, xxs_file, "--overwrite") == 2


def test_list_shows_every_variant_and_the_licence(capsys):
    assert run(list_weights.main) == 0
    out = capsys.readouterr().out
    assert "edgeface_s_gamma_05" in out and "3,652,520" in out and "CC BY-NC-SA" in out


def test_embed_writes_names_and_unit_embeddings(xxs_file, faces, tmp_path):
    assert run(embed_images.main, faces, tmp_path / "out.npz", "--edgeface", xxs_file, "--device", "cpu") == 0
    with np.load(tmp_path / "out.npz") as stored:
        assert stored["names"].tolist() == ["ann/0.png", "ann/1.png", "bob/0.png", "bob/1.png"]
        assert np.allclose(np.linalg.norm(stored["embeddings"], axis=1), 1, atol=1e-5)
    assert run(embed_images.main, faces, tmp_path / "out.csv", "--edgeface", xxs_file) == 2


def test_compare_finds_a_copy_equal(xxs_file, converted, faces, capsys):
    assert run(compare_weights.main, xxs_file, converted["safetensors"], faces, "--device", "cpu") == 0
    out = capsys.readouterr().out
    assert "cosine mean 1.000000" in out and "2 genuine, 4 impostor pairs" in out


def test_get_places_a_checked_file_where_names_are_looked_up(xxs_file, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(get_weights, "fetch", lambda address: xxs_file)
    assert run(get_weights.main, "edgeface_xxs", "--out", tmp_path) == 0
    assert (tmp_path / "edgeface_xxs.pt").read_bytes() == xxs_file.read_bytes()
    assert "CC BY-NC-SA" in capsys.readouterr().out
    assert run(get_weights.main, "edgeface_base", "--out", tmp_path) == 2
    assert run(get_weights.main, "edgeface_xl", "--out", tmp_path) == 2


def test_no_network_is_said_in_one_line(monkeypatch):
    def unreachable(*_):
        raise httpx.ConnectError("no route")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", unreachable)
    with pytest.raises(HubError, match="cannot be reached"):
        fetch("hf://Idiap/EdgeFace-XXS/edgeface_xxs.pt")


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(HubError, match=r"dsr-edgeface\[hub\]"):
        fetch("hf://Idiap/EdgeFace-XXS/edgeface_xxs.pt")


def test_a_repository_with_several_weights_asks_which(monkeypatch):
    monkeypatch.setattr("huggingface_hub.HfApi.list_repo_files", lambda *_: ["a.pt", "b.pt", "README.md"])
    with pytest.raises(HubError, match="2 weights files"):
        fetch("hf://owner/name")


@pytest.mark.parametrize("address", ["hf://owner", "hf://", "hf://owner/name/../../x"])
def test_addresses_that_are_none_are_refused(address):
    with pytest.raises(HubError, match="not a model hub address"):
        fetch(address)
