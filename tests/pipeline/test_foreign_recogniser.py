"""Recognisers of other families: what their input wants is found out, and what is no recogniser is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.evaluation.foreign_recogniser import (
    ForeignRecogniser,
    ForeignRecogniserError,
    Preprocessing,
    choose_preprocessing,
    find_preprocessing,
)
from pipeline.recognition.onnx_recognizer import OnnxModelError, open_session

onnx = pytest.importorskip("onnx")

PERSON = np.repeat(np.arange(6), 3)


def saved(path: Path, nodes: list, shape: list, outputs: int = 1, opset: int = 17, ir: int = 10, **values) -> Path:
    """Write an ONNX file of one input "x" of this shape and outputs "y0" ...; `values` are its constants."""
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    given = [helper.make_tensor_value_info("x", 1, shape)]
    results = [helper.make_tensor_value_info(f"y{index}", 1, None) for index in range(outputs)]
    constants = [numpy_helper.from_array(value, name) for name, value in values.items()]
    graph = helper.make_graph(nodes, "g", given, results, constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir), path)
    return path


def red_recogniser(path: Path, channel: int = 0, channels_last: bool = False, batch: int | str = "n") -> Path:
    """Embed by the colour at one place of the channels alone, through a tanh that only small values pass apart."""
    node = onnx.helper.make_node
    shape = [batch, 112, 112, 3] if channels_last else [batch, 3, 112, 112]
    axis = 3 if channels_last else 1
    nodes = [
        node("Gather", ["x", "channel"], ["one"], axis=axis),
        node("Flatten", ["one"], ["flat"]),
        node("MatMul", ["flat", "weights"], ["values"]),
        node("Tanh", ["values"], ["y0"]),
    ]
    weights = np.random.default_rng(0).standard_normal((112 * 112, 32)).astype(np.float32) / 60
    return saved(path, nodes, shape, channel=np.array([channel]), weights=weights)


def faces() -> Tensor:
    """Return (18, 3, 112, 112): each person's red is his own, green and blue are everybody's noise."""
    draw = np.random.default_rng(1)
    red = draw.random((6, 112, 112), np.float32)[PERSON] + draw.normal(0, 0.1, (18, 112, 112)).astype(np.float32)
    noise = draw.random((18, 2, 112, 112), np.float32)
    return torch.from_numpy(np.concatenate([red[:, None].clip(0, 1), noise], axis=1))


@pytest.mark.parametrize(("channel", "colours"), [(0, "rgb"), (2, "bgr")])
@pytest.mark.parametrize("channels_last", [False, True])
def test_colours_and_scale_of_the_input_are_found(
    tmp_path: Path, channel: int, colours: str, channels_last: bool
) -> None:
    path = red_recogniser(tmp_path / "r.onnx", channel, channels_last)
    found, area = find_preprocessing(path, faces(), PERSON)
    assert found.colours == colours and found.scale != "x" and area > 0.99


def test_a_recogniser_of_one_face_at_a_time_gives_what_one_of_batches_gives(tmp_path: Path) -> None:
    wants = Preprocessing("rgb", "(x - 127.5) / 128")
    batched = ForeignRecogniser(red_recogniser(tmp_path / "many.onnx"), wants)(faces())
    alone = ForeignRecogniser(red_recogniser(tmp_path / "one.onnx", batch=1), wants)(faces())
    torch.testing.assert_close(batched, alone)
    assert batched.shape == (18, 512) and not batched[:, 32:].any()
    torch.testing.assert_close(batched.norm(dim=1), torch.ones(18))


def test_preprocessing_is_what_it_says() -> None:
    face = torch.tensor([1.0, 0.5, 0.0]).reshape(1, 3, 1, 1)
    assert Preprocessing("rgb", "x").apply(face).flatten().tolist() == [255, 127.5, 0]
    assert Preprocessing("bgr", "(x - 127.5) / 128").apply(face).flatten().tolist() == [-127.5 / 128, 0, 127.5 / 128]
    imagenet = Preprocessing("rgb", "ImageNet").apply(face).flatten()
    torch.testing.assert_close(imagenet, torch.tensor([(1 - 0.485) / 0.229, (0.5 - 0.456) / 0.224, -0.406 / 0.225]))


def test_one_that_tells_nobody_apart_is_refused(tmp_path: Path) -> None:
    node = onnx.helper.make_node
    path = saved(tmp_path / "mean.onnx", [node("ReduceMean", ["x"], ["y0"], axes=[1, 2, 3])], ["n", 3, 112, 112])
    with pytest.raises(ForeignRecogniserError, match="tells full-size faces apart by no usual input"):
        find_preprocessing(path, faces(), PERSON)


def test_another_network_is_refused(tmp_path: Path) -> None:
    node = onnx.helper.make_node
    gray = saved(tmp_path / "gray.onnx", [node("Flatten", ["x"], ["y0"])], ["n", 1, 112, 112])
    two = saved(
        tmp_path / "two.onnx", [node("Flatten", ["x"], ["y0"]), node("Abs", ["x"], ["y1"])], ["n", 3, 112, 112], 2
    )
    wide = saved(tmp_path / "wide.onnx", [node("Flatten", ["x"], ["y0"])], ["n", 3, 112, 112])
    wants = Preprocessing("rgb", "x")
    with pytest.raises(ForeignRecogniserError, match="takes one batch of faces"):
        ForeignRecogniser(gray, wants)
    with pytest.raises(ForeignRecogniserError, match="gives 2 outputs"):
        ForeignRecogniser(two, wants)
    with pytest.raises(ForeignRecogniserError, match=r"a recogniser gives \(B, D\), D up to 512"):
        ForeignRecogniser(wide, wants)(faces())


@pytest.mark.parametrize(
    ("unseen", "given", "message"),
    [("a.onnx", "rgb", "give auto, or one of rgb:"), ("a.pt", "rgb:x/255", "an EdgeFace needs none")],
)
def test_an_input_that_does_not_fit_is_refused(unseen: str, given: str, message: str) -> None:
    with pytest.raises(ForeignRecogniserError, match=message):
        choose_preprocessing(unseen, given, split=None)


def test_an_input_that_is_given_is_taken() -> None:
    assert choose_preprocessing("a.onnx", "bgr:x / 255", split=None) == Preprocessing("bgr", "x / 255")
    assert choose_preprocessing("a.pt", "auto", split=None) is None


def test_a_file_for_a_newer_onnxruntime_says_so_with_the_whole_reason(tmp_path: Path) -> None:
    node = onnx.helper.make_node
    newer = saved(tmp_path / "ir.onnx", [node("Flatten", ["x"], ["y0"])], ["n", 3, 112, 112], ir=99)
    with pytest.raises(OnnxModelError, match=r"update onnxruntime, here .*IR version") as raised:
        open_session(newer, 1)
    assert "copy it again" not in str(raised.value) and "\n" not in str(raised.value)
    opset = saved(tmp_path / "opset.onnx", [node("Flatten", ["x"], ["y0"])], ["n", 3, 112, 112], opset=99)
    with pytest.raises(OnnxModelError, match=r"update onnxruntime, here .*Opset 99"):
        open_session(opset, 1)
