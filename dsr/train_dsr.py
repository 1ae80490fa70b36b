"""Train a super-resolver so that a frozen EdgeFace still sees the same person."""

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import torch
import typer
from accelerate import Accelerator

from dataset.batches import Batch, LowResolutionBatches, View
from dataset.joined_store import TrainingFaces, open_training, open_validation
from dsr.critic import Adversary, PatchCritic
from dsr.dsr_file import dsr_file, load_dsr, save_dsr
from dsr.losses import LossWeights, RestorationLoss, vgg_distance
from dsr.network import DSR
from dsr.samples import sample_grid
from engine import options
from engine.cli import command
from engine.device import computes_with, make_accelerator, pick_device, seed_everything
from engine.errors import UserError
from engine.files import sha256_of, write_json
from engine.optimisation import Optimisation, Training, steps_of
from engine.rundir import open_run
from engine.runloop import RunLoop
from facial_rec.embedding import EdgeFaceEmbedding
from facial_rec.finetuning.bank import memory_bank
from facial_rec.finetuning.hr_targets import HrTargets
from facial_rec.loading.sources import AUTO, named_weights
from facial_rec.validation import VerificationSet, ranking, table_line

CHECKPOINT = "dsr-training"
FEW_FACES = 1000


@dataclass(frozen=True)
class TrainConfig:
    """Train a super-resolver (DSR) for faces of 6 to 32 px against one or several frozen EdgeFaces.

    Reads DATASET/train_processed and val_processed (python -m dataset prepare writes them); of several data sets the
    val_processed of the first that has one. Writes best.pth (chosen by verification on the validation people),
    last.pth, metrics.jsonl, sample grids and TensorBoard files. Run the same command again after an interruption: it
    continues to the same weights as if it had never stopped.
    """

    edgeface: Annotated[
        list[str],
        typer.Option(
            help="EdgeFace weights to train against; repeat for several. A name, a path, or auto: "
            "EdgeFace-XXS as published if found, else the synthetic one that ships."
        ),
    ] = field(default_factory=lambda: [AUTO])
    dataset: options.Datasets = field(default_factory=lambda: [Path("dataset")])
    shares: options.Shares = None
    readers: options.Readers = 0
    out: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("runs/dsr")
    device: options.Device = "auto"
    precision: options.Precision = "auto"
    epochs: options.Epochs = 100
    hours: options.Hours = None
    epoch_batches: options.EpochBatches = 0
    batch: options.BatchSize = 16
    accumulate: options.Accumulate = 1
    preset: Annotated[
        Literal["small", "base", "large"], typer.Option(help="Size of the network; --init brings its own.")
    ] = "base"
    init: Annotated[str | None, typer.Option(help="Super-resolver to start from; 'default' is the one shipped.")] = None
    rate: options.Rate = 1e-3
    warmup: options.Warmup = 200
    weight_decay: options.WeightDecay = 1e-4
    clip: options.Clip = 1.0
    ema: options.Ema = 0.999
    min_size: options.MinSize = 6
    max_size: options.MaxSize = 32
    small_bias: options.SmallBias = False
    degradation: options.Degradation = "clean"
    jitter: options.Jitter = 0.0
    blend: options.Blend = 0.0
    pixel: Annotated[float, typer.Option(min=0, help="Weight of the L1 pixel loss.")] = 1.0
    identity: Annotated[float, typer.Option(min=0, help="Weight of 1 - cosine to the HR embedding.")] = 0.6
    feature: Annotated[float, typer.Option(min=0, help="Weight of matching EdgeFace's stages.")] = 0.18
    contrastive: Annotated[float, typer.Option(min=0, help="Weight of InfoNCE against other people.")] = 0.0
    relational: Annotated[float, typer.Option(min=0, help="Weight of matching similarities within a batch.")] = 0.0
    bank: options.Bank = 0
    tv: Annotated[float, typer.Option(min=0, help="Weight of total variation.")] = 1e-5
    perceptual: Annotated[float, typer.Option(min=0, help="Weight of VGG-19 features (downloads them).")] = 0.0
    adversarial: Annotated[
        float, typer.Option(min=0, help="Weight of a patch critic trained beside, for looks; it may invent detail.")
    ] = 0.0
    displace: Annotated[
        float,
        typer.Option(
            min=0,
            max=8,
            help="EdgeFace sees restored faces shifted by up to this, px; with --feature, --jitter or --blend the "
            "targets are of faces shifted alike.",
        ),
    ] = 3.0
    channels_last: Annotated[bool, typer.Option(help="Memory layout of the network.")] = True
    compile: options.Compile = False
    seed: options.Seed = 0
    save_every: options.SaveEvery = 500
    validate_every: options.ValidateEvery = 1
    validation_faces: options.ValidationFaces = 1000
    overwrite: options.Overwrite = False


