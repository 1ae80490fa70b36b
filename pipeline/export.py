"""The trained chain as one file for another runtime, compared with its source before it is written."""

import copy
import dataclasses
import json
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import onnx
import torch
import typer
from safetensors.torch import load_file, save_file
from torch import nn

from dataset.photographs.layout import split_folder
from dataset.store import FaceStore
from dataset.synthetic.people import write_synthetic_splits
from dataset.views.degrade import low_resolution_canvas
from dataset.views.resolution import LARGEST_VLR_PX
from engine.cli import command
from engine.errors import UserError
from engine.files import atomic_path, write_text
from pipeline.deployment import parity
from pipeline.deployment.deployed_networks import DeployedNetworks, choose_deployed, model_hash
from pipeline.deployment.exportable_chain import Chain
from pipeline.deployment.model_card import model_card
from pipeline.deployment.onnx_graph import onnx_chain, onnx_dsr, onnx_embed
from pipeline.deployment.parity import measured_threshold, usual_threshold
from pipeline.recognition.onnx_recognizer import METADATA_KEY, OnnxRecognizer

SUFFIXES = {"onnx": ".onnx", "pt2": ".pt2", "torchscript": ".ts", "safetensors": ".safetensors"}
Tolerance = tuple[float, float]
TOLERANCES: dict[str, Tolerance] = {"fp32": (1e-4, 0.999999), "fp16": (2e-2, 0.999), "int8": (1.0, 0.9)}
"""Largest difference and least cosine of an embedding for each precision; for int8, verification decides."""

_CALIBRATION_FACES = 200
_PREPARED = Path("dataset")


class ExportError(UserError):
    """Options that do not go together."""


@dataclass(frozen=True)
class ExportConfig:
    """Write the chain (enlarge, restore, embed, normalise) as one file, if it still is the same recogniser."""

    edgeface: Annotated[
        str | None,
        typer.Option(help="Original EdgeFace: embeds full-size faces. A name or a path; without it, the trainings'."),
    ] = None
    dsr: Annotated[
        str, typer.Option(help="Super-resolver: a path, auto (the last training's, else default), default, none.")
    ] = "auto"
    no_dsr: Annotated[bool, typer.Option("--no-dsr", help="Leave the super-resolver out, as --dsr none.")] = False
    finetuned: Annotated[
        str,
        typer.Option(help="Fine-tuned EdgeFace for faces up to 32 px: a path, auto (the last fine-tuning's), none."),
    ] = "auto"
    adapter: Annotated[
        str,
        typer.Option(
            help="Adapter for faces up to 32 px: a file, full or small (shipped), auto (full; none if tuned), none."
        ),
    ] = "auto"
    format: Annotated[Literal["onnx", "pt2", "torchscript", "safetensors"], typer.Option(help="File format.")] = "onnx"
    precision: Annotated[
        Literal["fp32", "fp16", "int8"], typer.Option(help="fp16, int8: smaller files, with --format onnx.")
    ] = "fp32"
    dataset: Annotated[
        Path, typer.Option(help="Folder with train_processed (calibration) and val_processed (comparison).")
    ] = _PREPARED
    out: Annotated[Path, typer.Option(help="File to write; its suffix may lack.")] = Path("runs/export/recogniser")
    parts: Annotated[bool, typer.Option("--parts", help="Also write super-resolver and EdgeFace apart (onnx).")] = False
    sizes: Annotated[str, typer.Option(help="Sizes to compare at, comma-separated pixels.")] = "16,32,112"
    faces: Annotated[int, typer.Option(min=10, help="Most validation faces to compare on.")] = 400
    max_tar_drop: Annotated[
        float, typer.Option(min=0, max=1, help="Gate: largest loss of TAR at FAR 1e-2; needs prepared faces.")
    ] = 0.01
    licence: Annotated[str, typer.Option(help="Licence of the weights, written into the file.")] = "CC BY-NC-SA 4.0"


def export(config: ExportConfig) -> None:
    """Load, translate, compare, write."""
    if config.precision != "fp32" and config.format != "onnx":
        raise ExportError(f"--precision {config.precision} needs --format onnx, found {config.format}")
    sizes = _sizes(config)
    # A checkout has code in a folder of that name.
    if config.dataset != _PREPARED or any(split_folder(_PREPARED, split).exists() for split in ("train", "val")):
        return _export(config, sizes)
    print(
        f"{_PREPARED}: nothing prepared here, so numbers and angles are compared on synthetic faces; --max-tar-drop "
        f"{config.max_tar_drop:g} is not applied, verification rates of drawn people tell nothing; for that and a "
        "threshold of your own: python -m dataset prepare PHOTOS"
    )
    with tempfile.TemporaryDirectory() as scratch:
        write_synthetic_splits(Path(scratch))
        _export(dataclasses.replace(config, dataset=Path(scratch)), sizes, prepared=False)


