"""A training step of the super-resolver against the usual loops, its overhead, and the machine's own peak.

The usual loop reads a PNG an image, degrades it with Pillow, runs eagerly in float32 and embeds the
full-size face at every step; the other usual loop adds a VGG-19 perceptual loss. All of them train the same networks.

Everything is measured in processor seconds, which other work on the machine disturbs little. What the usual loop gives
to workers is done in this process, so that it is counted; what handing it over costs is left out, in its favour.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import vgg19

from dataset.batches import LowResolutionBatches, View
from dataset.photographs.image_files import read_image, write_png
from dataset.store import FaceStore
from dataset.synthetic.people import synthetic_faces
from dsr.losses import LossWeights, RestorationLoss
from dsr.network import DSR
from engine.device import has_fast_bf16, make_accelerator
from facial_rec.embedding import EdgeFaceEmbedding
from facial_rec.finetuning.hr_targets import HrTargets
from facial_rec.loading.saving import save_finetuned
from facial_rec.networks.edgeface import build

FACES, BATCH, ROUNDS, STEPS = 64, 16, 5, 1
CPU = torch.device("cpu")
PRESETS_MEASURED = ("small", "base")

Step = Callable[[], None]


class PngFaces(Dataset[tuple[Tensor, Tensor]]):
    """What most training code does: one file, one Pillow resize, one item."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> tuple[Tensor, Tensor]:
        face = Image.fromarray(read_image(self.paths[row]))
        size = 6 + int(torch.randint(27, ()))
        canvas = face.resize((size, size), Image.Resampling.BICUBIC).resize((112, 112), Image.Resampling.BICUBIC)
        return _tensor(face), _tensor(canvas)


def main() -> None:
    """Print the ratios."""
    make_accelerator(CPU, "auto")  # prepares the process as a training does
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store, paths = _faces(folder)
        save_finetuned(folder / "edgeface.pth", "edgeface_xxs", build("edgeface_xxs").state_dict(), {})
        edgeface = EdgeFaceEmbedding(folder / "edgeface.pth")
        for preset in PRESETS_MEASURED:
            ours, parts = _our_step(store, edgeface, preset)
            usual = _usual_step(paths, edgeface, preset, perceptual=None)
            vgg = vgg19(weights=None).features[:18].eval().requires_grad_(False)
            with_vgg = _usual_step(paths, edgeface, preset, perceptual=vgg)
            _print_ratios(preset, ours, usual, with_vgg)
            _print_shares(preset, parts)
            _print_peak(preset, ours, edgeface)


def _print_ratios(preset: str, ours: Step, usual: Step, with_vgg: Step) -> None:
    times = _interleaved({"ours": ours, "usual": usual, "usual + VGG-19": with_vgg})
    for name, goal in (("usual", 1.4), ("usual + VGG-19", 5)):
        ratio = statistics.median(b / a for a, b in zip(times["ours"], times[name], strict=True))
        medians = [1e3 * statistics.median(times[each]) for each in (name, "ours")]
        print(
            f"b. {preset}: a step of {BATCH} faces, {name} {medians[0]:.0f} ms, ours {medians[1]:.0f} ms, "
            f"median ratio {ratio:.2f}x (goal {goal}x)"
        )


def _print_shares(preset: str, parts: dict[str, float]) -> None:
    outside = parts["batch"] / sum(parts.values())
    print(f"c. {preset}: outside the networks (reading, degrading, targets): {100 * outside:.1f} % (goal under 5 %)")


def _print_peak(preset: str, ours: Step, edgeface: EdgeFaceEmbedding) -> None:
    canvas = torch.rand(1, 3, 112, 112)
    flops = {"dsr": _flops(DSR(preset), canvas), "edgeface": _flops(edgeface, canvas)}
    work = BATCH * (3 * flops["dsr"] + 2 * flops["edgeface"])  # EdgeFace's weights are frozen: no gradient for them
    achieved = work / min(_seconds(ours) for _ in range(3)) / 1e9
    matmul, convolution = _peaks()
    print(
        f"d. {preset}: {achieved:.0f} GFLOP/s of {matmul:.0f} (matrix product, 1024) and {convolution:.0f} "
        f"(3x3 convolution, 64 channels at 28x28), a thread, in the precision of the step"
    )