def train(config: TrainConfig) -> None:
    """Run or continue the training that `config` describes."""
    if not config.edgeface:
        raise UserError("--edgeface: at least one EdgeFace file is needed")
    config = replace(config, edgeface=[named_weights(name) for name in config.edgeface])
    initial = dsr_file(config.init) if config.init else None
    if initial and not initial.is_file():
        raise UserError(f"--init {config.init}: no such file; check the path")
    accelerator = make_accelerator(pick_device(config.device), config.precision, config.accumulate)
    recognisers = [EdgeFaceEmbedding(name, device=accelerator.device) for name in config.edgeface]
    blind = next((each for each in recognisers if each.network is None), None)
    if config.feature and blind is not None:
        raise UserError(f"--feature {config.feature}: {blind.source} is a black box without stages; pass --feature 0")
    store = open_training(config.dataset, config.shares, config.readers)
    held_out = open_validation(config.dataset)
    if initial is None and len(store) < FEW_FACES:
        accelerator.print(f"{len(store)} faces are few to train on: --init default starts from the one that is shipped")
    batches = _batches(config, store, accelerator)
    inputs = {f"edgeface {number}": each.sha256 for number, each in enumerate(recognisers)}
    inputs |= {"train": store.sha256, "validation": held_out.sha256}
    if initial:
        inputs["init"] = sha256_of(initial)
    files = [*(each.source for each in recognisers), *([initial] if initial else [])]
    with open_run(config, inputs, accelerator.is_main_process, files, computes_with(accelerator)) as folder:
        seed_everything(config.seed)
        validation = VerificationSet(
            held_out, recognisers[0], limit=config.validation_faces, degradation=config.degradation
        )
        accelerator.print(f"validating on {validation} ({held_out.path})")
        _Run(config, folder, accelerator, recognisers, batches, validation).train()