def _export(config: ExportConfig, sizes: list[int], prepared: bool = True) -> None:
    dsr = "none" if config.no_dsr else config.dsr
    networks = choose_deployed(config.edgeface, dsr, config.finetuned, config.adapter)
    store = FaceStore.open(split_folder(config.dataset, "val"))
    target = _with_suffix(config.out, SUFFIXES[config.format])
    information = describe(networks, config)
    with atomic_path(target) as temporary:
        exported = _WRITERS[config.format](networks, config, information, temporary)
        print(f"comparing with the source on up to {config.faces} faces at {', '.join(map(str, sizes))} px")
        takes_full_size = config.format == "onnx"
        parities = parity.compare(networks.embed, exported, store, sizes, config.faces, takes_full_size)
        print(parity.table(parities))
        parity.check(parities, *TOLERANCES[config.precision], config.max_tar_drop if prepared else None)
        if config.precision == "int8" and prepared:
            parity.require_verification(parities, config.dataset)
        threshold, far, origin = measured_threshold(parities) if prepared else usual_threshold(networks.hashes)
        information |= {"threshold": threshold, "threshold_far": far, "threshold_origin": origin}
        information["compared_on"] = "held-out people" if prepared else "synthetic faces"
        information["parity"] = [line.as_dict() for line in parities]
        _FINISHERS.get(config.format, _keep)(temporary, information)
    write_text(target.with_suffix(".md"), model_card(target, information, parity.table(parities)))
    if config.parts and config.format == "onnx":
        _write_parts(networks, config, target)
    print(f"threshold {origin if threshold is None else f'{threshold:.3f}, {origin}'}")
    print(f"wrote {target} ({target.stat().st_size:,} bytes) and {target.with_suffix('.md')}")


def describe(networks: DeployedNetworks, config: ExportConfig) -> dict[str, Any]:
    """Return what a user of the file needs to know."""
    largest = parity.HR_PX if config.format == "onnx" else LARGEST_VLR_PX
    store = _calibration_store(networks, config)
    calibration = None if store is None else store.sha256
    return {
        "version": 1,
        "model": model_hash(networks.hashes, config.precision, calibration),
        "calibration": calibration,
        "precision": config.precision,
        "hashes": networks.hashes,
        "input": f"faces: (B, 3, h, w) float32 RGB in [0, 1], aligned on the ArcFace template, h = w in 6..{largest}",
        "largest_px": largest,
        "output": "embeddings: (B, 512) of unit length; compare by dot product",
        "largest_vlr_px": LARGEST_VLR_PX,
        "preset": networks.dsr.preset if networks.dsr is not None else None,
        "flip": "thresholds are of the normalised sum of a face's and its mirror image's embeddings",
        "licence": config.licence,
    }


def _calibration_store(networks: DeployedNetworks, config: ExportConfig) -> FaceStore | None:
    """Return the training faces by which int8 chooses the super-resolver's ranges."""
    if config.precision != "int8" or networks.dsr is None:
        return None
    return FaceStore.open(split_folder(config.dataset, "train"))


def _calibration_faces(networks: DeployedNetworks, config: ExportConfig) -> "parity.Floats | None":
    """Enlarge training faces of every size from 6 to 32 px, for int8."""
    store = _calibration_store(networks, config)
    if store is None:
        return None
    draw = np.random.default_rng(0)
    rows = np.sort(draw.choice(len(store), min(len(store), _CALIBRATION_FACES), replace=False))
    sizes = torch.from_numpy(draw.integers(6, LARGEST_VLR_PX + 1, len(rows)))
    return low_resolution_canvas(store.batch(rows).float() / 255, sizes).numpy()


def _write_onnx(
    networks: DeployedNetworks, config: ExportConfig, information: dict[str, Any], path: Path
) -> parity.EmbedFaces:
    model = onnx_chain(networks, config.precision, _calibration_faces(networks, config))
    onnx.helper.set_model_props(model, {METADATA_KEY: json.dumps(information)})
    path.write_bytes(model.SerializeToString())
    return OnnxRecognizer(path).embed


