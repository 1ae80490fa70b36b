"""Train a small EdgeFace from scratch: a stand-in where no official weights are at hand."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import torch
import typer
from torch import nn
from torch.nn import functional as F

from dataset.batches import Batch, LowResolutionBatches, View
from dataset.store import FaceStore
from dataset.synthetic.people import describe_people
from dataset.synthetic.record import person_number, synthetic_seed
from dataset.views.degrade import shrink
from dataset.views.resize import FACE_PX
from engine import options
from engine.cli import command
from engine.device import computes_with, make_accelerator, pick_device, seed_everything
from engine.errors import UserError
from engine.optimisation import Optimisation, Training
from engine.rundir import open_run
from engine.runloop import RunLoop
from facial_rec.finetuning.described_margin import DescribedMargin
from facial_rec.finetuning.learner import TunedEmbedding
from facial_rec.finetuning.margins import margin_head
from facial_rec.loading.saving import save_finetuned
from facial_rec.networks.edgeface import build
from facial_rec.validation import VerificationSet, table_line

CHECKPOINT = "edgeface-scratch"
SMALL_PX = 64


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
    device: options.Device = "auto"
    precision: options.Precision = "auto"
    epochs: options.Epochs = 10
    batch: options.BatchSize = 32
    rate: options.Rate = 1e-3
    margin_kind: Annotated[
        Literal["arcface", "cosface", "adaface", "described"],
        typer.Option(help="Which margin loss; described: centres made of synthetic people's traits, no mirror images."),
    ] = "cosface"
    small_share: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the training, at its start, on faces of 64 px: twice as fast.")
    ] = 0.0
    validate_every: options.ValidateEvery = 1000
    validation_faces: options.ValidationFaces = 1000
    jitter: options.Jitter = 0.5
    seed: options.Seed = 0
    save_every: options.SaveEvery = 500
    overwrite: options.Overwrite = False


class MarginNetwork(nn.Module):
    """EdgeFace with its margin head: faces and people in, loss out."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.network = build("edgeface_xxs")
        self.head = head

    def forward(self, faces: torch.Tensor, person: torch.Tensor) -> torch.Tensor:
        """(B, 3, S, S) RGB in [0, 1], (B,) int64 -> scalar."""
        embeddings = F.normalize(self.network((faces - 0.5) / 0.5).float())
        loss: torch.Tensor = self.head(embeddings, person, torch.ones(len(person), device=faces.device))
        return loss


def train_edgeface(config: ScratchConfig) -> None:
    """Run or continue the training that `config` describes."""
    accelerator = make_accelerator(pick_device(config.device), config.precision)
    store = FaceStore.open(config.dataset / "train_processed")
    if not store.labelled:
        raise UserError(f"{store.path}: faces without people; training from scratch needs to know whose each is")
    held_out = FaceStore.open(config.dataset / "val_processed")
    if len(store.people) < 2:
        raise UserError(
            f"{store.path}: a margin loss needs two people, found {len(store.people)}; prepare a larger set"
        )
    # Descriptions tell left from right.
    view = View(hr_share=1.0, jitter=config.jitter, mirror=config.margin_kind != "described")
    rank, world = accelerator.process_index, accelerator.num_processes
    batches = LowResolutionBatches(store, config.batch, view, config.seed, accelerator.device, rank, world)
    inputs = {"train": store.sha256, "validation": held_out.sha256}
    with open_run(config, inputs, accelerator.is_main_process, used=computes_with(accelerator)) as folder:
        seed_everything(config.seed)
        total = config.epochs * len(batches)
        settings = Optimisation(total, config.rate, total // 10, 0.05, 1.0, 0.999)
        training = Training(MarginNetwork(_head(config, store)), settings, accelerator)
        average = cast(MarginNetwork, training.ema.module)
        accelerator.print(f"validating on {_validation(average.network, held_out, config.validation_faces)}")
        loop = RunLoop(folder, CHECKPOINT, training, config.epochs, len(batches), config.save_every)

        def validate(epoch: int) -> None:
            validation = _validation(average.network.eval(), held_out, config.validation_faces)
            full = validation.measure(lambda same: same, sizes_px=(FACE_PX,))
            loop.log.write("validation", loop.batches_done, {"hr": full[str(FACE_PX)]})
            print(f"epoch {epoch}, TAR at FAR 1 % at full size  {table_line(full)}", flush=True)
            if epoch == config.epochs:
                _finish(folder, average.network, full[str(FACE_PX)])

        for epoch, index in loop.batches("EdgeFace from scratch"):
            size_px = SMALL_PX if loop.batches_done < config.small_share * total else FACE_PX
            _train_batch(training, batches.at(epoch, index), size_px, loop)
            if loop.epoch_ended:
                loop.end_epoch(validate, config.validate_every)


def _head(config: ScratchConfig, store: FaceStore) -> nn.Module:
    if config.margin_kind != "described":
        return margin_head(config.margin_kind, len(store.people))
    seed = synthetic_seed(config.dataset)
    return DescribedMargin(describe_people(torch.tensor([person_number(name) for name in store.people]), seed))


def _train_batch(training: Training, batch: Batch, size_px: int, loop: RunLoop) -> None:
    training.model.train()
    faces = batch.faces if size_px == FACE_PX else shrink(batch.faces, size_px)
    with training.accelerator.autocast():
        loss = training.model(faces, batch.person)
    with loop.keeping(batch.tensors()):
        gradient = training.update(loss)
    loop.count({"loss": loss}, gradient)


def _validation(network: nn.Module, held_out: FaceStore, faces: int) -> VerificationSet:
    """Return held-out faces whose gallery is by the network as it is now, as the probes will be."""
    return VerificationSet(held_out, TunedEmbedding(network), faces)


def _finish(folder: Path, network: nn.Module, full: dict[str, Any]) -> None:
    save_finetuned(folder / "edgeface.pth", "edgeface_xxs", network.state_dict(), {"validation": full})
    print(f"EdgeFace trained from scratch: {folder / 'edgeface.pth'} (accuracy at full size {full['accuracy']:.4f})")


main = command(ScratchConfig, train_edgeface, example="python -m facial_rec.train_edgeface --dataset dataset")

if __name__ == "__main__":
    main()
