import json
import sys
from dataclasses import replace

import httpx
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from dataset.photographs.seen_faces import FaceReader
from engine.files import sha256_of
from facial_rec import compare_weights, convert_weights, embed_images, get_weights, inspect_weights, list_weights
from facial_rec.inspect_weights import describe
from facial_rec.loading.adapter import write_adapter
from facial_rec.loading.hub import OFFICIAL, OFFICIAL_SHA256, fetch, fetch_official
from facial_rec.loading.refusals import HubError, MismatchError
from facial_rec.loading.saving import format_for, save_finetuned
from facial_rec.loading.torch_notices import no_deprecation_notices
from facial_rec.networks.edgeface import ARCHITECTURES


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


def test_inspect_prints_metadata_one_fact_a_line(xxs, tmp_path, capsys):
    facts = {"options": {"lr": 1e-4, "sizes": [8, 16]}, "epochs": 3}
    save_finetuned(tmp_path / "tuned.pth", "edgeface_xxs", xxs, facts)
    assert run(inspect_weights.main, tmp_path / "tuned.pth") == 0
    lines = capsys.readouterr().out.splitlines()
    assert "metadata" in lines and "  options" in lines and "    lr     0.0001" in lines
    assert "    sizes  8, 16" in lines and max(map(len, lines)) < 200


@pytest.mark.parametrize("name", ["a.onnx", "a", "a.bin", "a.pt.gz", "a.keras"])
def test_convert_refuses_an_ending_that_no_format_has_with_those_there_are(name, xxs_file, tmp_path, capsys):
    assert run(convert_weights.main, xxs_file, tmp_path / name) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert ".pth (state_dict), .safetensors (safetensors)" in line and ("pipeline export" in line) == (name == "a.onnx")
    assert not (tmp_path / name).exists()


def test_a_named_format_is_held_against_the_ending(tmp_path):
    for form, name in (("torchscript", "a.safetensors"), ("safetensors", "a.pt"), ("state_dict", "a.ts")):
        with pytest.raises(MismatchError, match=f"stands for {format_for(tmp_path / name)}, not {form}"):
            format_for(tmp_path / name, form)
    for form, name in (("state_dict", "a.bin"), ("torchscript", "b.PT"), ("safetensors", "c")):
        assert format_for(tmp_path / name, form) == form


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


