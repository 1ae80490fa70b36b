"""One bad file, program or address for each check that no other test needs; see `python -m benchmarks.checks`."""

import copy
import io
import json
import shutil
import zipfile
from pathlib import Path

import httpx
import pytest
import torch
from huggingface_hub.errors import HfHubHTTPError
from torch import nn

from facial_rec.embedding import EdgeFaceEmbedding
from facial_rec.loading import archives
from facial_rec.loading.containers import identify
from facial_rec.loading.hub import fetch
from facial_rec.loading.programs import AnyBatch, Program
from facial_rec.loading.refusals import (
    DamagedError,
    HubError,
    MismatchError,
    NotWeightsError,
    UnsafeError,
    ValuesError,
    WeightsNotFoundError,
)
from facial_rec.loading.selftest import check_sees
from facial_rec.loading.weights import read_weights


def changed(source, target, ending, edit):
    """Copy a zip archive, the entries of that ending replaced by `edit(data)`; None leaves an entry out."""
    with zipfile.ZipFile(source) as archive, zipfile.ZipFile(target, "w") as copied:
        for name in archive.namelist():
            data = archive.read(name)
            data = edit(data) if name.endswith(ending) else data
            if data is not None:
                copied.writestr(name, data)
    return target


def changed_json(change):
    return lambda data: json.dumps(change(json.loads(data))).encode()


def refused(error, text, path):
    with pytest.raises(error, match=text) as caught:
        read_weights(path)
    assert str(path) in str(caught.value)


def test_a_path_through_a_file_is_said_to_be_unreadable(xxs_file):
    refused(WeightsNotFoundError, "cannot be read", xxs_file / "inner.pt")


def test_programs_of_torch_before_2_7_are_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "old.pt2", "w") as archive:
        archive.writestr("serialized_exported_program.json", "{}")
    refused(NotWeightsError, "torch 2.6 or older", tmp_path / "old.pt2")


def test_archives_of_too_many_entries_are_refused(xxs_file, monkeypatch):
    monkeypatch.setattr(archives, "_MOST_ENTRIES", 10)
    with pytest.raises(DamagedError, match="claims more content"):
        identify(xxs_file)


def test_archives_whose_entries_share_their_bytes_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.pt", "w") as archive:
        archive.writestr("a/data/0", bytes(10_000))
        for number in range(1, 20):
            again = copy.copy(archive.filelist[0])
            again.filename = f"a/data/{number}"
            archive.filelist.append(again)
    with pytest.raises(DamagedError, match="claims more content"):
        identify(tmp_path / "bomb.pt")


def test_a_checkpoint_without_one_tensors_data_is_refused(xxs_file, tmp_path):
    refused(DamagedError, "is missing", changed(xxs_file, tmp_path / "a.pt", "/data/3", lambda data: None))


def test_a_pickle_that_is_none_is_refused(xxs_file, tmp_path):
    refused(DamagedError, "pickle cannot be read", changed(xxs_file, tmp_path / "a.pt", "data.pkl", lambda data: b"?"))


def test_an_old_checkpoint_that_claims_more_than_it_holds_is_refused(xxs, tmp_path):
    file = io.BytesIO()
    torch.save(xxs, file, _use_new_zipfile_serialization=False)
    numel = b"K\x18N"  # of the first bias, 24
    assert numel in file.getvalue()
    two_million = b"J" + (2_000_000).to_bytes(4, "little") + b"N"
    (tmp_path / "a.pt").write_bytes(file.getvalue().replace(numel, two_million, 1))
    refused(DamagedError, "claims .* bytes of tensors", tmp_path / "a.pt")


def test_torchscript_text_that_does_not_parse_is_refused(converted, tmp_path):
    broken = changed(converted["torchscript"], tmp_path / "a.ts", ".py", lambda data: b"class (" + data)
    refused(DamagedError, "not readable as TorchScript", broken)


PT2_DAMAGE = {
    "without a table of weights": ("weights_config.json", lambda data: None, DamagedError, "0 tables"),
    "with a table that is none": ("weights_config.json", lambda data: b'{"config": 3}', DamagedError, "table of weig"),
    "with invalid JSON": ("models/model.json", lambda data: b"{", DamagedError, "not valid JSON"),
    "with old sample inputs": ("sample_inputs/model.pt", lambda data: b"\x80\x02.", UnsafeError, "old pickle format"),
    "with damaged sample inputs": ("sample_inputs/model.pt", lambda data: b"PK\x03\x04", DamagedError, "damaged arch"),
}


@pytest.mark.parametrize("damage", PT2_DAMAGE)
def test_exported_programs_are_refused(damage, converted, tmp_path):
    ending, edit, error, text = PT2_DAMAGE[damage]
    refused(error, text, changed(converted["pt2"], tmp_path / "a.pt2", ending, edit))


def altered_table(change):
    def alter(table):
        entry = table["config"]["stem.0.weight"]
        change(entry)
        return table

    return changed_json(alter)


