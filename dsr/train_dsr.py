"""Train a super-resolver so that a frozen EdgeFace still sees the same person."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import torch
import typer
from accelerate import Accelerator

from dataset.batches import Batch, LowResolutionBatches, View
from dataset.store import FaceStore
from dsr.losses import LossWeights, RestorationLoss, vgg_distance
from dsr.network import DSR
from dsr.samples import sample_grid
from dsr.weights import PRETRAINED, load_dsr, save_dsr
from engine.checkpoint import load_checkpoint, save_checkpoint
from engine.cli import command
from engine.errors import UserError
from engine.files import sha256_of, write_json
from engine.interrupt import StopRequest, graceful_stop
from engine.options import (
    Accumulate,
    BatchSize,
    Blend,
    Clip,
    Compile,
    Degradation,
    Device,
    Ema,
    Epochs,
    Jitter,
    MaxSize,
    MinSize,
    Overwrite,
    Precision,
    Rate,
    SaveEvery,
    Seed,
    SmallBias,
    ValidateEvery,
    ValidationFaces,
    Warmup,
    WeightDecay,
)
from engine.rundir import open_run
from engine.runlog import RunLog, progress_bar
from engine.runtime import make_accelerator, mean_over_processes, pick_device, seed_everything
from engine.training import NonFiniteLossError, Optimisation, Training
from facial_rec.embedding import EdgeFaceEmbedding
from facial_rec.targets import HrTargets
from pipeline.validation import VerificationSet, ranking, table_line

CHECKPOINT = "dsr-training"


@dataclass(frozen=True)
class TrainConfig:
    """Train a super-resolver (DSR) for faces of 6 to 32 px against one or several frozen EdgeFaces.

    Reads DATASET/train_processed and val_processed (python -m dataset prepare writes them). Writes best.pth (chosen
    by verification on the validation people), last.pth, metrics.jsonl, sample grids and TensorBoard files. Run the
    same command again after an interruption: it continues to the same weights as if it had never stopped.
    """

    edgeface: Annotated[
        list[str], typer.Option(help="EdgeFace weights to train against; repeat for several. A name or a path.")
    ] = field(default_factory=lambda: ["edgeface_xxs.pt"])
    dataset: Annotated[Path, typer.Option(help="Folder with train_processed and val_processed.")] = Path("dataset")
    out: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("runs/dsr")
    device: Device = "auto"
    precision: Precision = "auto"
    epochs: Epochs = 100
    batch: BatchSize = 16
    accumulate: Accumulate = 1
    preset: Annotated[
        Literal["small", "base", "large"], typer.Option(help="Size of the network; --init brings its own.")
    ] = "base"
    init: Annotated[str | None, typer.Option(help="Super-resolver to start from; 'default' is the one shipped.")] = None
    rate: Rate = 1e-3
    warmup: Warmup = 200
    weight_decay: WeightDecay = 1e-4
    clip: Clip = 1.0
    ema: Ema = 0.999
    min_size: MinSize = 6
    max_size: MaxSize = 32
    small_bias: SmallBias = False
    degradation: Degradation = "clean"
    jitter: Jitter = 0.0
    blend: Blend = 0.0
    pixel: Annotated[float, typer.Option(min=0, help="Weight of the L1 pixel loss.")] = 1.0
    identity: Annotated[float, typer.Option(min=0, help="Weight of 1 - cosine to the HR embedding.")] = 0.6
    feature: Annotated[float, typer.Option(min=0, help="Weight of matching EdgeFace's stages.")] = 0.18
    contrastive: Annotated[float, typer.Option(min=0, help="Weight of InfoNCE against other people.")] = 0.0
    tv: Annotated[float, typer.Option(min=0, help="Weight of total variation.")] = 1e-5
    perceptual: Annotated[float, typer.Option(min=0, help="Weight of VGG-19 features (downloads them).")] = 0.0
    displace: Annotated[
        float,
        typer.Option(min=0, max=8, help="EdgeFace sees restored faces shifted by up to this, px."),
    ] = 3.0
    channels_last: Annotated[bool, typer.Option(help="Memory layout of the network.")] = True
    compile: Compile = False
    seed: Seed = 0
    save_every: SaveEvery = 500
    validate_every: ValidateEvery = 1
    validation_faces: ValidationFaces = 1000
    overwrite: Overwrite = False


class TrainingStoppedError(UserError):
    """A training that cannot go on."""


def train(config: TrainConfig) -> None:
    """Run or continue the training that `config` describes."""
    _check(config)
    accelerator = make_accelerator(pick_device(config.device), config.precision, config.accumulate)
    if config.batch % accelerator.num_processes:
        raise UserError(f"--batch {config.batch}: not divisible by {accelerator.num_processes} processes")
    recognisers = [EdgeFaceEmbedding(name, device=accelerator.device) for name in config.edgeface]
    store = FaceStore.open(config.dataset / "train_processed")
    held_out = FaceStore.open(config.dataset / "val_processed")
    inputs = {f"edgeface {number}": each.sha256 for number, each in enumerate(recognisers)}
    inputs |= {"train": store.sha256, "validation": held_out.sha256}
    if config.init is not None:
        inputs["init"] = sha256_of(PRETRAINED if config.init == "default" else Path(config.init))
    with open_run(config, inputs, accelerator.is_main_process) as folder:
        seed_everything(config.seed)
        run = _Run(config, folder, accelerator, recognisers, store)
        validation = VerificationSet(held_out, recognisers[0], limit=config.validation_faces)
        run.resume()
        with graceful_stop() as stop:
            run.loop(validation, stop)


class _Run:
    """The objects of one training, wired together."""

    def __init__(
        self,
        config: TrainConfig,
        folder: Path,
        accelerator: Accelerator,
        recognisers: list[EdgeFaceEmbedding],
        store: FaceStore,
    ) -> None:
        self.config, self.folder, self.accelerator = config, folder, accelerator
        view = View(
            config.min_size, config.max_size, config.small_bias, 0.0, config.degradation, config.jitter, config.blend
        )
        rank, world = accelerator.process_index, accelerator.num_processes
        self.batches = LowResolutionBatches(store, config.batch, view, config.seed, accelerator.device, rank, world)
        weights = LossWeights(
            config.pixel, config.identity, config.feature, config.contrastive, config.tv, config.perceptual
        )
        perceptual = vgg_distance(accelerator.device) if config.perceptual else None
        ahead = not (view.changes_faces or config.feature)
        device = accelerator.device
        self.targets = [HrTargets(each, store, device) for each in recognisers] if ahead else None
        self.loss = RestorationLoss(weights, recognisers, perceptual, accelerator.gather, config.displace)
        model = _initial(config)
        if config.channels_last:
            model = model.to(memory_format=torch.channels_last)
        steps = config.epochs * len(self.batches) // config.accumulate
        settings = Optimisation(steps, config.rate, config.warmup, config.weight_decay, config.clip, config.ema)
        self.training = Training(model, settings, accelerator, config.compile)
        self.batches_done = 0
        self.best = -1.0
        self.sums: dict[str, float] = {}
        self.control: dict[str, dict[str, Any]] = {}

    def resume(self) -> None:
        """Continue from `last.pth`, if there is one."""
        path = self.folder / "last.pth"
        if path.is_file():
            state = load_checkpoint(path, CHECKPOINT)
            self.training.load_state_dict(state)
            self.batches_done, self.best, self.sums = state["batches_done"], state["best"], dict(state["sums"])
            self.accelerator.print(f"continuing {self.folder} from batch {self.batches_done}")
        self.log = RunLog(self.folder, self.batches_done, self.accelerator.is_main_process)

    def save(self) -> None:
        """Write `last.pth`: all that the next step depends on."""
        if self.accelerator.is_main_process:
            own = {"batches_done": self.batches_done, "best": self.best, "sums": dict(self.sums)}
            save_checkpoint(self.folder / "last.pth", {"format": CHECKPOINT, **self.training.state_dict(), **own})

    def loop(self, validation: VerificationSet, stop: StopRequest) -> None:
        """Train to the end, validating after each epoch."""
        per_epoch, total = len(self.batches), self.config.epochs * len(self.batches)
        main = self.accelerator.is_main_process
        with progress_bar(total, self.batches_done, "batch", "DSR", main) as bar:
            while self.batches_done < total:
                epoch, index = divmod(self.batches_done, per_epoch)
                terms = self.train_batch(self.batches.at(epoch, index))
                for name, value in terms.items():
                    self.sums[name] = self.sums.get(name, 0.0) + value
                self.batches_done += 1
                bar.update()
                rate = bar.format_dict["rate"] or 0
                bar.set_postfix_str(
                    f"loss {terms['loss']:.3f} id {terms['identity']:.3f} {rate * self.config.batch:.0f} faces/s"
                )
                if index == per_epoch - 1:
                    self.end_epoch(epoch, validation)
                elif self.batches_done % self.config.save_every == 0 or stop.requested:
                    self.save()
                if stop.requested and self.batches_done < total:
                    self.log.close()
                    raise KeyboardInterrupt
        self.finish()

    def train_batch(self, batch: Batch) -> dict[str, float]:
        """Take one batch; return its losses by name."""
        training = self.training
        training.model.train()
        canvas = batch.canvas
        if self.config.channels_last:
            canvas = canvas.contiguous(memory_format=torch.channels_last)
        with self.accelerator.accumulate(training.model):
            with self.accelerator.autocast():
                known = [each.at(batch.rows, batch.mirrored) for each in self.targets] if self.targets else None
                terms = self.loss(training.model(canvas), batch.faces, batch.person, batch.draws, known)
            try:
                norm = training.update(terms["loss"])
            except NonFiniteLossError as error:
                raise self._stopped(error, batch) from None
        return {**{name: value.item() for name, value in terms.items()}, "gradient": norm}

    def _stopped(self, error: NonFiniteLossError, batch: Batch) -> TrainingStoppedError:
        path = self.folder / "nonfinite_batch.pth"
        tensors = {"faces": batch.faces.cpu(), "canvas": batch.canvas.cpu(), "sizes_px": batch.sizes_px.cpu()}
        save_checkpoint(path, {"format": "dsr-batch", "batch": self.batches_done, **tensors})
        return TrainingStoppedError(
            f"{self.folder}: {error}; the batch is in {path.name}; lower --rate, or use --precision fp32"
        )

    def end_epoch(self, epoch: int, validation: VerificationSet) -> None:
        """Log the epoch's means, validate the moving average, keep the best, save."""
        means = mean_over_processes(self.accelerator, self.sums, len(self.batches))
        self.sums = {}
        self.log.write("train", self.batches_done, {"epoch": epoch + 1, "rate": self.training.rate, **means})
        last = epoch + 1 == self.config.epochs
        if (epoch + 1) % self.config.validate_every == 0 or last:
            self._validate(epoch, validation)
        self.save()
        self.accelerator.wait_for_everyone()

    def _validate(self, epoch: int, validation: VerificationSet) -> None:
        if not self.accelerator.is_main_process:
            return
        model = cast(DSR, self.training.ema.module).eval()
        restored = validation.measure(model, pictures=True)
        self.control = self.control or validation.measure(lambda canvas: canvas, pictures=True)
        control = self.control
        self.log.write("validation", self.batches_done, {"epoch": epoch + 1, "dsr": restored, "bicubic": control})
        score = ranking(restored)
        self.accelerator.print(f"epoch {epoch + 1}, TAR at FAR 1 % by size, bicubic  {table_line(control)}")
        self.accelerator.print(f"epoch {epoch + 1}, TAR at FAR 1 % by size, DSR      {table_line(restored)}")
        grid = sample_grid(model, validation.samples)
        self.log.image("samples", self.batches_done, grid.tensor)
        grid.save(self.folder / "samples" / f"epoch_{epoch + 1:04d}.png")
        if score > self.best:
            self.best = score
            metadata = {"epoch": epoch + 1, "validation": restored, "bicubic": control}
            save_dsr(self.folder / "best.pth", model, metadata)
            write_json(self.folder / "summary.json", metadata)

    def finish(self) -> None:
        """Say where the result is."""
        self.log.close()
        self.accelerator.print(
            f"best super-resolver: {self.folder / 'best.pth'} (mean TAR over sizes: {self.best:.4f})"
        )


def _initial(config: TrainConfig) -> DSR:
    if config.init is None:
        return DSR(config.preset)
    return load_dsr(None if config.init == "default" else config.init).requires_grad_(True)


def _check(config: TrainConfig) -> None:
    if config.min_size > config.max_size:
        raise UserError(f"--min-size {config.min_size}: larger than --max-size {config.max_size}")
    if config.init is not None and config.init != "default" and not Path(config.init).is_file():
        raise UserError(f"--init {config.init}: no such file; check the path")
    if not config.edgeface:
        raise UserError("--edgeface: at least one EdgeFace file is needed")


main = command(
    TrainConfig, train, example="python -m dsr.train_dsr --device cuda --epochs 100 --edgeface edgeface_xxs.pt"
)

if __name__ == "__main__":
    main()
