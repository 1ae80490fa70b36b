"""What is exported is compared with its source, and written only if it still is the same recogniser."""

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from dataset.store import FaceStore
from dsr.dsr_file import PRETRAINED, save_dsr
from dsr.network import DSR
from engine.files import sha256_of
from facial_rec.loading.hub import OFFICIAL_SHA256
from facial_rec.networks.edgeface import build
from pipeline.deployment import parity
from pipeline.deployment.deployed_networks import DeployedNetworks
from pipeline.deployment.parity import measured_threshold, usual_threshold
from pipeline.export import ExportConfig, ExportError, describe, export
from pipeline.recognition.onnx_recognizer import OnnxRecognizer

onnx = pytest.importorskip("onnx", reason="needs the extra `onnx`")

from pipeline.deployment.onnx_graph import to_onnx  # noqa: E402
from pipeline.deployment.onnx_precision import calibrated, narrowed, quantised  # noqa: E402
from pipeline.deployment.streamlined import streamlined_dsr  # noqa: E402


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random networks and two splits of noise faces."""
    folder = tmp_path_factory.mktemp("source")
    draw = np.random.default_rng(0)
    for split in ("train", "val"):
        bases = draw.integers(0, 200, (10, 112, 112, 3), np.uint8)
        faces = [base + draw.integers(0, 55, base.shape, np.uint8) for base in bases for _ in range(3)]
        people = [f"person {number}" for number in range(10) for _ in range(3)]
        FaceStore.build(folder / f"{split}_processed", faces, [f"{n}.png" for n in range(30)], people)
    torch.manual_seed(0)
    dsr = DSR("small")
    torch.nn.init.normal_(dsr.tail.weight, std=0.001)
    save_dsr(folder / "dsr.pth", dsr, {})
    torch.manual_seed(3)
    torch.save(build("edgeface_xxs").state_dict(), folder / "edgeface_xxs.pth")
    return folder


def config(source: Path, out: Path, **options: object) -> ExportConfig:
    return ExportConfig(
        edgeface=str(source / "edgeface_xxs.pth"),
        dsr=str(source / "dsr.pth"),
        dataset=source,
        out=out / "recogniser",
        sizes="16,112",
        faces=30,
        **options,  # type: ignore[arg-type]
    )


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_an_onnx_file_says_what_it_is_and_how_it_compares(source: Path, tmp_path: Path, precision: str) -> None:
    export(config(source, tmp_path, precision=precision, max_tar_drop=1.0))
    metadata = OnnxRecognizer(tmp_path / "recogniser.onnx").metadata
    assert metadata["precision"] == precision and len(metadata["model"]) == 64
    assert [line["size_px"] for line in metadata["parity"]] == [16, 112]
    assert {"hashes", "licence", "input", "threshold", "threshold_origin", "threshold_far"} <= metadata.keys()
    card = (tmp_path / "recogniser.md").read_text(encoding="utf-8")
    assert "Faces of 6 to 112 px" in card and "embedded by the same recogniser" in card
    code = card.partition("```python\n")[2].partition("```")[0]
    assert 0 < len(code.splitlines()) <= 11
    compile(code, "card", "exec")


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "suffix"), [("pt2", ".pt2"), ("torchscript", ".ts"), ("safetensors", ".safetensors")])
def test_other_formats_are_compared_at_several_sizes(source: Path, tmp_path: Path, kind: str, suffix: str) -> None:
    export(config(source, tmp_path, format=kind))
    assert (tmp_path / f"recogniser{suffix}").stat().st_size > 1_000_000


@pytest.mark.slow
def test_an_export_that_fails_its_comparison_is_not_written(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.export.TOLERANCES", {"fp32": (0.0, 1.0)})
    with pytest.raises(parity.ParityError, match="nothing was written"):
        export(config(source, tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_int8_files_that_other_faces_calibrated_are_other_models(
    source: Path, one_each: Path, tmp_path: Path, deployed: DeployedNetworks
) -> None:
    def model(dataset: Path, **options: object) -> str:
        return describe(deployed, dataclasses.replace(config(source, tmp_path, **options), dataset=dataset))["model"]

    assert model(source, precision="int8") != model(one_each, precision="int8")
    deployed_alone = dataclasses.replace(deployed, dsr=None)
    alone = [describe(deployed_alone, config(data, tmp_path, precision="int8"))["model"] for data in (source, one_each)]
    assert alone[0] == alone[1]
    hashes = json.dumps({**deployed.hashes, "precision": "fp32"}, sort_keys=True)
    assert model(source) == model(one_each) == hashlib.sha256(hashes.encode()).hexdigest()


def test_options_that_do_not_go_together_are_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="--precision int8 needs --format onnx"):
        export(config(source, tmp_path, format="pt2", precision="int8"))


@pytest.mark.parametrize("kind", ["pt2", "torchscript", "safetensors"])
def test_sizes_that_the_format_does_not_hold_are_refused(source: Path, tmp_path: Path, kind: str) -> None:
    large = dataclasses.replace(config(source, tmp_path, format=kind), sizes="112")
    with pytest.raises(ExportError, match="--sizes 112: --format .* nothing would be compared"):
        export(large)
    assert list(tmp_path.iterdir()) == []


def test_an_export_compared_at_no_size_does_not_pass() -> None:
    with pytest.raises(parity.ParityError, match="compared at no size"):
        parity.check([], 1.0, 0.9, 0.01)


@pytest.fixture(scope="module")
def one_each(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Splits whose validation people have one photograph each."""
    folder = tmp_path_factory.mktemp("one_each")
    store = FaceStore.open(source / "val_processed")
    for split in ("train", "val"):
        FaceStore.build(folder / f"{split}_processed", store.faces[:12], store.images[:12], list(map(str, range(12))))
    return folder