def test_convert_prints_json(xxs_file, tmp_path, capsys):
    assert run(convert_weights.main, xxs_file, tmp_path / "a.ts", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["format"] == "torchscript" and facts["cosine"] > 0.99999 and facts["bytes"] > 1e6


def test_convert_writes_nothing_where_the_result_is_another_network(xxs_file, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(convert_weights, "parity", lambda *_: (0.9, 0.1))
    assert run(convert_weights.main, xxs_file, tmp_path / "a.pt") == 2
    assert "not written" in capsys.readouterr().err and list(tmp_path.iterdir()) == []


def test_list_shows_every_variant_what_was_found_and_the_licence(xxs_file, capsys, monkeypatch):
    monkeypatch.setenv("EDGEFACE_WEIGHTS", str(xxs_file.parent))
    assert run(list_weights.main) == 0
    out = capsys.readouterr().out
    assert "edgeface_s_gamma_05" in out and "3,652,520" in out and "CC BY-NC-SA" in out
    assert run(list_weights.main, "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    variants = {variant["variant"]: variant for variant in listed["variants"]}
    assert variants.keys() == ARCHITECTURES.keys() and xxs_file.as_posix() in variants["edgeface_xxs"]["found"]
    assert variants["edgeface_s_gamma_05"]["parameters"] == 3_652_520


def test_embed_writes_names_and_unit_embeddings(xxs_file, faces, tmp_path):
    assert run(embed_images.main, faces, tmp_path / "out.npz", "--edgeface", xxs_file, "--device", "cpu") == 0
    with np.load(tmp_path / "out.npz") as stored:
        assert stored["names"].tolist() == ["ann/0.png", "ann/1.png", "bob/0.png", "bob/1.png"]
        assert np.allclose(np.linalg.norm(stored["embeddings"], axis=1), 1, atol=1e-5)
        assert stored["weights_sha256"] == sha256_of(xxs_file) and stored["adapter_sha256"] == ""
    assert run(embed_images.main, faces, tmp_path / "out.csv", "--edgeface", xxs_file) == 2


def test_embed_writes_an_array_and_the_list_of_its_names(xxs_file, faces, tmp_path):
    assert run(embed_images.main, faces, tmp_path / "out.npz", "--edgeface", xxs_file, "--device", "cpu") == 0
    assert run(embed_images.main, faces, tmp_path / "out.npy", "--edgeface", xxs_file, "--device", "cpu") == 0
    with np.load(tmp_path / "out.npz") as stored:
        assert np.array_equal(np.load(tmp_path / "out.npy", allow_pickle=False), stored["embeddings"])
        assert (tmp_path / "out.txt").read_text().splitlines() == stored["names"].tolist()


def test_embed_finds_and_aligns_faces_in_photographs_and_says_how_many(shared, xxs_file, tmp_path, capsys):
    photograph = sorted((shared / "faces/lfw_raw").glob("*/*_0001.jpg"))[0]
    (tmp_path / "in").mkdir()
    Image.open(photograph).save(tmp_path / "in/photograph.png")
    Image.fromarray(FaceReader().read(photograph)[0].pixels).save(tmp_path / "in/aligned.png")
    Image.new("RGB", (300, 300)).save(tmp_path / "in/nobody.png")
    options = ["--edgeface", xxs_file, "--device", "cpu"]
    assert run(embed_images.main, tmp_path / "in", tmp_path / "out.npz", *options) == 1
    printed = capsys.readouterr()
    assert "2 embeddings" in printed.out and "pictures: 1 found and aligned, 1 crop (112x112)" in printed.out
    assert "nobody.png: no face of 20 px or more found" in printed.err
    with np.load(tmp_path / "out.npz") as stored:
        assert stored["names"].tolist() == ["aligned.png", "photograph.png"]
        assert stored["embeddings"][0] @ stored["embeddings"][1] > 0.9999
    assert run(embed_images.main, tmp_path / "in", tmp_path / "out.npz", *options, "--crops") == 0
    assert "pictures: 3 crop (--crops)" in capsys.readouterr().out


def test_embed_records_the_adapter_too(xxs, xxs_file, faces, tmp_path):
    adapter = tmp_path / "a.safetensors"
    write_adapter(adapter, xxs, xxs | {"head.fc.bias": xxs["head.fc.bias"] + 0.1}, {})
    more = ["--edgeface", xxs_file, "--adapter", adapter]
    assert run(embed_images.main, faces, tmp_path / "out.npz", *more, "--device", "cpu") == 0
    with np.load(tmp_path / "out.npz") as stored:
        assert stored["adapter_sha256"] == sha256_of(adapter)


def test_compare_finds_a_copy_equal(xxs_file, converted, faces, capsys):
    assert run(compare_weights.main, xxs_file, converted["safetensors"], faces, "--device", "cpu") == 0
    out = capsys.readouterr().out
    assert "cosine mean 1.000000" in out and "2 genuine and 4 impostor pairs" in out
    assert run(compare_weights.main, xxs_file, converted["safetensors"], faces, "--json") == 0
    compared = json.loads(capsys.readouterr().out)
    assert compared["cosine_least"] > 0.99999 and compared["faces"] == 4
    assert compared["taken"] == {"crop (112x112)": 4}
    first, second = compared["files"]
    assert first["auc"] == second["auc"] and first["genuine_pairs"] == 2 and first["tar_at_far_0.01"] is None


def test_compare_refuses_embeddings_of_another_width(xxs_file, faces, tmp_path, capsys):
    torch.manual_seed(0)
    narrow = torch.nn.Sequential(torch.nn.AvgPool2d(14), torch.nn.Flatten(), torch.nn.Linear(192, 32))
    with no_deprecation_notices():
        torch.jit.trace(narrow, torch.rand(2, 3, 112, 112)).save(tmp_path / "narrow.ts")
    assert run(compare_weights.main, xxs_file, tmp_path / "narrow.ts", faces, "--device", "cpu") == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "embeddings of 32 numbers" in error


def test_compare_scores_every_pair_once(faces, monkeypatch):
    rng = np.random.default_rng(0)
    embeddings = rng.standard_normal((4, 512)).astype(np.float32)
    seen = []
    monkeypatch.setattr(compare_weights, "_figures", lambda scores, same: seen.append((scores, same)) or {})
    names = ["ann/0.png", "ann/1.png", "bob/0.png", "bob/1.png"]
    compare_weights._verification(faces, names, [embeddings, embeddings])
    naive = [embeddings[i] @ embeddings[j] for i in range(4) for j in range(i + 1, 4)]
    assert np.allclose(seen[0][0], naive, rtol=1e-4) and seen[0][1].tolist() == [True, *[False] * 4, True]


def test_compare_without_peoples_folders_says_why_nothing_is_verified(xxs_file, faces, capsys):
    assert run(compare_weights.main, xxs_file, xxs_file, faces / "ann") == 0
    assert "not known whose faces" in capsys.readouterr().out


@pytest.fixture
def hub(xxs_file, monkeypatch):
    """A model hub that has one published file; returns the requests made to it."""
    requests = []

    def download(repository, file, revision):
        requests.append((repository, file, revision))
        return str(xxs_file)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    monkeypatch.setattr("huggingface_hub.HfApi.list_repo_files", lambda *_, **__: ["edgeface_xxs.pt", "README.md"])
    published = replace(OFFICIAL["edgeface_xxs"], sha256=sha256_of(xxs_file))
    monkeypatch.setitem(OFFICIAL, "edgeface_xxs", published)
    return requests


def test_get_places_a_checked_file_where_names_are_looked_up(xxs_file, hub, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(OFFICIAL_SHA256, OFFICIAL["edgeface_xxs"].sha256, "edgeface_xxs.pt")
    assert run(get_weights.main, "edgeface_xxs", "--out", tmp_path) == 0
    assert (tmp_path / "edgeface_xxs.pt").read_bytes() == xxs_file.read_bytes()
    assert "CC BY-NC-SA" in capsys.readouterr().out
    assert hub == [("Idiap/EdgeFace-XXS", "edgeface_xxs.pt", "e710f4647ac4dde011c13f82224539d24800ab92")]
    assert run(get_weights.main, "edgeface_xxs", "--out", tmp_path) == 0
    assert "there already" in capsys.readouterr().out and len(hub) == 1
    (tmp_path / "edgeface_xxs.pt").write_bytes(b"mine")
    assert run(get_weights.main, "edgeface_xxs", "--out", tmp_path) == 2
    assert (tmp_path / "edgeface_xxs.pt").read_bytes() == b"mine"


def test_get_refuses_names_that_are_not_on_the_hub_and_says_where_they_are(tmp_path, capsys):
    assert run(get_weights.main, "edgeface_xl", "--out", tmp_path) == 2
    assert "one of: edgeface_xxs" in capsys.readouterr().err
    assert run(get_weights.main, "edgeface_xxs_q", "--out", tmp_path) == 2
    assert "github.com/otroshi/edgeface" in capsys.readouterr().err


def test_a_published_file_with_other_bytes_is_refused(hub, tmp_path, monkeypatch):
    monkeypatch.setitem(OFFICIAL, "edgeface_xxs", replace(OFFICIAL["edgeface_xxs"], sha256="0" * 64))
    with pytest.raises(HubError, match="published 000000000000"):
        fetch_official("edgeface_xxs")


def test_get_takes_any_address(xxs_file, hub, tmp_path):
    assert run(get_weights.main, "hf://someone/model/edgeface_xxs.pt", "--out", tmp_path) == 0
    assert hub == [("someone/model", "edgeface_xxs.pt", None)]


def test_no_network_is_said_in_one_line(monkeypatch):
    def unreachable(*_, **__):
        raise httpx.ConnectError("no route")

    monkeypatch.setattr("huggingface_hub.HfApi.list_repo_files", unreachable)
    with pytest.raises(HubError, match="cannot be reached"):
        fetch("hf://Idiap/EdgeFace-XXS/edgeface_xxs.pt")


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(HubError, match=r"dsr-edgeface\[hub\]"):
        fetch("hf://Idiap/EdgeFace-XXS/edgeface_xxs.pt")


def test_a_repository_with_several_weights_asks_which(monkeypatch):
    monkeypatch.setattr("huggingface_hub.HfApi.list_repo_files", lambda *_, **__: ["a.pt", "b.pt", "README.md"])
    with pytest.raises(HubError, match="2 weights files"):
        fetch("hf://owner/name")
    with pytest.raises(HubError, match="no such file there; its weights files: a.pt, b.pt"):
        fetch("hf://owner/name/c.pt")


def test_a_file_in_the_hubs_cache_needs_no_network(xxs_file, monkeypatch):
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_, **__: str(xxs_file))
    assert fetch("hf://owner/name/a.pt") == xxs_file


@pytest.mark.parametrize("address", ["hf://owner", "hf://", "hf://owner/name/../../x"])
def test_addresses_that_are_none_are_refused(address):
    with pytest.raises(HubError, match="not a model hub address"):
        fetch(address)
