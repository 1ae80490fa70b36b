"""The page beside an exported file: what it is, and ten lines that use it."""

import json
from pathlib import Path
from typing import Any

from dataset.views.resolution import LARGEST_VLR_PX

_PYTHON = """\
import numpy as np, onnxruntime
from PIL import Image
session = onnxruntime.InferenceSession("{name}")
def embed(path):  # an aligned face, square, 6 to 112 px
    face = np.asarray(Image.open(path).convert("RGB"), np.float32).transpose(2, 0, 1)[None] / 255
    views = [session.run(["embeddings"], {{"faces": view}})[0][0] for view in (face, face[..., ::-1].copy())]
    total = views[0] + views[1]
    return total / np.linalg.norm(total)
score = float(embed("a.png") @ embed("b.png"))
print({answer}score)
"""
_ANSWER = '"same person" if score >= {threshold:.4f} else "different people", '

_JAVASCRIPT = """\
import * as ort from "onnxruntime-web";
const session = await ort.InferenceSession.create("{name}");
export async function embed(rgba, side) {{  // ImageData.data of an aligned face, side x side
  const faces = new Float32Array(3 * side * side);
  for (let i = 0; i < side * side; i++)
    for (let c = 0; c < 3; c++) faces[c * side * side + i] = rgba[4 * i + c] / 255;
  const input = new ort.Tensor("float32", faces, [1, 3, side, side]);
  return (await session.run({{ faces: input }}, ["embeddings"])).embeddings.data;
}}  // 512 numbers of unit length; the dot product of two is their similarity
"""


def model_card(path: Path, information: dict[str, Any], parity_table: str) -> str:
    """Return the card of an exported file as Markdown."""
    shown = {key: value for key, value in information.items() if key != "parity"}
    largest_px = information["largest_px"]
    whole = largest_px > LARGEST_VLR_PX
    embedder = "the same recogniser as the probes" if whole else "the source, since this file takes no such faces"
    lines = [
        f"# {path.name}",
        "",
        f"Faces of 6 to {largest_px} px to unit embeddings; {information['precision']}, {path.suffix[1:]}. "
        f"Licence of the weights: {information['licence']}.",
        "",
        "## Comparison with its source",
        "",
        parity_table,
        "",
        f"Compared on {information['compared_on']}; the gallery is at full size, embedded by {embedder}.",
        "",
    ]
    if path.suffix == ".onnx":
        threshold = information["threshold"]
        answer = "" if threshold is None else _ANSWER.format(threshold=threshold)
        lines += ["## Python", "", "```python", _PYTHON.format(name=path.name, answer=answer) + "```", ""]
        lines += ["## JavaScript", "", "```js", _JAVASCRIPT.format(name=path.name) + "```", ""]
    lines += ["## Inside the file", "", "```json", json.dumps(shown, indent=2, ensure_ascii=False), "```", ""]
    return "\n".join(lines)
