"""Fine-tune EdgeFace for low-resolution faces, in the space of the original."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import torch
import typer
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn import functional as F

from dataset.batches import Batch, LowResolutionBatches, View
from dataset.store import FaceStore
from dsr.network import DSR
from dsr.weights import load_dsr, save_dsr
from engine.checkpoint import load_checkpoint, save_checkpoint
from engine.cli import command
from engine.errors import GateError, UserError
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
from facial_rec.adapter import write_adapter
from facial_rec.chain import Chain, ChainEmbedding
from facial_rec.embedding import EdgeFaceEmbedding
from facial_rec.finetuned import save_finetuned
from facial_rec.objectives import contrastive_loss, effective_rank, identity_loss, margin_head, relational_loss
from facial_rec.tuning import merged_state, prepare_tuning
from pipeline.validation import SIZES_PX, VerificationSet, ranking, table_line

CHECKPOINT = "edgeface-finetuning"
HR_PX = 112


@dataclass(frozen=True)
class FinetuneConfig:
    """Fine-tune EdgeFace on restored faces of 6 to 32 px, distilled to the original's full-size embeddings.

    Galleries that the original enrolled stay valid. Writes edgeface_finetuned.pth (best TAR at FAR 0.1 % on the
    validation people among the epochs that pass every gate), last.pth and metrics.jsonl. A run that violates a gate
    (collapse, loss at full size) stops with exit code 3 and keeps the last good weights.
    """

    edgeface: Annotated[str, typer.Option(help="EdgeFace weights to start from. A name or a path.")] = "edgeface_xxs.pt"
    dsr: Annotated[
        str, typer.Option(help="Super-resolver in front: a file, 'default' (the one shipped), 'none' (bicubic).")
    ] = "runs/dsr/best.pth"
    dataset: Annotated[Path, typer.Option(help="Folder with train_processed and val_processed.")] = Path("dataset")
    out: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("runs/edgeface")
    device: Device = "auto"
    precision: Precision = "auto"
    epochs: Epochs = 10
    batch: BatchSize = 32
    accumulate: Accumulate = 1
    rate: Rate = 2e-4
    warmup: Warmup = 200
    weight_decay: WeightDecay = 0.05
    clip: Clip = 1.0
    ema: Ema = 0.999
    tune: Annotated[
        Literal["all", "norms", "early", "late", "lowrank"], typer.Option(help="Which weights of EdgeFace learn.")
    ] = "all"
    rank: Annotated[
        int, typer.Option(min=1, help="Rank of --tune lowrank, which also writes an adapter file (below 400 kB to 6).")
    ] = 6
    joint: Annotated[bool, typer.Option(help="Train the super-resolver as well, against the same targets.")] = False
    joint_pixel: Annotated[float, typer.Option(min=0, help="Weight of the L1 pixel loss with --joint.")] = 0.5
    hr_share: Annotated[float, typer.Option(min=0, max=1, help="Share of each batch at full size.")] = 0.25
    bicubic_share: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the low-resolution faces that skip the super-resolver.")
    ] = 0.25
    min_size: MinSize = 6
    max_size: MaxSize = 32
    small_bias: SmallBias = False
    degradation: Degradation = "clean"
    jitter: Jitter = 0.5
    blend: Blend = 0.3
    distill: Annotated[float, typer.Option(min=0, help="Weight of 1 - cosine to the original's HR embedding.")] = 1.0
    relational: Annotated[float, typer.Option(min=0, help="Weight of matching similarities within a batch.")] = 10.0
    contrastive: Annotated[float, typer.Option(min=0, help="Weight of InfoNCE against other people.")] = 0.0
    margin: Annotated[float, typer.Option(min=0, help="Weight of the margin loss over training people.")] = 0.01
    margin_kind: Annotated[Literal["arcface", "cosface"], typer.Option(help="Which margin loss.")] = "cosface"
    compile: Compile = False
    seed: Seed = 0
    save_every: SaveEvery = 500
    validate_every: ValidateEvery = 1
    validation_faces: ValidationFaces = 1000
    max_hr_drop: Annotated[
        float, typer.Option(min=0, help="Gate: largest loss of accuracy at full size, percentage points.")
    ] = 0.5
    max_impostor_mean: Annotated[float, typer.Option(help="Gate: largest mean similarity of impostors.")] = 0.2
    min_rank_share: Annotated[
        float, typer.Option(min=0, max=1, help="Gate: least effective rank, as a share of the original's.")
    ] = 0.5
    overwrite: Overwrite = False


class FinetuningStoppedError(UserError):
    """A fine-tuning that cannot go on."""


def finetune(config: FinetuneConfig) -> None:
    """Run or continue the fine-tuning that `config` describes."""
    if config.min_size > config.max_size:
        raise UserError(f"--min-size {config.min_size}: larger than --max-size {config.max_size}")
    accelerator = make_accelerator(pick_device(config.device), config.precision, config.accumulate)
    if config.batch % accelerator.num_processes:
        raise UserError(f"--batch {config.batch}: not divisible by {accelerator.num_processes} processes")
    original = EdgeFaceEmbedding(config.edgeface, device=accelerator.device)
    dsr = (
        None if config.dsr == "none" else load_dsr(None if config.dsr == "default" else config.dsr, accelerator.device)
    )
    if config.joint and dsr is None:
        raise UserError("--joint: needs a super-resolver; pass --dsr FILE or --dsr default")
    store = FaceStore.open(config.dataset / "train_processed")
    held_out = FaceStore.open(config.dataset / "val_processed")
    inputs = {"edgeface": original.sha256, "train": store.sha256, "validation": held_out.sha256}
    if dsr is not None:
        inputs["dsr"] = sha256_of(Path(config.dsr)) if config.dsr != "default" else "default"
    with open_run(config, inputs, accelerator.is_main_process) as folder:
        seed_everything(config.seed)
        run = _Run(config, folder, accelerator, original, dsr, store)
        validation = VerificationSet(held_out, original, limit=config.validation_faces)
        run.resume(validation)
        with graceful_stop() as stop:
            run.loop(validation, stop)


class _Run:
    """The objects of one fine-tuning, wired together."""

    def __init__(
        self,
        config: FinetuneConfig,
        folder: Path,
        accelerator: Accelerator,
        original: EdgeFaceEmbedding,
        dsr: DSR | None,
        store: FaceStore,
    ) -> None:
        self.config, self.folder, self.accelerator, self.original = config, folder, accelerator, original
        view = View(
            config.min_size,
            config.max_size,
            config.small_bias,
            config.hr_share,
            config.degradation,
            config.jitter,
            config.blend,
        )
        rank, world = accelerator.process_index, accelerator.num_processes
        self.batches = LowResolutionBatches(store, config.batch, view, config.seed, accelerator.device, rank, world)
        network = prepare_tuning(original.trainable_copy(), config.tune, config.rank)
        head = margin_head(config.margin_kind, len(store.people)) if config.margin else None
        chain = Chain(network, dsr, head, joint=config.joint)
        steps = config.epochs * len(self.batches) // config.accumulate
        settings = Optimisation(steps, config.rate, config.warmup, config.weight_decay, config.clip, config.ema)
        self.training = Training(chain, settings, accelerator, config.compile)
        self.batches_done = 0
        self.best = -1.0
        self.before: dict[str, Any] = {}
        self.sums: dict[str, float] = {}

    def resume(self, validation: VerificationSet) -> None:
        """Continue from `last.pth`, if there is one; measure the starting point otherwise."""
        path = self.folder / "last.pth"
        if path.is_file():
            state = load_checkpoint(path, CHECKPOINT)
            self.training.load_state_dict(state)
            self.batches_done, self.best = state["batches_done"], state["best"]
            self.before, self.sums = dict(state["before"]), dict(state["sums"])
            self.accelerator.print(f"continuing {self.folder} from batch {self.batches_done}")
        self.log = RunLog(self.folder, self.batches_done, self.accelerator.is_main_process)
        if not self.before:
            self.before = self.measure(validation)
            self.log.write("before", 0, self.before)
            self.accelerator.print(_summary("before", self.before))

    def save(self) -> None:
        """Write `last.pth`: all that the next step depends on."""
        if self.accelerator.is_main_process:
            own = {"batches_done": self.batches_done, "best": self.best, "before": self.before, "sums": self.sums}
            save_checkpoint(self.folder / "last.pth", {"format": CHECKPOINT, **self.training.state_dict(), **own})

    def loop(self, validation: VerificationSet, stop: StopRequest) -> None:
        """Train to the end, validating after each epoch."""
        per_epoch, total = len(self.batches), self.config.epochs * len(self.batches)
        main = self.accelerator.is_main_process
        with progress_bar(total, self.batches_done, "batch", "EdgeFace", main) as bar:
            while self.batches_done < total:
                epoch, index = divmod(self.batches_done, per_epoch)
                terms = self.train_batch(self.batches.at(epoch, index))
                for name, value in terms.items():
                    self.sums[name] = self.sums.get(name, 0.0) + value
                self.batches_done += 1
                bar.update()
                bar.set_postfix_str(f"loss {terms['loss']:.3f} distil {terms['distill']:.3f}")
                if index == per_epoch - 1:
                    self.end_epoch(epoch, validation)
                elif self.batches_done % self.config.save_every == 0 or stop.requested:
                    self.save()
                if stop.requested and self.batches_done < total:
                    self.log.close()
                    raise KeyboardInterrupt
        self.log.close()
        self.accelerator.print(f"fine-tuned weights: {self.folder / 'edgeface_finetuned.pth'}")

    def train_batch(self, batch: Batch) -> dict[str, float]:
        """Take one batch; return its losses by name."""
        config, training = self.config, self.training
        training.model.train()
        torch.manual_seed(config.seed * 1_000_003 + self.batches_done)  # stochastic layers draw from the step alone
        # Rows come in random order with random sizes, so the first ones are a fair share to leave bicubic.
        direct = batch.sizes_px >= HR_PX
        direct[: round(config.bicubic_share * len(direct))] = True
        with self.accelerator.accumulate(training.model):
            with self.accelerator.autocast():
                embeddings, restored, margin = training.model(batch.canvas, direct, batch.person)
                terms = self._terms(batch, embeddings, restored, margin)
            try:
                norm = training.update(terms["loss"])
            except NonFiniteLossError as error:
                raise FinetuningStoppedError(
                    f"{self.folder}: {error}; last.pth holds earlier weights; lower --rate"
                ) from None
        return {**{name: value.item() for name, value in terms.items()}, "gradient": norm}

    def _terms(self, batch: Batch, embeddings: Tensor, restored: Tensor, margin: Tensor) -> dict[str, Tensor]:
        config = self.config
        with torch.no_grad():
            targets = self.original(batch.faces)
            gallery = self.accelerator.gather(targets)
            positives = batch.person[:, None] == self.accelerator.gather(batch.person)[None, :]
        embeddings = embeddings.float()
        terms = {"distill": identity_loss(embeddings, targets)}
        loss = config.distill * terms["distill"]
        if config.relational:
            terms["relational"] = relational_loss(embeddings, targets, gallery)
            loss = loss + config.relational * terms["relational"]
        if config.contrastive:
            terms["contrastive"] = contrastive_loss(embeddings, targets, gallery, positives)
            loss = loss + config.contrastive * terms["contrastive"]
        if config.margin:
            terms["margin"] = margin
            loss = loss + config.margin * margin
        if config.joint:
            terms["pixel"] = F.l1_loss(restored, batch.faces)
            loss = loss + config.joint_pixel * terms["pixel"]
        return {**terms, "loss": loss}

    def end_epoch(self, epoch: int, validation: VerificationSet) -> None:
        """Log the epoch's means, validate the moving average, hold the gates, save."""
        means = mean_over_processes(self.accelerator, self.sums, len(self.batches))
        self.sums = {}
        self.log.write("train", self.batches_done, {"epoch": epoch + 1, "rate": self.training.rate, **means})
        last = epoch + 1 == self.config.epochs
        if self.accelerator.is_main_process and ((epoch + 1) % self.config.validate_every == 0 or last):
            measured = self.measure(validation)
            self.log.write("validation", self.batches_done, {"epoch": epoch + 1, **measured})
            self.accelerator.print(_summary(f"epoch {epoch + 1}", measured))
            self._hold_gates(epoch + 1, measured)
            self._keep_if_best(epoch + 1, measured)
        self.save()
        self.accelerator.wait_for_everyone()

    def measure(self, validation: VerificationSet) -> dict[str, Any]:
        """Return the figures of the moving average: through the super-resolver, bicubic, and at full size."""
        chain = cast(Chain, self.training.ema.module).eval()
        tuned = ChainEmbedding(chain.network)
        full = validation.measure(_unchanged, tuned, (HR_PX,))[str(HR_PX)]
        figures: dict[str, Any] = {"bicubic": validation.measure(_unchanged, tuned), "hr": full}
        if chain.dsr is not None:
            figures["dsr"] = validation.measure(chain.dsr, tuned)
        figures["effective_rank"] = effective_rank(validation.embed(_unchanged, tuned))
        return figures

    def _hold_gates(self, epoch: int, measured: dict[str, Any]) -> None:
        config, before = self.config, self.before
        drop = 100 * (before["hr"]["accuracy"] - measured["hr"]["accuracy"])
        shown = measured.get("dsr", measured["bicubic"])
        impostor = max(figures["impostor_mean"] for figures in [*shown.values(), measured["hr"]])
        rank_share = measured["effective_rank"] / before["effective_rank"]
        for name, value, limit, violated in (
            ("accuracy lost at full size, points (--max-hr-drop)", drop, config.max_hr_drop, drop > config.max_hr_drop),
            (
                "mean impostor similarity (--max-impostor-mean)",
                impostor,
                config.max_impostor_mean,
                impostor > config.max_impostor_mean,
            ),
            (
                "effective rank share (--min-rank-share)",
                rank_share,
                config.min_rank_share,
                rank_share < config.min_rank_share,
            ),
        ):
            if violated:
                kept = (
                    "the last good weights are kept"
                    if self.best >= 0
                    else "no epoch passed, so no weights were written"
                )
                raise GateError(
                    f"{self.folder}: stopped after epoch {epoch}, {name} is {value:.3f}, limit {limit}; {kept}; "
                    "lower --rate, or raise --hr-share and --distill"
                )

    def _keep_if_best(self, epoch: int, measured: dict[str, Any]) -> None:
        score = ranking(measured.get("dsr", measured["bicubic"]))
        if score <= self.best:
            return
        self.best = score
        chain = cast(Chain, self.training.ema.module)
        metadata = {
            "epoch": epoch,
            "base_sha256": self.original.sha256,
            "sizes_px": list(SIZES_PX),
            "before": self.before,
            "after": measured,
        }
        tuned = merged_state(chain.network)
        save_finetuned(self.folder / "edgeface_finetuned.pth", self.original.arch, tuned, metadata)
        if self.config.tune == "lowrank":
            self._write_adapter(tuned, metadata)
        if self.config.joint and chain.dsr is not None:
            save_dsr(self.folder / "dsr_joint.pth", cast(DSR, chain.dsr), {"epoch": epoch})
        write_json(self.folder / "summary.json", metadata)

    def _write_adapter(self, tuned: dict[str, Tensor], metadata: dict[str, Any]) -> None:
        """Write what distinguishes the tuned network, for recognisers that switch it on by the size of the face."""
        config = self.config
        facts = {
            "base_arch": self.original.arch,
            "base_sha256": self.original.sha256,
            "min_size_px": config.min_size,
            "max_size_px": config.max_size,
            "metrics": metadata["after"],
            "licence": "that of the base weights",
        }
        path = self.folder / f"{self.original.arch}.lowres.safetensors"
        write_adapter(path, cast(nn.Module, self.original.network).state_dict(), tuned, facts)


def _unchanged(canvas: Tensor) -> Tensor:
    return canvas


def _summary(title: str, measured: dict[str, Any]) -> str:
    shown = measured.get("dsr", measured["bicubic"])
    return (
        f"{title}, TAR at FAR 1 % by size  {table_line(shown)}  accuracy at full size {measured['hr']['accuracy']:.4f}"
    )


main = command(
    FinetuneConfig, finetune, example="python -m facial_rec.finetune_edgeface --device cuda --edgeface edgeface_xxs.pt"
)

if __name__ == "__main__":
    main()
