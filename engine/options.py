"""Flags that several commands share, each with its help written once."""

from pathlib import Path
from typing import Annotated, Literal

import typer

Datasets = Annotated[
    list[Path],
    typer.Option(
        help="Folder with train_processed and val_processed; repeat for several, which may be of people unknown "
        "(dataset prepare --unlabelled)."
    ),
]
Shares = Annotated[
    str | None,
    typer.Option(
        help="How much of an epoch each --dataset is, in their order: 3,1 is three faces of the first to one of the "
        "second, which are shown less or more often for it; none given: every face once."
    ),
]
Readers = Annotated[
    int,
    typer.Option(min=0, help="Processes that decode each encoded data set ahead (dataset prepare --store); 0: none."),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]
Processes = Annotated[
    int,
    typer.Option(min=1, max=16, help="Processes that embed; with --device cuda each takes the next GPU (not tried)."),
]
Precision = Annotated[
    Literal["auto", "fp32", "bf16", "fp16"],
    typer.Option(help="Of forward and backward; auto is bf16 where the processor has it, else fp32."),
]
Epochs = Annotated[int, typer.Option(min=1, help="Passes over the training faces.")]
Hours = Annotated[
    float | None,
    typer.Option(
        min=0.01,
        help="Train for so long instead of --epochs: the first batches are timed, and the learning rate's fall is "
        "fitted to what is left.",
    ),
]
BatchSize = Annotated[int, typer.Option(min=2, help="Faces a batch, over all processes.")]
Accumulate = Annotated[int, typer.Option(min=1, help="Batches a step.")]
Rate = Annotated[float, typer.Option(min=0, help="Peak learning rate.")]
Warmup = Annotated[int, typer.Option(min=0, help="Steps of linear warm-up.")]
WeightDecay = Annotated[float, typer.Option(min=0, help="AdamW's weight decay.")]
Clip = Annotated[float, typer.Option(min=0, help="Largest norm of the gradient; 0 is off.")]
Ema = Annotated[float, typer.Option(min=0, max=1, help="Decay of the moving average that is validated.")]
MinSize = Annotated[int, typer.Option(min=4, max=112, help="Smallest face, px.")]
MaxSize = Annotated[int, typer.Option(min=4, max=112, help="Largest low-resolution face, px.")]
SmallBias = Annotated[bool, typer.Option(help="Draw small sizes more often (density 1 / size).")]
Degradation = Annotated[
    Literal["clean", "real"], typer.Option(help="clean: bicubic; real: also blur, noise, JPEG, misalignment.")
]
Crops = Annotated[bool, typer.Option("--crops", help="The pictures are aligned crops: look for no faces in them.")]
Jitter = Annotated[float, typer.Option(min=0, max=2, help="Augmentation: pose, light and colour; 0 is off.")]
Blend = Annotated[float, typer.Option(min=0, max=1, help="Augmentation: share of faces blended with others.")]
Cutout = Annotated[float, typer.Option(min=0, max=1, help="Augmentation: share of faces with a patch hidden.")]
Bank = Annotated[
    int,
    typer.Option(min=0, help="Training faces that stand for the batch as neighbours and as others; 0: the batch."),
]
Compile = Annotated[bool, typer.Option(help="Compile the network with torch.compile.")]
Seed = Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Seed of everything.")]
SaveEvery = Annotated[int, typer.Option(min=1, help="Batches between checkpoints.")]
ValidateEvery = Annotated[int, typer.Option(min=1, help="Epochs between validations.")]
ValidationFaces = Annotated[int, typer.Option(min=4, help="Most faces used to validate.")]
EpochBatches = Annotated[int, typer.Option(min=0, help="Batches an epoch; 0 is all of the training faces.")]
Overwrite = Annotated[bool, typer.Option(help="Begin anew in a folder that holds another run.")]
