"""Train a small EdgeFace from scratch: a stand-in where no official weights are at hand."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, cast

import torch
import typer
from accelerate import Accelerator
from torch import nn
from torch.nn import functional as F

from dataset.batches import LowResolutionBatches, View
from dataset.store import FaceStore
from engine.checkpoint import load_checkpoint, save_checkpoint
from engine.cli import command
from engine.errors import UserError
from engine.interrupt import StopRequest, graceful_stop
from engine.options import BatchSize, Device, Epochs, Jitter, Overwrite, Precision, Rate, SaveEvery, Seed
from engine.rundir import open_run
from engine.runlog import RunLog, progress_bar
from engine.runtime import make_accelerator, pick_device, seed_everything
from engine.training import NonFiniteLossError, Optimisation, Training
from facial_rec.chain import ChainEmbedding
from facial_rec.edgeface import build
from facial_rec.finetuned import save_finetuned
from facial_rec.objectives import margin_head
from pipeline.validation import VerificationSet

CHECKPOINT = "edgeface-scratch"


@dataclass(frozen=True)
class ScratchConfig:
    """Train an EdgeFace from scratch on the people of train_processed, with a margin loss.

    Meant for the demonstration on synthetic faces: on real faces a network of this kind needs millions of
    photographs, so take official weights there.
    """

    dataset: Annotated[Path, typer.Option(help="Folder with train_processed and val_processed.")] = Path("dataset")
    out: Annotated[Path, typer.Option(help="Folder of the run; the weights are edgeface.pth in it.")] = Path(
        "runs/scratch"
    )
    device: Device = "auto"
    precision: Precision = "auto"
    epochs: Epochs = 10
    batch: BatchSize = 32
    rate: Rate = 1e-3
    margin_kind: Annotated[Literal["arcface", "cosface"], typer.Option(help="Which margin loss.")] = "cosface"
    jitter: Jitter = 0.5
    seed: Seed = 0
    save_every: SaveEvery = 500
    overwrite: Overwrite = False


class MarginNetwork(nn.Module):
    """EdgeFace with its margin head: faces and people in, loss out."""

    def __init__(self, people: int, kind: Literal["arcface", "cosface"]) -> None:
        super().__init__()
        self.network = build("edgeface_xxs")
        self.head = margin_head(kind, people)

    def forward(self, faces: torch.Tensor, person: torch.Tensor) -> torch.Tensor:
        """(B, 3, 112, 112) RGB in [0, 1], (B,) int64 -> scalar."""
        loss: torch.Tensor = self.head(F.normalize(self.network((faces - 0.5) / 0.5)).float(), person)
        return loss


def train_edgeface(config: ScratchConfig) -> None:
    """Run or continue the training that `config` describes."""
    accelerator = make_accelerator(pick_device(config.device), config.precision)
    store = FaceStore.open(config.dataset / "train_processed")
    held_out = FaceStore.open(config.dataset / "val_processed")
    if len(store.people) < 2:
        raise UserError(
            f"{store.path}: a margin loss needs two people, found {len(store.people)}; prepare a larger set"
        )
    inputs = {"train": store.sha256, "validation": held_out.sha256}
    with open_run(config, inputs, accelerator.is_main_process) as folder, graceful_stop() as stop:
        seed_everything(config.seed)
        _loop(config, folder, accelerator, store, held_out, stop)


def _loop(
    config: ScratchConfig,
    folder: Path,
    accelerator: Accelerator,
    store: FaceStore,
    held_out: FaceStore,
    stop: StopRequest,
) -> None:
    view = View(hr_share=1.0, jitter=config.jitter)
    rank, world = accelerator.process_index, accelerator.num_processes
    batches = LowResolutionBatches(store, config.batch, view, config.seed, accelerator.device, rank, world)
    total = config.epochs * len(batches)
    settings = Optimisation(total, config.rate, total // 10, 0.05, 1.0, 0.999)
    training = Training(MarginNetwork(len(store.people), config.margin_kind), settings, accelerator)
    last = folder / "last.pth"
    if last.is_file():
        training.load_state_dict(load_checkpoint(last, CHECKPOINT))
    log = RunLog(folder, training.step, accelerator.is_main_process)
    with progress_bar(total, training.step, "batch", "EdgeFace from scratch", accelerator.is_main_process) as bar:
        while training.step < total and not stop.requested:
            batch = batches.at(*divmod(training.step, len(batches)))
            training.model.train()
            with accelerator.autocast():
                loss = training.model(batch.faces, batch.person)
            try:
                training.update(loss)
            except NonFiniteLossError as error:
                raise UserError(f"{folder}: {error}; lower --rate") from None
            bar.update()
            bar.set_postfix_str(f"loss {loss.item():.2f}")
            if accelerator.is_main_process and (training.step % config.save_every == 0 or stop.requested):
                save_checkpoint(last, {"format": CHECKPOINT, **training.state_dict()})
                log.write("train", training.step, {"loss": loss.item(), "rate": training.rate})
    if training.step < total:
        raise KeyboardInterrupt
    if accelerator.is_main_process:
        _finish(folder, training, held_out, log)


def _finish(folder: Path, training: Training, held_out: FaceStore, log: RunLog) -> None:
    network = cast(MarginNetwork, training.ema.module).network.eval()
    full = VerificationSet(held_out, ChainEmbedding(network)).measure(lambda faces: faces, sizes_px=(112,))["112"]
    log.write("validation", training.step, {"hr": full})
    log.close()
    save_finetuned(folder / "edgeface.pth", "edgeface_xxs", network.state_dict(), {"validation": full})
    print(f"EdgeFace trained from scratch: {folder / 'edgeface.pth'} (accuracy at full size {full['accuracy']:.4f})")


main = command(ScratchConfig, train_edgeface, example="python -m facial_rec.train_edgeface --dataset dataset")

if __name__ == "__main__":
    main()
