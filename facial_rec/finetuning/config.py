"""The options of a fine-tuning."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from engine import options
from facial_rec.finetuning.margins import MarginKind
from facial_rec.finetuning.tuned_weights import Tune
from facial_rec.loading.sources import AUTO


@dataclass(frozen=True)
class FinetuneConfig:
    """Fine-tune EdgeFace on restored faces of 6 to 32 px, distilled to the original's full-size embeddings.

    Galleries that the original enrolled stay valid. Writes edgeface_finetuned.pth (best TAR at FAR 0.1 % on the
    validation people among the epochs that pass every gate), last.pth and metrics.jsonl. A run that violates a gate
    (collapse, loss at full size) stops with exit code 3 and keeps the best that passed.
    """

    edgeface: Annotated[
        str,
        typer.Option(
            help="EdgeFace weights to start from. A name, a path, or auto: EdgeFace-XXS as published if found, else "
            "the synthetic one that ships."
        ),
    ] = AUTO
    dsr: Annotated[
        str, typer.Option(help="Super-resolver in front: a file, 'default' (the one shipped), 'none' (bicubic).")
    ] = "runs/dsr/best.pth"
    dataset: options.Datasets = field(default_factory=lambda: [Path("dataset")])
    shares: options.Shares = None
    readers: options.Readers = 0
    out: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("runs/edgeface")
    device: options.Device = "auto"
    precision: options.Precision = "auto"
    epochs: options.Epochs = 10
    hours: options.Hours = None
    epoch_batches: options.EpochBatches = 0
    batch: options.BatchSize = 32
    accumulate: options.Accumulate = 1
    rate: options.Rate = 2e-4
    warmup: options.Warmup = 200
    weight_decay: options.WeightDecay = 0.05
    clip: options.Clip = 1.0
    ema: options.Ema = 0.999
    adapter: Annotated[Path | None, typer.Option(help="Adapter to start from, made for --edgeface.")] = None
    tune: Annotated[Tune, typer.Option(help="Which weights of EdgeFace learn.")] = "all"
    rank: Annotated[
        int,
        typer.Option(
            min=1,
            help="Rank of --tune lowrank; that of --adapter is added to it.",
        ),
    ] = 9
    drop_path: Annotated[
        float, typer.Option(min=0, max=0.9, help="Stochastic depth: chance that EdgeFace's last block is skipped.")
    ] = 0.0
    joint: Annotated[bool, typer.Option(help="Train the super-resolver as well; it becomes dsr_joint.pth.")] = False
    joint_pixel: Annotated[float, typer.Option(min=0, help="Weight of the L1 pixel loss with --joint.")] = 0.5
    hr_share: Annotated[float, typer.Option(min=0, max=1, help="Share of each batch at full size.")] = 0.25
    bicubic_share: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the low-resolution faces that skip the super-resolver.")
    ] = 0.25
    min_size: options.MinSize = 6
    max_size: options.MaxSize = 32
    small_bias: options.SmallBias = False
    degradation: options.Degradation = "clean"
    jitter: options.Jitter = 0.5
    blend: options.Blend = 0.3
    cutout: options.Cutout = 0.0
    distill: Annotated[float, typer.Option(min=0, help="Weight of 1 - cosine to the original's HR embedding.")] = 1.0
    relational: Annotated[float, typer.Option(min=0, help="Weight of matching similarities within a batch.")] = 10.0
    teacher: Annotated[
        str | None, typer.Option(help="A larger EdgeFace, such as edgeface_xs.pt, for --teacher-weight.")
    ] = None
    teacher_weight: Annotated[
        float, typer.Option(min=0, help="Weight of matching the teacher's similarities within a batch.")
    ] = 10.0
    feature: Annotated[float, typer.Option(min=0, help="Weight of matching the original's stages.")] = 0.0
    anchor: Annotated[
        float, typer.Option(min=0, help="Weight of the mean squared distance of the weights to where they started.")
    ] = 0.0
    contrastive: Annotated[float, typer.Option(min=0, help="Weight of InfoNCE against other people.")] = 0.0
    bank: options.Bank = 0
    margin: Annotated[float, typer.Option(min=0, help="Weight of the margin loss over training people.")] = 0.01
    margin_kind: Annotated[MarginKind, typer.Option(help="Which margin loss.")] = "cosface"
    compile: options.Compile = False
    seed: options.Seed = 0
    save_every: options.SaveEvery = 500
    validate_every: options.ValidateEvery = 1
    validation_faces: options.ValidationFaces = 1000
    max_hr_drop: Annotated[
        float, typer.Option(min=0, help="Gate: largest loss of accuracy at full size, percentage points.")
    ] = 0.5
    max_impostor_mean: Annotated[float, typer.Option(help="Gate: largest mean similarity of impostors.")] = 0.2
    min_rank_share: Annotated[
        float, typer.Option(min=0, max=1, help="Gate: least effective rank, as a share of the original's.")
    ] = 0.5
    min_uniformity_share: Annotated[
        float, typer.Option(min=0, max=1, help="Gate: least uniformity of embeddings, as a share of the original's.")
    ] = 0.5
    max_overlap: Annotated[
        float, typer.Option(min=0, max=1, help="Gate: largest rise of the equal error rate at full size.")
    ] = 0.05
    overwrite: options.Overwrite = False
