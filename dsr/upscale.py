"""Restore low-resolution face images to 112x112."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from dataset.photographs.image_files import write_png
from dataset.photographs.photograph_folders import Photographs, find_photographs, tell_failures
from dataset.photographs.seen_faces import FaceReader, SeenFace
from dataset.views.degrade import enlarge, shrink
from dataset.views.resolution import LARGEST_VLR_PX
from dsr.dsr_file import load_dsr
from dsr.network import DSR, FACE_PX
from engine import options
from engine.cli import command
from engine.device import pick_device
from engine.errors import UserError
from engine.text import folded


@dataclass(frozen=True)
class UpscaleConfig:
    """Restore faces to 112x112 with a trained super-resolver.

    The largest face of each picture is found and aligned like the training faces (ArcFace's five-point template).
    Pictures of 112x112, and those of up to 112 px in which no face is found, are taken for aligned crops; how many were
    taken for what is said. Of a crop that is not square the middle is taken; faces larger than 32 px are only resized,
    for they carry more than the super-resolver was trained for. Files that cannot be read or show no face are named and
    the others go on; then the exit code is 1.
    """

    source: Annotated[Path, typer.Argument(help="An image, or a folder of images (with its sub-folders).")]
    out: Annotated[Path, typer.Argument(help="A .png file, or the folder that receives one PNG an image.")]
    dsr: Annotated[str, typer.Option(help="Super-resolver; 'default' is the one shipped.")] = "default"
    crops: options.Crops = False
    device: options.Device = "auto"
    overwrite: Annotated[bool, typer.Option(help="Replace files that are already there.")] = False


def upscale(config: UpscaleConfig) -> int:
    """Restore every image of `config.source`; return 1 if some could not be read."""
    found = find_photographs(config.source, leave_out=[config.out])
    found.tell()
    targets = _targets(config, found)
    there = next((target for target in targets if target.exists()), None)
    if there and not config.overwrite:
        raise UserError(f"{there}: already there; pass --overwrite, or choose another folder")
    device = pick_device(config.device)
    model = load_dsr(config.dsr, device)
    failed = list(found.problems.values())
    reader = FaceReader(crops=config.crops, prepared=True)
    for source, target in tqdm(
        list(zip(found.paths, targets, strict=True)), unit="face", desc="upscale", disable=len(targets) < 2
    ):
        try:
            write_png(target, _restore_face(model, reader.read(source)[0], device))
        except UserError as error:
            failed.append(str(error))
    code = tell_failures(failed)
    restored = len(targets) + len(found.problems) - len(failed)
    print(f"{restored} restored to {config.out}, {len(failed)} failed; {reader.summary()}")
    return code


@torch.no_grad()
def _restore_face(model: DSR, face: SeenFace, device: torch.device) -> NDArray[np.uint8]:
    image = torch.from_numpy(face.tensor()).to(device)
    side = min(image.shape[2:])
    top, left = (image.shape[2] - side) // 2, (image.shape[3] - side) // 2
    restored = restore(model, image[:, :, top : top + side, left : left + side])
    pixels: NDArray[np.uint8] = restored[0].mul(255).round().byte().permute(1, 2, 0).cpu().numpy()
    return pixels


def _targets(config: UpscaleConfig, found: Photographs) -> list[Path]:
    """Return the PNG of each image; of images that differ in their ending alone, the name keeps it."""
    if not config.source.is_dir():
        return [config.out if config.out.suffix.lower() == ".png" else config.out / f"{config.source.stem}.png"]
    stems = [name.rpartition(".")[0] for name in found.names]
    alike = Counter(folded(name) for name in [*stems, *found.names])
    return [
        config.out / f"{stem if alike[folded(stem)] == 1 else name}.png"
        for name, stem in zip(found.names, stems, strict=True)
    ]


def restore(model: DSR, faces: Tensor) -> Tensor:
    """Restore faces of one size.

    Args:
        model: A super-resolver.
        faces: (B, 3, s, s) RGB in [0, 1]; larger than 32 px they are only resized.

    Returns:
        (B, 3, 112, 112) RGB in [0, 1].
    """
    size = faces.shape[-1]
    if size > FACE_PX:
        return shrink(faces, FACE_PX)
    canvas = enlarge(faces)
    return canvas if size > LARGEST_VLR_PX else model(canvas)


main = command(UpscaleConfig, upscale, example="python -m dsr.upscale faces_16px restored")

if __name__ == "__main__":
    main()