class _Run:
    """The objects of one training, wired together."""

    def __init__(
        self,
        config: TrainConfig,
        folder: Path,
        accelerator: Accelerator,
        recognisers: list[EdgeFaceEmbedding],
        batches: LowResolutionBatches,
        validation: VerificationSet,
    ) -> None:
        self.config, self.folder, self.accelerator = config, folder, accelerator
        self.batches, self.validation = batches, validation
        device = accelerator.device
        steps = steps_of(config.epochs * len(batches), config.accumulate)
        settings = Optimisation(steps, config.rate, config.warmup, config.weight_decay, config.clip, config.ema)
        self.training = Training(_initial(config), settings, accelerator, config.compile)
        self.adversary = Adversary(Training(PatchCritic(), settings, accelerator)) if config.adversarial else None
        self.learners = [self.training, *([self.adversary.training] if self.adversary else [])]
        weights = LossWeights(*(getattr(config, term.name) for term in fields(LossWeights)))
        perceptual = vgg_distance(device) if config.perceptual else None
        judge = self.adversary.judge if self.adversary else None
        store, seed = batches.store, config.seed
        banks = [memory_bank(each, store, config.bank, seed, device) for each in recognisers] if config.bank else None
        self.loss = RestorationLoss(weights, recognisers, perceptual, judge, accelerator.gather, config.displace, banks)
        ahead = not (batches.view.changes_faces or config.feature)
        self.targets = [HrTargets(each, batches.store, device, folder) for each in recognisers] if ahead else None
        kept = {"best": -1.0}
        beside = {"critic": self.adversary.training} if self.adversary else {}
        self.loop = RunLoop(
            folder,
            CHECKPOINT,
            self.training,
            config.epochs,
            len(batches),
            config.save_every,
            kept,
            beside,
            config.hours,
        )
        self.control: dict[str, dict[str, Any]] = {}

    def train(self) -> None:
        """Train to the end, validating after each epoch."""
        if self.loop.planning:
            with self.loop.validating():
                self.validation.measure(cast(DSR, self.training.ema.module).eval(), pictures=True)
        for epoch, index in self.loop.batches("DSR"):
            self.train_batch(self.batches.at(epoch, index))
            if self.loop.epoch_ended:
                self.loop.end_epoch(self.validate, self.config.validate_every)
        best = self.loop.kept["best"]
        ranked_by = self.validation.ranked_by
        self.accelerator.print(f"best super-resolver: {self.folder / 'best.pth'} ({ranked_by}: {best:.4f})")
        if self.control and best <= ranking(self.control):
            self.accelerator.print(
                f"no epoch was better than bicubic enlargement ({ranked_by}: {ranking(self.control):.4f}): "
                "more photographs, or --init default, may help"
            )

    def train_batch(self, batch: Batch) -> None:
        """Take one batch."""
        canvas = batch.canvas
        if self.config.channels_last:
            canvas = canvas.contiguous(memory_format=torch.channels_last)
        for learner in self.learners:
            learner.model.train()
        with self.accelerator.accumulate(*(learner.model for learner in self.learners)):
            with self.accelerator.autocast():
                known = [each.at(batch.rows, batch.mirrored) for each in self.targets] if self.targets else None
                restored = self.training.model(canvas)
                terms = self.loss(restored, batch.faces, batch.person, batch.draws, known)
                if self.adversary:
                    terms["critic"] = self.adversary.learn(restored, batch.faces)
            with self.loop.keeping(batch.tensors()):
                gradient = self.training.update(terms["loss"])
                if self.adversary:
                    self.adversary.training.update(terms["critic"])
        self.loop.count(terms, gradient, shown=("identity",))

    def validate(self, epoch: int) -> None:
        """Measure the moving average beside bicubic enlargement, show it, keep it if it is the best."""
        model, step = cast(DSR, self.training.ema.module).eval(), self.loop.batches_done
        restored = self.validation.measure(model, pictures=True)
        if not self.control:
            self.control = self.validation.measure(lambda canvas: canvas, pictures=True)
            self.accelerator.print(f"bicubic, TAR at FAR 1 % by size  {table_line(self.control)}")
        self.loop.log.write("validation", step, {"epoch": epoch, "dsr": restored, "bicubic": self.control})
        self.accelerator.print(f"epoch {epoch}, TAR at FAR 1 % by size  {table_line(restored)}")
        grid = sample_grid(model, self.validation.samples)
        self.loop.log.image("samples", step, grid.tensor)
        grid.save(self.folder / "samples" / f"epoch_{epoch:04d}.png")
        if self.loop.improves(ranking(restored)):
            metadata = {"epoch": epoch, "validation": restored, "bicubic": self.control}
            save_dsr(self.folder / "best.pth", model, metadata)
            write_json(self.folder / "summary.json", metadata)


def _batches(config: TrainConfig, store: TrainingFaces, accelerator: Accelerator) -> LowResolutionBatches:
    view = View(
        config.min_size, config.max_size, config.small_bias, 0.0, config.degradation, config.jitter, config.blend
    )
    rank, world = accelerator.process_index, accelerator.num_processes
    return LowResolutionBatches(
        store, config.batch, view, config.seed, accelerator.device, rank, world, config.epoch_batches
    )


def _initial(config: TrainConfig) -> DSR:
    model = load_dsr(config.init).requires_grad_(True) if config.init else DSR(config.preset)
    return model.to(memory_format=torch.channels_last) if config.channels_last else model


main = command(
    TrainConfig, train, example="python -m dsr.train_dsr --device cuda --epochs 100 --edgeface edgeface_xxs.pt"
)

if __name__ == "__main__":
    main()
