"""Fine-tune EdgeFace for low-resolution faces, in the space of the original."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from dataset.batches import Batch, LowResolutionBatches, View
from dataset.joined_store import TrainingFaces, open_training, open_validation
from dsr.dsr_file import dsr_file, load_dsr, save_dsr
from dsr.network import DSR
from engine.cli import command
from engine.device import computes_with, make_accelerator, pick_device, seed_everything
from engine.errors import GateError, UserError
from engine.files import sha256_of, write_json
from engine.optimisation import Optimisation, Training, steps_of
from engine.rundir import open_run
from engine.runloop import RunLoop
from facial_rec.embedding import EdgeFaceEmbedding
from facial_rec.finetuning.bank import memory_bank
from facial_rec.finetuning.config import FinetuneConfig
from facial_rec.finetuning.embedding_losses import effective_rank, uniformity
from facial_rec.finetuning.gates import Gates, shown
from facial_rec.finetuning.learner import Learner, TunedEmbedding
from facial_rec.finetuning.margins import margin_over
from facial_rec.finetuning.tuned_weights import drop_paths, merged_state, prepare_tuning
from facial_rec.finetuning.tuning_loss import TuningLoss, TuningWeights
from facial_rec.loading.adapter import write_adapter
from facial_rec.loading.branch import write_branch
from facial_rec.loading.saving import save_finetuned
from facial_rec.loading.sources import find_weights, named_weights
from facial_rec.validation import SIZES_PX, VerificationSet, ranking, table_line

CHECKPOINT = "edgeface-finetuning"
HR_PX = 112
JOINT_DSR = "dsr_joint.pth"


def finetune(config: FinetuneConfig) -> None:
    """Run or continue the fine-tuning that `config` describes."""
    if config.tune == "branch" and (config.feature or config.adapter):
        raise UserError("--tune branch: replaces the stages that --feature matches and --adapter changes; drop those")
    config = replace(config, edgeface=named_weights(config.edgeface))
    accelerator = make_accelerator(pick_device(config.device), config.precision, config.accumulate)
    original = EdgeFaceEmbedding(config.edgeface, device=accelerator.device)
    dsr = _super_resolver(config, accelerator.device)
    store = open_training(config.dataset, config.shares, config.readers)
    held_out = open_validation(config.dataset)
    batches = _batches(config, store, accelerator)
    inputs = {"edgeface": original.sha256, "train": store.sha256, "validation": held_out.sha256}
    files = {
        name: find_weights(given)
        for name, given in (("adapter", config.adapter), ("teacher", config.teacher))
        if given is not None
    }
    if dsr is not None:
        files["dsr"] = dsr_file(config.dsr)
    inputs |= {name: sha256_of(path) for name, path in files.items()}
    paths = [original.source, *files.values()]
    with open_run(config, inputs, accelerator.is_main_process, paths, computes_with(accelerator)) as folder:
        seed_everything(config.seed)
        validation = VerificationSet(held_out, original, limit=config.validation_faces, degradation=config.degradation)
        accelerator.print(f"validating on {validation} ({held_out.path})")
        _Run(config, folder, accelerator, original, dsr, batches, validation).train()


class _Run:
    """The objects of one fine-tuning, wired together."""

    def __init__(
        self,
        config: FinetuneConfig,
        folder: Path,
        accelerator: Accelerator,
        original: EdgeFaceEmbedding,
        dsr: DSR | None,
        batches: LowResolutionBatches,
        validation: VerificationSet,
    ) -> None:
        self.config, self.folder, self.accelerator, self.original = config, folder, accelerator, original
        self.batches, self.validation = batches, validation
        start = EdgeFaceEmbedding(config.edgeface, adapter=config.adapter) if config.adapter else original
        network = prepare_tuning(start.trainable_copy(), config.tune, config.rank).to(accelerator.device)
        drop_paths(network, config.drop_path)
        head = margin_over(config.margin_kind, batches.store) if config.margin else None
        chain = Learner(network, dsr, head, joint=config.joint, watched=config.feature > 0)
        learning = [weight for weight in network.parameters() if weight.requires_grad]
        teacher = EdgeFaceEmbedding(config.teacher, device=accelerator.device) if config.teacher else None
        store, device = batches.store, accelerator.device
        bank = memory_bank(original, store, config.bank, config.seed, device) if config.bank else None
        self.loss = TuningLoss(_weights(config), original, teacher, learning, accelerator.gather, bank)
        self.gates = _gates(config)
        steps = steps_of(config.epochs * len(batches), config.accumulate)
        settings = Optimisation(steps, config.rate, config.warmup, config.weight_decay, config.clip, config.ema)
        self.training = Training(chain, settings, accelerator, config.compile)
        kept = {"best": -1.0, "before": {}}
        self.loop = RunLoop(
            folder, CHECKPOINT, self.training, config.epochs, len(batches), config.save_every, kept, hours=config.hours
        )

    def train(self) -> None:
        """Measure the original, then train to the end, validating after each epoch."""
        if not self.loop.kept["before"]:
            with self.loop.validating():
                before = self.measure(cast(nn.Module, self.original.network))
            self.loop.kept["before"] = before
            self.loop.log.write("before", 0, before)
            self.accelerator.print(_summary("before", before))
            if self.config.adapter or self.config.tune == "branch":
                start = self.measure()
                self.loop.log.write("start", 0, start)
                self.accelerator.print(_summary("start", start))
        for epoch, index in self.loop.batches("EdgeFace"):
            self.train_batch(self.batches.at(epoch, index))
            if self.loop.epoch_ended:
                self.loop.end_epoch(self.validate, self.config.validate_every)
        written = (
            f"{self.original.arch}.branch.safetensors" if self.config.tune == "branch" else "edgeface_finetuned.pth"
        )
        self.accelerator.print(f"fine-tuned weights: {self.folder / written}")
        if self.config.joint:
            along = self.folder / JOINT_DSR
            self.accelerator.print(f"the super-resolver that belongs to them: {along} (evaluate with --dsr {along})")
        best, untuned = self.loop.kept["best"], ranking(shown(self.loop.kept["before"]))
        if best <= untuned:
            self.accelerator.print(
                f"no epoch was better than the original on the validation people ({self.validation.ranked_by}: "
                f"{best:.3f}, before {untuned:.3f}): more photographs, or a lower --rate, may help"
            )

    def train_batch(self, batch: Batch) -> None:
        """Take one batch."""
        config, training = self.config, self.training
        training.model.train()
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        # Stochastic layers draw from the step and the process alone.
        torch.manual_seed((config.seed * 1_000_003 + self.loop.batches_done + rank * 500_009) % 2**64)
        direct = batch.sizes_px >= HR_PX
        direct[: _bicubic_rows(config.bicubic_share, len(direct), rank, world)] = True
        with self.accelerator.accumulate(training.model):
            with self.accelerator.autocast():
                terms = self.loss(training.model(batch.canvas, direct, batch.person, batch.sizes_px), batch)
            with self.loop.keeping(batch.tensors()):
                gradient = training.update(terms["loss"])
        self.loop.count(terms, gradient, shown=("distill",))

    def validate(self, epoch: int) -> None:
        """Measure the moving average, hold the gates, keep the weights if they are the best."""
        measured = self.measure()
        self.loop.log.write("validation", self.loop.batches_done, {"epoch": epoch, **measured})
        self.accelerator.print(_summary(f"epoch {epoch}", measured))
        self.hold_gates(epoch, measured)
        if self.loop.improves(ranking(shown(measured))):
            self.keep(epoch, measured)

    def measure(self, network: nn.Module | None = None) -> dict[str, Any]:
        """Return the figures through the super-resolver, bicubic, and at full size.

        Args:
            network: The EdgeFace to measure; None is the moving average of what learns.
        """
        chain = cast(Learner, self.training.ema.module).eval()
        tuned = TunedEmbedding(network or chain.network)
        full = self.validation.measure(_unchanged, tuned, (HR_PX,))[str(HR_PX)]
        figures: dict[str, Any] = {"bicubic": self.validation.measure(_unchanged, tuned), "hr": full}
        if chain.dsr is not None:
            figures["dsr"] = self.validation.measure(chain.dsr, tuned)
        full_size = self.validation.embed(_unchanged, tuned)
        return {**figures, "effective_rank": effective_rank(full_size), "uniformity": uniformity(full_size)}

    def hold_gates(self, epoch: int, measured: dict[str, Any]) -> None:
        """End the run where a gate is violated; the weights of earlier epochs stay."""
        violated = self.gates.violated(self.loop.kept["before"], measured)
        if violated is None:
            return
        passed = self.loop.kept["best"] >= 0
        kept = "the best weights that passed are kept" if passed else "no epoch passed, so no weights were written"
        raise GateError(
            f"{self.folder}: stopped after epoch {epoch}, {violated}; {kept}; "
            "lower --rate, or raise --hr-share and --distill"
        )

    def keep(self, epoch: int, measured: dict[str, Any]) -> None:
        """Write the weights and what belongs to them."""
        chain = cast(Learner, self.training.ema.module)
        metadata = {
            "epoch": epoch,
            "base_sha256": self.original.sha256,
            "sizes_px": list(SIZES_PX),
            "before": self.loop.kept["before"],
            "after": measured,
        }
        if self.config.tune == "branch":
            path = self.folder / f"{self.original.arch}.branch.safetensors"
            write_branch(path, self.base, chain.network, self.facts(metadata))
        else:
            self.write_network(merged_state(chain.network), metadata)
        if self.config.joint and chain.dsr is not None:
            save_dsr(self.folder / JOINT_DSR, cast(DSR, chain.dsr), {"epoch": epoch})
            metadata["dsr"] = {"file": JOINT_DSR, "sha256": sha256_of(self.folder / JOINT_DSR)}
        write_json(self.folder / "summary.json", metadata)

    def write_network(self, tuned: dict[str, Tensor], metadata: dict[str, Any]) -> None:
        """Write the whole network, and as an adapter what distinguishes it from the original."""
        save_finetuned(self.folder / "edgeface_finetuned.pth", self.original.arch, tuned, metadata)
        path = self.folder / f"{self.original.arch}.lowres.safetensors"
        write_adapter(path, self.base, tuned, self.facts(metadata))

    @property
    def base(self) -> dict[str, Tensor]:
        """The original's tensors, on the CPU."""
        return {name: tensor.cpu() for name, tensor in cast(nn.Module, self.original.network).state_dict().items()}

    def facts(self, metadata: dict[str, Any]) -> dict[str, Any]:
        """Return what an adapter file says of itself."""
        config = self.config
        return {
            "base_arch": self.original.arch,
            "base_sha256": self.original.sha256,
            "min_size_px": config.min_size,
            "max_size_px": config.max_size,
            "metrics": metadata["after"],
            "licence": "that of the base weights",
        }


