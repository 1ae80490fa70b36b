"""`python -m facial_rec compare`: two weights files on one folder of faces."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from dataset.photographs.layout import LayoutError, identify
from dataset.photographs.photograph_folders import find_photographs, tell_failures
from dataset.photographs.seen_faces import FaceReader
from engine import options
from engine.cli import command
from engine.device import pick_device
from facial_rec.embedding import EdgeFaceEmbedding
from facial_rec.embedding_in_batches import embed_folder
from facial_rec.loading.refusals import FacesError, MismatchError
from metrics.verification import auc, eer, sort_both, tar_at_far

_MOST_FACES = 5000
_FAR = 0.01


@dataclass(frozen=True)
class CompareConfig:
    """Compare two weights files: cosine of their embeddings, and how well each tells people apart.

    Pictures are taken as `embed` takes them. Photographs that cannot be read or show no face are named and left out;
    then the exit code is 1.
    """

    first: Annotated[str, typer.Argument(help="Weights: a path, a bare name or an hf:// address.")]
    second: Annotated[str, typer.Argument(help="The other weights.")]
    faces: Annotated[Path, typer.Argument(help="Folder of aligned faces; people's folders allow verification.")]
    limit: Annotated[int, typer.Option(min=2, max=_MOST_FACES, help="Faces used, evenly spread.")] = 1000
    batch: Annotated[int, typer.Option(min=1, help="Faces at a time.")] = 64
    crops: options.Crops = False
    device: options.Device = "auto"
    json: Annotated[bool, typer.Option(help="Print JSON.")] = False


def compare_weights(config: CompareConfig) -> int:
    """Print the comparison; 1 if some photographs could not be read."""
    found = find_photographs(config.faces)
    found.tell()
    images = found.names
    images = [images[row] for row in np.linspace(0, len(images) - 1, min(config.limit, len(images))).astype(int)]
    device = pick_device(config.device)
    files, embeddings = [], []
    for name in (config.first, config.second):
        edgeface = EdgeFaceEmbedding(name, device)
        reader = FaceReader(crops=config.crops, prepared=True)
        embedded, reasons = embed_folder(edgeface, found.root, images, config.batch, False, reader)
        embeddings.append(embedded)
        files.append({"file": name, "architecture": edgeface.arch, "kind": edgeface.kind, "sha256": edgeface.sha256})
    failed = tell_failures([*found.problems.values(), *reasons.values()])
    images = [image for image in images if image not in reasons]
    if len(images) < 2:
        raise FacesError(f"{config.faces}: 1 image; a comparison needs two or more")
    widths = [each.shape[1] for each in embeddings]
    if widths[0] != widths[1]:
        raise MismatchError(
            f"{config.second}: embeddings of {widths[1]} numbers, those of {config.first} have {widths[0]}; "
            "give two files of one width"
        )
    cosines = (embeddings[0] * embeddings[1]).sum(1)
    comparison = {
        "faces": len(images),
        "taken": {taken.value: count for taken, count in reader.counts.items()},
        "cosine_mean": float(cosines.mean()),
        "cosine_least": float(cosines.min()),
        "least_like_face": images[int(cosines.argmin())],
        "largest_difference": float(np.abs(embeddings[0] - embeddings[1]).max()),
    }
    verification, reason = _verification(found.root, images, embeddings)
    if config.json:
        files = [file | figures for file, figures in zip(files, verification or [{}, {}], strict=True)]
        print(json.dumps({"files": files} | comparison, indent=2))
        return failed
    for file in files:
        print(f"{file['file']}: {file['architecture']}, {file['kind']}, sha256 {file['sha256'][:12]}")
    print(
        f"{len(images)} faces: cosine mean {comparison['cosine_mean']:.6f}, least {comparison['cosine_least']:.6f} "
        f"({comparison['least_like_face']}), largest difference {comparison['largest_difference']:.2e}"
    )
    print(reader.summary())
    print(reason or _table([config.first, config.second], verification))
    return failed


def _verification(
    faces: Path, images: list[str], embeddings: list[NDArray[np.float32]]
) -> tuple[list[dict[str, Any]], str]:
    """Return figures of 1:1 verification for each file, or none and the reason."""
    try:
        people = [face.person for face in identify(faces, images, None)[0]]
    except LayoutError:
        return [], "verification: not known whose faces these are (no people's folders)"
    same, first, second = pairs_of(people)
    if same.all() or not same.any():
        return [], "verification: needs two people, one of them with two images"
    return [_figures((each @ each.T)[first, second], same) for each in embeddings], ""


def _figures(scores: NDArray[np.float32], same: NDArray[np.bool_]) -> dict[str, Any]:
    genuine, impostor = sort_both(scores[same], scores[~same])
    point = tar_at_far(genuine, impostor, _FAR)
    return {
        "genuine_pairs": len(genuine),
        "impostor_pairs": len(impostor),
        "auc": auc(genuine, impostor),
        "eer": eer(genuine, impostor).value,
        "tar_at_far_0.01": point.tar if point.measurable else None,
    }


def _table(names: list[str], verification: list[dict[str, Any]]) -> str:
    pairs = verification[0]
    lines = [f"verification, {pairs['genuine_pairs']:,} genuine and {pairs['impostor_pairs']:,} impostor pairs:"]
    for name, figures in zip(names, verification, strict=True):
        tar = figures["tar_at_far_0.01"]
        shown = "not measurable" if tar is None else f"{100 * tar:.2f} %"
        lines.append(
            f"  {name}: AUC {figures['auc']:.5f}, EER {100 * figures['eer']:.2f} %, TAR at FAR {100 * _FAR:g} % {shown}"
        )
    return "\n".join(lines)


def pairs_of(people: list[str]) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]:
    """Return every pair once: whether it shows one person, and its two rows."""
    number = np.unique(people, return_inverse=True)[1]
    first, second = np.triu_indices(len(people), 1)
    return number[first] == number[second], first, second


main = command(
    CompareConfig, compare_weights, example="python -m facial_rec compare edgeface_xxs.pt finetuned.pth faces"
)
if __name__ == "__main__":
    main()