def _finish_onnx(path: Path, information: dict[str, Any]) -> None:
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {METADATA_KEY: json.dumps(information, ensure_ascii=False)})
    path.write_bytes(model.SerializeToString())


def _write_pt2(
    networks: DeployedNetworks, config: ExportConfig, information: dict[str, Any], path: Path
) -> parity.EmbedFaces:
    side = torch.export.Dim("side", min=2, max=112)
    shapes = ({0: torch.export.Dim("batch", min=1), 2: side, 3: side},)
    with torch.no_grad():
        program = torch.export.export(
            Chain(networks.dsr, networks.small).eval(), (torch.rand(2, 3, 17, 17),), dynamic_shapes=shapes
        )
    torch.export.save(program, path, extra_files={METADATA_KEY: json.dumps(information)})
    return _in_torch(torch.export.load(path).module())


def _write_torchscript(
    networks: DeployedNetworks, config: ExportConfig, information: dict[str, Any], path: Path
) -> parity.EmbedFaces:
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch 2.14 calls TorchScript deprecated; some devices still want it
        traced = torch.jit.trace(  # type: ignore[no-untyped-call]
            Chain(networks.dsr, networks.small).eval(), torch.rand(1, 3, 17, 19)
        )
        torch.jit.save(torch.jit.freeze(traced), path, _extra_files={METADATA_KEY: json.dumps(information)})
        return _in_torch(torch.jit.load(path))  # type: ignore[no-untyped-call]


def _write_safetensors(
    networks: DeployedNetworks, config: ExportConfig, information: dict[str, Any], path: Path
) -> parity.EmbedFaces:
    chain = Chain(networks.dsr, networks.small)
    state = {name: value.contiguous() for name, value in chain.state_dict().items()}
    save_file(state, path, metadata={METADATA_KEY: json.dumps(information)})
    reread = copy.deepcopy(chain)
    reread.load_state_dict(load_file(path))
    return _in_torch(reread.eval())


def _in_torch(chain: Callable[[torch.Tensor], torch.Tensor]) -> parity.EmbedFaces:
    """Wrap a chain that always restores: large faces go by the same way and are left to the caller."""

    def embed(faces: "parity.Floats") -> "parity.Floats":
        small = torch.from_numpy(np.ascontiguousarray(faces))
        views = chain(small) + chain(small.flip(-1))
        return nn.functional.normalize(views).numpy()

    return embed


def _write_parts(networks: DeployedNetworks, config: ExportConfig, target: Path) -> None:
    parts = {
        "edgeface": onnx_embed(networks, config.precision),
        "dsr": onnx_dsr(networks, config.precision, _calibration_faces(networks, config)),
    }
    for name, model in parts.items():
        if model is not None:
            with atomic_path(target.with_name(f"{target.stem}_{name}.onnx")) as temporary:
                temporary.write_bytes(model.SerializeToString())


def _keep(path: Path, information: dict[str, Any]) -> None:
    """Leave a file whose metadata cannot be added to; its model card has the comparison."""


def _with_suffix(path: Path, suffix: str) -> Path:
    return path if path.suffix == suffix else path.with_name(path.name + suffix)


def _sizes(config: ExportConfig) -> list[int]:
    """Return the sizes to compare at, of those that the format takes."""
    try:
        sizes = sorted({int(part) for part in config.sizes.split(",")})
    except ValueError:
        sizes = []
    if not sizes or sizes[0] < 2 or sizes[-1] > parity.HR_PX:
        raise ExportError(f"--sizes {config.sizes}: give pixels from 2 to {parity.HR_PX}, as 8,16,32,112")
    taken = [size for size in sizes if config.format == "onnx" or size <= LARGEST_VLR_PX]
    if not taken:
        raise ExportError(
            f"--sizes {config.sizes}: --format {config.format} holds the way of faces up to {LARGEST_VLR_PX} px only, "
            "so that nothing would be compared; give such a size, as 8,16,32"
        )
    return taken


_WRITERS = {
    "onnx": _write_onnx,
    "pt2": _write_pt2,
    "torchscript": _write_torchscript,
    "safetensors": _write_safetensors,
}
_FINISHERS = {"onnx": _finish_onnx}

main = command(ExportConfig, export, example="python -m pipeline export --precision int8 --out runs/export/recogniser")
if __name__ == "__main__":
    main()
