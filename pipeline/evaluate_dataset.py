"""Evaluate the chain on a prepared split: 1:1 and 1:N, every control, every input size, one report."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from engine import options
from engine.cli import command, config_as_dict
from engine.device import pick_device
from engine.files import make_writable
from pipeline.default_files import choose_dsr, choose_edgeface, choose_finetuned
from pipeline.evaluation.cells import cells_of, embed_cells
from pipeline.evaluation.centring import measure_centres
from pipeline.evaluation.course import Plan, differences, evaluate
from pipeline.evaluation.distractors import load_distractors
from pipeline.evaluation.embedder import Embedder
from pipeline.evaluation.embedding_cache import EmbeddingCache
from pipeline.evaluation.embedding_processes import several
from pipeline.evaluation.faces import (
    EvaluationDataError,
    Split,
    open_beside,
    open_other_split,
    open_split,
    refuse_incomparable,
    refuse_lacking_views,
)
from pipeline.evaluation.foreign_recogniser import choose_preprocessing
from pipeline.evaluation.frames import AUTO, measure_frames, seen_together
from pipeline.evaluation.freezing import Frozen, freeze_thresholds, read_frozen
from pipeline.evaluation.input_sizes import parse_sizes
from pipeline.evaluation.pair_accuracy import freeze_pair_thresholds
from pipeline.evaluation.pair_labels import names_in_lists, pairs_of
from pipeline.evaluation.protocols import (
    ImageSets,
    PairList,
    SearchPlan,
    default_search_plan,
    read_image_list,
    read_image_sets,
    refuse_searches_for_themselves,
)
from pipeline.evaluation.systems import System, choose_systems, leading, load_networks
from pipeline.evaluation.threshold_target import Target, parse_target
from pipeline.reporting.report import build_report, print_table, write_report
from pipeline.reporting.score_files import SCORES, export_scores, parse_formats

EmbedderOf = Callable[[Split], Embedder]


@dataclass(frozen=True)
class EvaluateConfig:
    """Evaluate DSR and EdgeFace with every control: verification (1:1), identification (1:N), LFW pairs.

    Probes are the faces at each input size, embedded by the system under test; the gallery is the same people at full
    size, embedded by the original EdgeFace. Writes report.html, report.json, summary.md, CSV files and plots.

    With --protocol NAME ROOT: a published test set (bin, tinyface, survface, scface, ijbc, xqlfw) by its own protocol;
    --protocol NAME --help shows the options of that.
    """

    dataset_root: Annotated[Path, typer.Option(help="A split's folder, as `dataset prepare` writes it.")] = Path(
        "dataset/test_processed"
    )
    threshold: Annotated[
        str, typer.Option(help="A number in [-1, 1]; eer or far=1e-3, chosen on --development; or @FILE.")
    ] = "0.35"
    device: options.Device = "auto"
    processes: options.Processes = 1
    out: Annotated[Path, typer.Option(help="Folder that receives the report.")] = Path("runs/evaluation")
    edgeface: Annotated[
        str | None, typer.Option(help="Original EdgeFace; none given: that of the last run, else EdgeFace-XXS.")
    ] = None
    dsr: Annotated[
        str, typer.Option(help="Super-resolver: a file, auto (runs/dsr/best.pth, else the one shipped), default, none.")
    ] = "auto"
    finetuned: Annotated[
        str, typer.Option(help="Fine-tuned EdgeFace: a file, auto (runs/edgeface/edgeface_finetuned.pth), none.")
    ] = "auto"
    adapter: Annotated[
        str,
        typer.Option(
            help="Low-resolution adapter of the original EdgeFace: a file, full or small (shipped), auto (full), none."
        ),
    ] = "auto"
    unseen: Annotated[
        str | None,
        typer.Option(help="Recogniser that took no part in training, behind bicubic and DSR too: EdgeFace or .onnx."),
    ] = None
    unseen_input: Annotated[
        str, typer.Option(help="What an .onnx takes: auto (found out at full size), or such as rgb:(x - 127.5) / 128.")
    ] = "auto"
    systems: Annotated[
        str | None, typer.Option(help="Rows to evaluate (bicubic,dsr,dsr+finetuned,...); none given: all there are.")
    ] = None
    sizes: Annotated[str, typer.Option(help="Input sizes in pixels, 6 to 64, joined by commas.")] = "8,12,16,24,32"
    degradation: options.Degradation = "clean"
    pairs: Annotated[
        Path | None, typer.Option(help="LFW pairs.txt or CSV (first,second,same,fold); else that of the split.")
    ] = None
    pairs_threshold_from: Annotated[
        Path | None,
        typer.Option(help="Split whose pairs choose the threshold of the pairs; none given: the other folds, if any."),
    ] = None
    gallery: Annotated[
        Path | None, typer.Option(help="Images to enrol: one a line, or a CSV with the column image.")
    ] = None
    probes: Annotated[
        Path | None, typer.Option(help="Images that search, likewise; people not enrolled are non-mated searches.")
    ] = None
    gallery_images: Annotated[int, typer.Option(min=1, help="Most images a template is made of, without lists.")] = 1
    sets: Annotated[
        str | None,
        typer.Option(
            help="CSV (set,image): images seen together, which lists may name as one; auto: all but a person's first. "
            "Measures what several frames are worth."
        ),
    ] = None
    distractors: Annotated[
        Path | None, typer.Option(help="Strangers to enrol as well: a split's folder, or an .npy of unit embeddings.")
    ] = None
    search: Annotated[
        Literal["exact", "faiss"], typer.Option(help="faiss: by a compressed index, checked against exact searches.")
    ] = "exact"
    development: Annotated[
        Path | None, typer.Option(help="Split that eer and far= are chosen on; none: val_processed beside the root.")
    ] = None
    threshold_per_size: Annotated[bool, typer.Option(help="Choose eer and far= for each input size.")] = False
    any_system: Annotated[bool, typer.Option(help="Use a threshold file that was chosen for another system.")] = False
    flip: Annotated[bool, typer.Option(help="Add the embedding of the mirror image.")] = True
    bootstrap: Annotated[int, typer.Option(min=0, max=100_000, help="Replicates of the intervals; 0: none.")] = 500
    seed: Annotated[int, typer.Option(min=0, help="Seed of the replicates.")] = 0
    scores: Annotated[int, typer.Option(min=0, help="Worst comparisons of each row written to scores.csv.")] = 200
    export_scores: Annotated[
        str | None, typer.Option(help="Write all comparisons to OUT/scores/ as bob4, bob5 or pyeer, joined by commas.")
    ] = None
    cache: Annotated[Path, typer.Option(help="Folder of the embeddings kept for the next evaluation.")] = Path(
        "runs/embeddings"
    )
    keep: Annotated[bool, typer.Option(help="Keep embeddings in --cache.")] = True
    plots: Annotated[bool, typer.Option(help="Draw ROC, DET and histograms as PNG and SVG.")] = True
    faces: Annotated[bool, typer.Option(help="Show the worst errors as pictures in the page.")] = True


def evaluate_dataset(config: EvaluateConfig) -> None:
    """Run the evaluation that `config` describes."""
    target, formats = parse_target(config.threshold), parse_formats(config.export_scores)
    device = pick_device(config.device)
    split = replace(open_split(config.dataset_root), degradation=config.degradation)
    refuse_incomparable(split)
    sizes = parse_sizes(config.sizes, split)
    make_writable(config.out)
    sets = _named_sets(config, split)
    searches, pairs = _searches(config, split, sets), pairs_of(config.pairs, split, sets, config.out)
    listed = pairs is not None or config.gallery is not None
    together = seen_together(config.sets, split, sets, listed) if config.sets is not None else None
    other = open_beside(config.development, split, "--sets, --development") if together is not None else None
    load = partial(
        load_networks,
        choose_edgeface(config.edgeface),
        choose_dsr(config.dsr),
        choose_finetuned(config.finetuned),
        config.adapter,
        unseen=config.unseen,
        preprocessing=choose_preprocessing(config.unseen, config.unseen_input, split),
    )
    networks = load(device)
    systems = choose_systems(networks, config.systems)
    cache = EmbeddingCache(config.cache if config.keep else None)
    with several(config.processes, load, device) as processes:

        def embedder_of(faces: Split) -> Embedder:
            return Embedder(replace(faces, degradation=config.degradation), networks, cache, config.flip, processes)

        pair_thresholds = _pair_thresholds(config, split, pairs, systems, sizes, embedder_of)
        frozen = _frozen(config, target, split, systems, sizes, embedder_of, networks.hashes)
        embeddings = embed_cells(embedder_of(split), systems, sizes)
        strangers = load_distractors(config.distractors, split, systems, embedder_of) if config.distractors else {}
        lead = leading(systems)
        centres = measure_centres(embedder_of(other), lead, sizes) if other is not None else None
    plan = Plan(sizes, searches, pairs, config.bootstrap, config.seed, config.scores, pair_thresholds, strangers, sets)
    measured = evaluate(split, systems, embeddings, frozen.values, plan)
    draws = config.bootstrap, config.seed
    frames = measure_frames(lead, embeddings, split.person, together, *draws, centres) if together is not None else []
    report = build_report(
        split,
        networks,
        systems,
        measured,
        differences(measured),
        plan,
        frozen,
        config_as_dict(config),
        sys.argv,
        frames,
    )
    write_report(config.out, report, measured, split, config.faces, config.plots)
    print_table(report)
    export_scores(config.out / SCORES, formats, split, embeddings, cells_of(systems, sizes))
    print(f"report: {config.out / 'report.html'}")


def _named_sets(config: EvaluateConfig, split: Split) -> ImageSets | None:
    """Return the sets that lists may name."""
    if config.sets is None or config.sets == AUTO:
        return None
    return read_image_sets(Path(config.sets), split.keys, split.person, config.out)


def _pair_thresholds(
    config: EvaluateConfig,
    split: Split,
    pairs: PairList | None,
    systems: list[System],
    sizes: tuple[int, ...],
    embedder_of: EmbedderOf,
) -> Frozen | None:
    """Return what the pairs are judged by, chosen on another split's pairs."""
    if config.pairs_threshold_from is None:
        return None
    if pairs is None:
        raise EvaluationDataError(f"--pairs-threshold-from: {split.root} has no list of pairs to judge; give --pairs")
    other = open_other_split(config.pairs_threshold_from, split, "--pairs-threshold-from")
    refuse_lacking_views(other, sizes, split, "--pairs-threshold-from")
    listed = pairs_of(None, other, None, config.out)
    if listed is None:
        raise EvaluationDataError(f"--pairs-threshold-from {other.root}: no pairs.txt or pairs.csv in it to choose on")
    return freeze_pair_thresholds(embedder_of(other), systems, sizes, listed)