def test_an_exported_tensor_larger_than_its_data_is_refused(converted, tmp_path):
    alter = altered_table(lambda entry: entry["tensor_meta"]["sizes"].__setitem__(0, {"as_int": 10**6}))
    refused(
        DamagedError,
        "stem.0.weight cannot",
        changed(converted["pt2"], tmp_path / "a.pt2", "weights_config.json", alter),
    )


def test_an_exported_program_whose_table_misnames_a_tensor_is_refused(converted, tmp_path):
    def misname(table):
        table["config"]["stem.0.wEight"] = table["config"].pop("stem.0.weight")
        return table

    path = changed(converted["pt2"], tmp_path / "a.pt2", "weights_config.json", changed_json(misname))
    with pytest.raises(DamagedError, match="not in the state dict"):
        EdgeFaceEmbedding(path)


def test_a_pickled_tensor_in_an_exported_program_is_refused(converted, tmp_path):
    alter = altered_table(lambda entry: entry.__setitem__("use_pickle", True))
    refused(
        UnsafeError, "a pickled tensor", changed(converted["pt2"], tmp_path / "a.pt2", "weights_config.json", alter)
    )


def test_a_pickled_object_in_an_exported_program_is_refused(converted, tmp_path):
    source = Path(shutil.copy(converted["pt2"], tmp_path / "a.pt2"))
    with zipfile.ZipFile(source, "a") as archive:
        archive.writestr(f"{archive.namelist()[0].partition('/')[0]}/data/constants/custom_obj_0", b"\x80\x02.")
    refused(UnsafeError, "a pickled object", source)


def test_an_exported_program_without_its_graph_is_refused_when_built(converted, tmp_path):
    def without_graph(model):
        del model["graph_module"]
        return model

    path = changed(converted["pt2"], tmp_path / "a.pt2", "models/model.json", changed_json(without_graph))
    with pytest.raises(DamagedError, match=r"not readable as a torch\.export program"):
        Program(path).on(torch.device("cpu"))


class Other(nn.Module):
    """A program with another result than one embedding a face."""

    def __init__(self, result):
        super().__init__()
        self.result = result

    def forward(self, faces):
        return self.result(faces)


@pytest.mark.parametrize(
    "result", [lambda x: (x, "text"), lambda x: x.flatten(2), lambda x: x.flatten(1)[:0], lambda x: x.view(-1, 7)]
)
def test_programs_that_give_no_embedding_a_face_are_refused(result):
    with pytest.raises(DamagedError, match="takes no batch of"):
        AnyBatch(Other(result))(torch.zeros(2, 3, 8, 8))


@pytest.mark.parametrize(
    ("value", "text"), [(float("-inf"), "infinite"), (float("inf"), "infinite"), (3e20, "no trained"), (-3e20, "no tr")]
)
def test_values_that_no_network_has_are_refused(value, text, xxs, tmp_path):
    bias = xxs["head.fc.bias"].clone()
    bias[7] = value
    torch.save(xxs | {"head.fc.bias": bias}, tmp_path / "a.pt")
    refused(ValuesError, f"head.fc.bias .*{text}", tmp_path / "a.pt")


def test_a_negative_variance_is_refused(networks, tmp_path):
    state = dict(networks("edgeface_s").state_dict())
    state["features.0.bn.running_var"] = -state["features.0.bn.running_var"]
    torch.save(state, tmp_path / "a.pt")
    refused(ValuesError, "negative variance", tmp_path / "a.pt")


def test_embeddings_that_are_not_finite_are_refused(tmp_path):
    with pytest.raises(ValuesError, match="not finite"):
        check_sees(tmp_path, lambda faces: torch.full((2, 512), float("nan")), torch.device("cpu"))


@pytest.mark.filterwarnings("ignore")
def test_a_black_box_is_neither_tuned_nor_adapted(tmp_path):
    network = nn.Sequential(nn.Conv2d(3, 8, 8, 8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 14 * 14, 512)).eval()
    torch.jit.save(torch.jit.trace(network, torch.zeros(1, 3, 112, 112)), tmp_path / "other.ts")
    with pytest.raises(MismatchError, match="cannot be tuned"):
        EdgeFaceEmbedding(tmp_path / "other.ts").trainable_copy()
    with pytest.raises(MismatchError, match="takes no adapter"):
        EdgeFaceEmbedding(tmp_path / "other.ts", adapter=tmp_path / "adapter.safetensors")


def test_what_the_hub_refuses_is_said_in_one_line(monkeypatch):
    def denied(*_, **__):
        raise HfHubHTTPError(
            "401 Client Error\nRepository not found",
            response=httpx.Response(401, request=httpx.Request("GET", "https://hub")),
        )

    monkeypatch.setattr("huggingface_hub.HfApi.list_repo_files", denied)
    with pytest.raises(HubError, match="refused it \\(401 Client Error") as caught:
        fetch("hf://owner/name/a.pt")
    assert "\n" not in str(caught.value)


def test_an_address_without_an_owner_is_refused():
    with pytest.raises(HubError, match="not a model hub address"):
        fetch("hf:///name")