def test_what_verification_alone_can_judge_is_refused_where_it_cannot_be_measured(
    source: Path, one_each: Path, tmp_path: Path
) -> None:
    asked = dataclasses.replace(config(source, tmp_path, precision="int8"), dataset=one_each, sizes="16")
    with pytest.raises(parity.UnverifiedError, match="TAR at FAR 1e-2 cannot be measured at 16 px"):
        export(asked)
    assert list(tmp_path.iterdir()) == []


def test_what_numbers_judge_is_written_without_a_threshold_where_none_can_be_measured(
    source: Path, one_each: Path, tmp_path: Path
) -> None:
    asked = dataclasses.replace(config(source, tmp_path, format="safetensors"), dataset=one_each, sizes="16")
    export(asked)
    assert '"threshold": null' in (tmp_path / "recogniser.md").read_text(encoding="utf-8")


def test_a_suffix_that_was_given_is_not_doubled(source: Path, tmp_path: Path) -> None:
    for name in ("mine.safetensors", "mine.v2"):
        asked = config(source, tmp_path, format="safetensors")
        export(dataclasses.replace(asked, out=tmp_path / name, sizes="16"))
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "mine.md",
        "mine.safetensors",
        "mine.v2.md",
        "mine.v2.safetensors",
    ]


def test_a_file_of_small_faces_says_that_it_takes_no_others(source: Path, tmp_path: Path) -> None:
    export(config(source, tmp_path, format="safetensors"))
    with safe_open(tmp_path / "recogniser.safetensors", framework="pt") as file:
        information = json.loads(file.metadata()["dsr_edgeface"])
    assert information["largest_px"] == 32 and information["input"].endswith("h = w in 6..32")
    card = (tmp_path / "recogniser.md").read_text(encoding="utf-8")
    assert "Faces of 6 to 32 px" in card and "embedded by the source" in card and "same recogniser" not in card


def test_a_recogniser_equals_itself_and_another_is_noticed(deployed: DeployedNetworks, source: Path) -> None:
    store = FaceStore.open(source / "val_processed")
    (same,) = parity.compare(deployed.embed, deployed.embed, store, [16], 12)
    assert same.max_difference == 0 and same.min_cosine == pytest.approx(1, abs=1e-5)
    parity.check([same], 1e-6, 0.99999, 0.0)
    (other,) = parity.compare(deployed.embed, lambda faces: -deployed.embed(faces), store, [16], 12)
    with pytest.raises(parity.ParityError, match="at 16 px"):
        parity.check([other], 1e-4, 0.999, 0.01)


def test_what_takes_no_full_size_faces_is_compared_against_the_sources_gallery(
    deployed: DeployedNetworks, source: Path
) -> None:
    def small_only(faces: np.ndarray) -> np.ndarray:
        return deployed.embed(faces) if faces.shape[-1] < 112 else -deployed.embed(faces)

    store = FaceStore.open(source / "val_processed")
    (whole,) = parity.compare(deployed.embed, small_only, store, [16], 40)
    (apart,) = parity.compare(deployed.embed, small_only, store, [16], 40, takes_full_size=False)
    assert apart.tar_after == apart.tar_before == whole.tar_before and whole.tar_after != whole.tar_before


def test_int8_computes_the_residual_convolutions_and_nothing_else(deployed: DeployedNetworks) -> None:
    canvases = np.random.default_rng(0).random((4, 3, 112, 112), np.float32)
    graph = calibrated(to_onnx(streamlined_dsr(deployed.dsr)), canvases).graph
    eight_bits = [tensor for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.INT8]
    weights = sorted(list(tensor.dims) for tensor in eight_bits if len(tensor.dims) > 1)
    assert weights == 4 * [[32, 32, 3, 3]] + 4 * [[48, 48, 3, 3]]