def _searches(config: EvaluateConfig, split: Split, sets: ImageSets | None) -> SearchPlan | None:
    if (config.gallery is None) != (config.probes is None):
        raise EvaluationDataError("--gallery and --probes go together: one list of enrolled images, one of searching")
    by_faiss = config.search == "faiss"
    if config.gallery is None or config.probes is None:
        found = default_search_plan(split.person, config.gallery_images)
        return replace(found, by_faiss=by_faiss) if found is not None else None
    rows = [read_image_list(path, names_in_lists(split, sets), config.out) for path in (config.gallery, config.probes)]
    note = f"lists {config.gallery.as_posix()} and {config.probes.as_posix()}"
    plan = SearchPlan(rows[0], rows[1], note, by_faiss)
    refuse_searches_for_themselves(plan, split.keys, sets)
    return plan


def _frozen(
    config: EvaluateConfig,
    target: Target,
    split: Split,
    systems: list[System],
    sizes: tuple[int, ...],
    embedder_of: EmbedderOf,
    hashes: dict[str, str],
) -> Frozen:
    """Return the threshold of every row, decided without a look at the faces under evaluation."""
    rows = cells_of(systems, sizes)
    if target.path is not None:
        cells = [(system.key, size) for system, size in rows]
        return read_frozen(target.path, cells, split, hashes, config.flip, config.any_system)
    if target.kind == "number":
        return freeze_thresholds(target, rows, {}, None)
    root = config.development or split.root.parent / "val_processed"
    flag = f"--threshold {target}, --development"
    development = open_other_split(root, split, flag)
    refuse_lacking_views(development, sizes, split, flag)
    embeddings = embed_cells(embedder_of(development), systems, sizes)
    return freeze_thresholds(target, rows, embeddings, development, config.threshold_per_size)


main = command(
    EvaluateConfig,
    evaluate_dataset,
    example="python -m pipeline.evaluate_dataset --dataset-root dataset/test_processed --threshold 0.35 --device cuda",
    instead={"--protocol": "pipeline.evaluate_protocol"},
)

if __name__ == "__main__":
    main()
