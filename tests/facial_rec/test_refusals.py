"""Every bad file is refused by the check meant for it, and passes when only that check is taken away."""

import io
import json
import os
import pickle
import shutil
import zipfile
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from facial_rec.embedding import EdgeFaceEmbedding
from facial_rec.loading import architecture, archives, containers, pickles, torchscript, weights
from facial_rec.loading.containers import identify
from facial_rec.loading.refusals import (
    DamagedError,
    MismatchError,
    NotWeightsError,
    OtherNetworkError,
    UnsafeError,
    ValuesError,
    WeightsError,
    WeightsNotFoundError,
)
from facial_rec.loading.weights import read_weights
from facial_rec.networks.edgeface import build


class Payload:
    """Unpickled without care, this makes a folder."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (os.mkdir, (self.path,))


def rewritten(path, edit, compression=zipfile.ZIP_STORED, extra=()):
    """Copy a zip archive, its entries changed by `edit(name, data) -> data | None`."""
    target = path.with_name("rewritten" + path.suffix)
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w", compression) as copy:
        for name in source.namelist():
            data = edit(name, source.read(name))
            if data is not None:
                copy.writestr(name, data)
        for name, data in extra:
            copy.writestr(name, data)
    return target


@pytest.fixture
def own(xxs_file, tmp_path):
    return Path(shutil.copy(xxs_file, tmp_path / "edgeface_xxs.pt"))


@pytest.mark.parametrize(
    ("content", "error", "text"),
    [
        (b"", NotWeightsError, "empty"),
        (b"hello, world\n" * 20, NotWeightsError, "text, not weights"),
        (b"\n<!DOCTYPE html><html>", NotWeightsError, "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\n", NotWeightsError, "git lfs pull"),
        (b"\x1f\x8b\x08" + bytes(50), NotWeightsError, "gzip"),
        (b"\x89PNG\r\n" + bytes(50), NotWeightsError, "PNG"),
        (b"\x89HDF\r\n" + bytes(50), NotWeightsError, "Keras"),
        (b"\x08\x07\x12\x07pytorch" + bytes(50), NotWeightsError, "ONNX"),
        (pickle.dumps({"a": 1}), NotWeightsError, "bare pickle"),
        (bytes(range(200, 256)) * 9, DamagedError, "no known weights format"),
        (b"PK\x03\x04" + bytes(100), DamagedError, "damaged zip"),
        ((10**6).to_bytes(8, "little") + b'{"a":', DamagedError, "cut short"),
    ],
)
def test_what_is_no_weights_file_is_named(content, error, text, tmp_path):
    path = tmp_path / "edgeface_xxs.pt"
    path.write_bytes(content)
    with pytest.raises(error, match=text) as caught:
        read_weights(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(WeightsNotFoundError, match="no such file"):
        read_weights(tmp_path / "none.pt")
    with pytest.raises(NotWeightsError, match="a folder"):
        read_weights(tmp_path)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root reads every file")
def test_files_without_permission_are_named(own):
    own.chmod(0)
    with pytest.raises(WeightsNotFoundError, match="chmod"):
        read_weights(own)


def test_an_unreadable_file_is_named_whoever_asks(own, monkeypatch):
    def denied(*_):
        raise PermissionError(13, "denied")

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(WeightsNotFoundError, match="permissions"):
        read_weights(own)


@pytest.mark.parametrize("form", ["state_dict", "safetensors", "torchscript", "pt2"])
@pytest.mark.parametrize("share", [0.001, 0.3, 0.9, 0.99999])
def test_a_file_cut_anywhere_is_refused(form, share, converted, tmp_path):
    data = converted[form].read_bytes()
    path = tmp_path / "half"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(WeightsError):
        read_weights(path)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: timm.create_model("edgenext_xx_small"), r"ImageNet EdgeNeXt \(1000 classes\)"),
        (lambda: timm.create_model("edgenext_xx_small", num_classes=10), "10 outputs"),
        (lambda: timm.create_model("resnet18"), "ResNet"),
        (lambda: timm.create_model("convnext_atto"), "not an EdgeFace"),
        (lambda: timm.create_model("vit_tiny_patch16_224"), "vision transformer"),
        (lambda: timm.create_model("mobilenetv3_small_050"), "unknown network"),
    ],
)
def test_other_networks_are_named(make, text, tmp_path):
    torch.save(make().state_dict(), tmp_path / "edgeface_xxs.pt")
    with pytest.raises(OtherNetworkError, match=text):
        read_weights(tmp_path / "edgeface_xxs.pt")


@pytest.mark.parametrize(
    ("names", "network"),
    [
        (("layer1.0.prelu.weight", "layer4.0.bn1.weight", "conv1.weight"), "ArcFace iResNet"),
        (("input_layer.0.weight", "body.0.res_layer.1.weight", "output_layer.3.weight"), "AdaFace"),
        (("conv1.conv.weight", "conv2_dw.conv.weight", "conv_6_sep.conv.weight"), "MobileFaceNet"),
    ],
)
def test_face_networks_are_known_by_their_tensors(names, network, tmp_path):
    state = {f"model.{name}": torch.ones(2) for name in names} | {f"model.x{i}": torch.ones(2) for i in range(9)}
    torch.save(state, tmp_path / "a.pt")
    with pytest.raises(OtherNetworkError, match=network):
        read_weights(tmp_path / "a.pt")


def test_missing_extra_and_misshaped_tensors_are_counted_and_named(xxs, tmp_path):
    state = {name: tensor for name, tensor in xxs.items() if not name.startswith("head.fc")}
    state |= {"stages.9.blocks.0.gamma": torch.ones(3), "stem.0.bias": torch.ones(25)}
    torch.save(state, tmp_path / "a.pt")
    with pytest.raises(MismatchError) as caught:
        read_weights(tmp_path / "a.pt")
    text = str(caught.value)
    assert "2 missing (head.fc.weight, head.fc.bias)" in text and "1 unexpected (stages.9.blocks.0.gamma)" in text
    assert "stem.0.bias is 25 for 24" in text and f"{len(xxs) - 3} of {len(xxs)} tensors of edgeface_xxs" in text


def test_two_networks_in_one_state_dict_are_not_guessed_between(xxs, tmp_path):
    both = {
        f"{who}.{name}": tensor * by for who, by in (("student", 1), ("teacher", 2)) for name, tensor in xxs.items()
    }
    torch.save(both, tmp_path / "a.pt")
    with pytest.raises(MismatchError, match="2 EdgeFaces.*: student, teacher"):
        read_weights(tmp_path / "a.pt")


def test_pickles_with_code_are_refused_and_never_run(xxs, tmp_path):
    touched = tmp_path / "touched"
    for legacy in (False, True):
        path = tmp_path / f"evil{legacy}.pt"
        torch.save(xxs | {"x": Payload(touched)}, path, _use_new_zipfile_serialization=not legacy)
        with pytest.raises(UnsafeError, match="mkdir"):
            read_weights(path)
    torch.save(build("edgeface_xxs"), tmp_path / "module.pt")
    with pytest.raises(UnsafeError, match="timm"):
        read_weights(tmp_path / "module.pt")
    assert not touched.exists()


def claim_more(name, data):
    """Double the size that a storage states: torch would read beyond the entry."""
    if not name.endswith("data.pkl"):
        return data
    position = data.index(b"K\x18tq")  # numel 24 of the first bias
    return data[:position] + b"K\x30tq" + data[position + 4 :]


def nan_file(xxs, path):
    torch.save(xxs | {"head.fc.bias": torch.full((512,), float("nan"))}, path)


def zero_file(xxs, path):
    torch.save({name: torch.zeros_like(tensor) for name, tensor in xxs.items()}, path)


def blind_file(xxs, path):
    torch.save(xxs | {"head.fc.weight": torch.zeros(512, 168)}, path)


def missing_file(xxs, path):
    torch.save({name: tensor for name, tensor in xxs.items() if name != "head.fc.bias"}, path)


def flipped_file(xxs, path):
    torch.save(xxs, path)
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        offset = archive.infolist()[-5].header_offset + 200
    data[offset] ^= 1
    path.write_bytes(data)


def overstated_file(xxs, path):
    torch.save(xxs, path)
    shutil.move(rewritten(path, claim_more), path)


def compressed_file(xxs, path):
    torch.save(xxs, path)
    shutil.move(rewritten(path, lambda _, data: data, zipfile.ZIP_DEFLATED), path)


def altered_safetensors(xxs, path):
    save_file(xxs, path, {"contents_sha256": "0" * 64})


CHECKS = {
    "values (NaN)": (nan_file, weights, "check_values", ValuesError),
    "values (zero)": (zero_file, weights, "check_values", ValuesError),
    "completeness": (missing_file, architecture, "check_complete", MismatchError),
    "checksums": (flipped_file, archives, "check_checksums", DamagedError),
    "contents": (altered_safetensors, weights, "check_contents", DamagedError),
}


@pytest.mark.parametrize("name", CHECKS)
def test_each_check_refuses_its_file_and_nothing_else_would(name, xxs, tmp_path, monkeypatch):
    make, module, check, error = CHECKS[name]
    path = tmp_path / "bad.pt"
    make(xxs, path)
    with pytest.raises(error):
        read_weights(path)
    monkeypatch.setattr(module, check, lambda *_: set())
    read_weights(path)


def test_an_overstated_storage_is_named_before_torch_reads_the_file(xxs, tmp_path, monkeypatch):
    overstated_file(xxs, tmp_path / "bad.pt")
    with pytest.raises(DamagedError, match="should have 192 bytes and holds 96"):
        read_weights(tmp_path / "bad.pt")
    monkeypatch.setattr(pickles, "check_zip_pickle", lambda *_: set())
    with pytest.raises(DamagedError, match="cannot be read whole"):
        read_weights(tmp_path / "bad.pt")


def test_the_self_test_alone_refuses_a_network_that_is_blind_to_the_face(xxs, tmp_path, monkeypatch):
    blind_file(xxs, tmp_path / "blind.pt")
    with pytest.raises(ValuesError, match="same embedding"):
        EdgeFaceEmbedding(tmp_path / "blind.pt")
    monkeypatch.setattr("facial_rec.embedding.check_sees", lambda *_: None)
    EdgeFaceEmbedding(tmp_path / "blind.pt")


def test_the_arch_check_alone_refuses_another_variant(xxs_file, monkeypatch):
    with pytest.raises(MismatchError):
        read_weights(xxs_file, "edgeface_base")
    monkeypatch.setattr(architecture, "check_asked", lambda *_: None)
    read_weights(xxs_file, "edgeface_base")


def test_the_dry_run_alone_names_code_before_torch_sees_it(tmp_path, xxs, monkeypatch):
    torch.save(xxs | {"x": Payload(tmp_path / "touched")}, tmp_path / "evil.pt")
    with pytest.raises(UnsafeError):
        read_weights(tmp_path / "evil.pt")
    monkeypatch.setattr(pickles, "refuse_code", lambda *_: None)
    with pytest.raises(DamagedError, match="cannot be read whole"):
        read_weights(tmp_path / "evil.pt")
    assert not (tmp_path / "touched").exists()


def test_the_size_limit_alone_refuses_an_enormous_file(own, monkeypatch):
    monkeypatch.setattr(containers, "LARGEST_FILE_BYTES", 1000)
    with pytest.raises(DamagedError, match="over the limit"):
        read_weights(own)
    monkeypatch.setattr(containers, "LARGEST_FILE_BYTES", 2**32)
    read_weights(own)


def test_a_zip_bomb_is_refused_before_it_is_unpacked(own):
    bomb = rewritten(own, lambda _, data: data)
    with zipfile.ZipFile(bomb, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("edgeface_xxs/code/bomb.py", bytes(64 * 2**20))
    assert bomb.stat().st_size < 2 * own.stat().st_size
    with pytest.raises(DamagedError, match="claims more content"):
        identify(bomb)


def test_a_compressed_checkpoint_is_refused(xxs, tmp_path):
    compressed_file(xxs, tmp_path / "a.pt")
    with pytest.raises(NotWeightsError, match="compressed"):
        read_weights(tmp_path / "a.pt")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_entries_of_one_name_are_refused(own):
    twice = rewritten(own, lambda _, data: data, extra=[("edgeface_xxs/data.pkl", b"x")])
    with pytest.raises(DamagedError, match="two entries"):
        identify(twice)


def test_a_pickle_that_claims_a_huge_memo_allocates_nothing(own):
    huge = rewritten(own, lambda name, data: b"\x80\x02}r\xff\xff\xff\x7f." if name.endswith("data.pkl") else data)
    with pytest.raises(WeightsError):
        read_weights(huge)


def test_a_zip_of_something_else_says_what_it_holds(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        archive.writestr("photos/1.txt", "x")
    with pytest.raises(NotWeightsError, match="photos/1.txt"):
        read_weights(tmp_path / "a.pt")


def test_compiled_packages_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pt2", "w") as archive:
        archive.writestr("a/data/aotinductor/model/x.so", "x")
    with pytest.raises(UnsafeError, match="compiled code"):
        read_weights(tmp_path / "a.pt2")


SCRIPT_ATTACKS = {
    "reads a file": b"ops.aten.from_file",
    "writes a file": b"torch.save",
    "foreign operators": b"ops.evil.run",
}


@pytest.mark.parametrize("attack", SCRIPT_ATTACKS)
def test_torchscript_that_reaches_out_is_refused(attack, converted, tmp_path, monkeypatch):
    source = Path(shutil.copy(converted["torchscript"], tmp_path / "a.ts"))
    call = b"\n# " + SCRIPT_ATTACKS[attack] + b"(x)\n"
    evil = rewritten(source, lambda name, data: data + call if name.endswith(".py") else data)
    with pytest.raises(UnsafeError, match="nothing was run"):
        read_weights(evil)
    monkeypatch.setattr(torchscript, "check_script_text", lambda *_: None)
    read_weights(evil)


def change_json(change):
    def edit(name, data):
        if not name.endswith("models/model.json"):
            return data
        return json.dumps(change(json.loads(data))).encode()

    return edit


def with_target(model):
    model["graph_module"]["graph"]["nodes"][0]["target"] = "torch.serialization.os.system"
    return model


def with_guard(model):
    model["guards_code"] = ["__import__('os').system('true') == 0"]
    return model


def with_expression(model):
    text = json.dumps(model).replace("Symbol('", "__import__('os').system('")
    return json.loads(text)


@pytest.mark.parametrize("change", [with_target, with_guard, with_expression])
def test_exported_programs_that_name_code_are_refused(change, converted, tmp_path):
    source = Path(shutil.copy(converted["pt2"], tmp_path / "a.pt2"))
    with pytest.raises(UnsafeError, match="nothing was run"):
        read_weights(rewritten(source, change_json(change)))


def test_exported_programs_with_pickled_inputs_are_refused_and_never_run(converted, tmp_path):
    source = Path(shutil.copy(converted["pt2"], tmp_path / "a.pt2"))
    evil = io.BytesIO()
    torch.save(Payload(tmp_path / "touched"), evil)
    bad = rewritten(source, lambda name, data: evil.getvalue() if "sample_inputs" in name else data)
    with pytest.raises(UnsafeError, match="mkdir"):
        EdgeFaceEmbedding(bad)
    assert not (tmp_path / "touched").exists()


def test_ranks_that_no_ratio_explains_are_refused(networks, tmp_path):
    state = dict(networks("edgeface_xs_gamma_06").state_dict())
    name = "stages.0.blocks.0.mlp.fc1"
    state[f"{name}.linear1.weight"] = state[f"{name}.linear1.weight"][:5]
    state[f"{name}.linear2.weight"] = state[f"{name}.linear2.weight"][:, :5]
    torch.save(state, tmp_path / "a.pt")
    with pytest.raises(MismatchError, match="rank ratio"):
        read_weights(tmp_path / "a.pt")


def test_every_refusal_is_one_line_that_the_command_prints(own):
    assert architecture.check_asked(own, architecture.ARCHITECTURES["edgeface_xxs"], None) is None
    assert pickles.check_zip_pickle(own)