def _super_resolver(config: FinetuneConfig, device: torch.device) -> DSR | None:
    if config.dsr != "none":
        return load_dsr(config.dsr, device)
    if config.joint:
        raise UserError("--joint: needs a super-resolver; pass --dsr FILE or --dsr default")
    return None


def _bicubic_rows(share: float, count: int, rank: int, world: int) -> int:
    """Return how many of a process's `count` faces stay bicubic: the global batch's first ones do, on all processes.

    Rows come in random order with random sizes, so the first ones are a fair share.
    """
    return min(count, max(0, round(share * count * world) - rank * count))


def _batches(config: FinetuneConfig, store: TrainingFaces, accelerator: Accelerator) -> LowResolutionBatches:
    view = View(
        config.min_size,
        config.max_size,
        config.small_bias,
        config.hr_share,
        config.degradation,
        config.jitter,
        config.blend,
        config.cutout,
    )
    rank, world = accelerator.process_index, accelerator.num_processes
    return LowResolutionBatches(
        store, config.batch, view, config.seed, accelerator.device, rank, world, config.epoch_batches
    )


def _weights(config: FinetuneConfig) -> TuningWeights:
    return TuningWeights(
        distill=config.distill,
        relational=config.relational,
        teacher=config.teacher_weight,
        feature=config.feature,
        contrastive=config.contrastive,
        margin=config.margin,
        anchor=config.anchor,
        pixel=config.joint_pixel if config.joint else 0.0,
    )


def _gates(config: FinetuneConfig) -> Gates:
    return Gates(
        config.max_hr_drop,
        config.max_impostor_mean,
        config.min_rank_share,
        config.min_uniformity_share,
        config.max_overlap,
    )


def _unchanged(canvas: Tensor) -> Tensor:
    return canvas


def _summary(title: str, measured: dict[str, Any]) -> str:
    sizes, full = table_line(shown(measured)), measured["hr"]["accuracy"]
    return f"{title}, TAR at FAR 1 % by size  {sizes}  accuracy at full size {full:.4f}"


main = command(
    FinetuneConfig, finetune, example="python -m facial_rec.finetune_edgeface --device cuda --edgeface edgeface_xxs.pt"
)

if __name__ == "__main__":
    main()