def _our_step(store: FaceStore, edgeface: EdgeFaceEmbedding, preset: str) -> tuple[Step, dict[str, float]]:
    batches = LowResolutionBatches(store, BATCH, View(), 0, CPU)
    targets = HrTargets(edgeface, store, CPU, store.path)
    loss = RestorationLoss(LossWeights(feature=0.0), [edgeface], displace_px=3.0)
    model = DSR(preset).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    parts = {"batch": 0.0, "networks": 0.0}

    def step() -> None:
        start = time.process_time()
        batch = batches.at(0, 0)
        known = [targets.at(batch.rows, batch.mirrored)]
        middle = time.process_time()
        with torch.autocast("cpu", torch.bfloat16, enabled=has_fast_bf16(CPU)):
            restored = model(batch.canvas.contiguous(memory_format=torch.channels_last))
            terms = loss(restored, batch.faces, batch.person, batch.draws, known)
        terms["loss"].backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        parts["batch"] += middle - start
        parts["networks"] += time.process_time() - middle

    step()
    parts.update(batch=0.0, networks=0.0)
    return step, parts


def _usual_step(paths: list[Path], edgeface: EdgeFaceEmbedding, preset: str, perceptual: nn.Module | None) -> Step:
    model = DSR(preset)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    batches = _forever(DataLoader(PngFaces(paths), BATCH, shuffle=True))

    def step() -> None:
        faces, canvas = next(batches)
        restored = model(canvas)
        with torch.no_grad():
            wanted = edgeface(faces)
        loss = F.l1_loss(restored, faces) + 0.6 * (1 - (edgeface(restored.clamp(0, 1)) * wanted).sum(1).mean())
        if perceptual is not None:
            loss = loss + 0.1 * F.l1_loss(perceptual(restored), perceptual(faces))
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()

    return step


def _forever(loader: DataLoader[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        yield from loader


def _interleaved(steps: dict[str, Step]) -> dict[str, list[float]]:
    for step in steps.values():
        step()
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(ROUNDS):
        for name, step in steps.items():
            times[name].append(_seconds(step))
    return times


def _seconds(step: Step) -> float:
    start = time.process_time()
    for _ in range(STEPS):
        step()
    return (time.process_time() - start) / STEPS


def _flops(module: nn.Module, inputs: Tensor) -> float:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(inputs)
    return float(counter.get_total_flops())


def _peaks() -> tuple[float, float]:
    """Return GFLOP/s of a matrix product and of a convolution, in bf16 where the training uses it."""
    dtype = torch.bfloat16 if has_fast_bf16(CPU) else torch.float32
    a, b = torch.rand(1024, 1024, dtype=dtype), torch.rand(1024, 1024, dtype=dtype)
    conv = nn.Conv2d(64, 64, 3, padding=1, dtype=dtype).requires_grad_(False).to(memory_format=torch.channels_last)
    x = torch.rand(BATCH, 64, 28, 28, dtype=dtype).contiguous(memory_format=torch.channels_last)
    seconds = [min(_seconds(step) for _ in range(5)) for step in (lambda: _discard(a @ b), lambda: _discard(conv(x)))]
    return 2 * 1024**3 / seconds[0] / 1e9, 2 * BATCH * 28 * 28 * 64 * 64 * 9 / seconds[1] / 1e9


def _discard(_: Tensor) -> None:
    return None


def _faces(folder: Path) -> tuple[FaceStore, list[Path]]:
    people = torch.arange(FACES // 4).repeat_interleave(4)
    pixels = synthetic_faces(people, torch.arange(4).repeat(FACES // 4), seed=0)
    arrays = list(pixels.permute(0, 2, 3, 1).contiguous().numpy())
    paths = [folder / f"{row}.png" for row in range(FACES)]
    for path, array in zip(paths, arrays, strict=True):
        write_png(path, array)
    names = [path.name for path in paths]
    return FaceStore.build(folder / "store", iter(arrays), names, [str(int(person)) for person in people]), paths


def _tensor(face: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(face)).permute(2, 0, 1).float().div_(255)


if __name__ == "__main__":
    main()