@pytest.mark.parametrize("axis", [0, 1])
def test_int8_weights_are_within_half_a_step_of_their_channel(axis: int) -> None:
    values = np.random.default_rng(0).normal(size=(6, 5, 3, 3)).astype(np.float32)
    whole, scale = quantised(values, axis)
    assert whole.dtype == np.int8
    assert (np.abs(whole * scale - values) <= scale / 2 + 1e-7).all()


@pytest.mark.parametrize(("precision", "share"), [("fp16", 0.55), ("int8", 0.32)])
def test_narrow_weights_make_the_file_small_and_keep_the_embedding(
    onnx_model: Path, tmp_path: Path, precision: str, share: float
) -> None:
    model = onnx.load(onnx_model)
    faces = np.random.default_rng(0).random((2, 3, 112, 112), np.float32)
    small = narrowed(model, precision)
    small.metadata_props.extend(model.metadata_props[: 1 - len(small.metadata_props)])
    path = tmp_path / "narrow.onnx"
    path.write_bytes(small.SerializeToString())
    wanted, found = (OnnxRecognizer(file).embed(faces) for file in (onnx_model, path))
    assert ((wanted * found).sum(1) > 0.98).all()
    assert json.dumps(OnnxRecognizer(path).metadata)


@pytest.mark.slow
def test_with_nothing_prepared_synthetic_faces_are_compared(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dataset").mkdir()  # as in a checkout, where it holds code
    export(ExportConfig(edgeface=str(source / "edgeface_xxs.pth"), dsr=str(source / "dsr.pth"), sizes="16", faces=20))
    told = capsys.readouterr().out
    assert "nothing prepared here" in told and "--max-tar-drop 0.01 is not applied" in told
    metadata = OnnxRecognizer(tmp_path / "runs" / "export" / "recogniser.onnx").metadata
    assert (metadata["threshold"], metadata["compared_on"]) == (None, "synthetic faces")
    assert "none is known for these networks" in metadata["threshold_origin"]


XXS = next(sha256 for sha256, name in OFFICIAL_SHA256.items() if name == "edgeface_xxs.pt")
XS = next(sha256 for sha256, name in OFFICIAL_SHA256.items() if name == "edgeface_xs_gamma_06.pt")


@pytest.mark.parametrize(
    ("changed", "usual"),
    [
        ({}, True),
        ({"edgeface": XS, "edgeface_small": XS}, False),
        ({"edgeface_small": "1" * 64}, False),
        ({"adapter": "2" * 64}, False),
        ({"dsr": "3" * 64}, False),
        ({"dsr": None}, False),
    ],
)
def test_the_usual_threshold_is_written_for_the_networks_that_it_was_measured_on(
    changed: dict[str, str | None], usual: bool
) -> None:
    measured_on = {"edgeface": XXS, "edgeface_small": XXS, "dsr": sha256_of(PRETRAINED)} | changed
    threshold, far, origin = usual_threshold({role: value for role, value in measured_on.items() if value})
    assert (threshold, far) == (0.30 if usual else None, None)
    assert ("usual for EdgeFace-XXS" in origin and "not measured here" in origin) == usual


def line(size_px: int, threshold: float | None, far: float | None = 1e-3) -> parity.Parity:
    return parity.Parity(size_px, 0.0, 1.0, 1.0, 1.0, 1.0, None, threshold, far, 45)


def test_a_measured_threshold_says_at_which_far_on_how_many_people() -> None:
    threshold, far, origin = measured_threshold([line(16, 0.31), line(112, 0.28)])
    assert (threshold, far, origin) == (0.31, 1e-3, "measured at FAR 0.001 on 45 held-out people, at 16 px")
    assert measured_threshold([line(16, None, None)])[:2] == (None, None)


@pytest.mark.parametrize(("people", "far"), [(6, 1e-2), (24, 1e-3)])
def test_the_far_of_a_threshold_is_the_one_that_these_faces_can_measure(
    tmp_path: Path, people: int, far: float
) -> None:
    def embed(faces: np.ndarray) -> np.ndarray:
        seen = faces.mean(axis=(2, 3))
        return seen / np.linalg.norm(seen, axis=1, keepdims=True)

    faces = np.random.default_rng(0).integers(0, 256, (2 * people, 112, 112, 3), np.uint8)
    names = [f"{number // 2}" for number in range(2 * people)]
    store = FaceStore.build(tmp_path, list(faces), [f"{number}.png" for number in range(2 * people)], names)
    (found,) = parity.compare(embed, embed, store, [16], 100)
    assert (found.threshold_far, found.people) == (far, people)
