"""Choose a threshold on development people and write it down, to be used unchanged on others."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from dataset.views.resolution import LARGEST_VLR_PX
from engine import options
from engine.cli import command
from engine.device import pick_device
from metrics.bootstrap import draw_people, rate_interval
from metrics.comparisons import PairScores, all_pairs
from metrics.resampling import resample
from metrics.verification import error_rates
from pipeline.default_files import choose_dsr, choose_edgeface, choose_finetuned
from pipeline.evaluation.embedder import Embedder
from pipeline.evaluation.embedding_cache import EmbeddingCache
from pipeline.evaluation.embedding_processes import several
from pipeline.evaluation.faces import HR_PX, EvaluationDataError, Split, open_split
from pipeline.evaluation.input_sizes import parse_sizes
from pipeline.evaluation.measures import Json
from pipeline.evaluation.systems import MAIN_SYSTEMS, Networks, System, load_networks
from pipeline.evaluation.threshold_target import Target, parse_target, threshold_for
from pipeline.reporting.summary import in_hundred, one_in, size_name
from pipeline.threshold_file import ThresholdError, ThresholdFile, write_threshold


@dataclass(frozen=True)
class ChooseConfig:
    """Choose a threshold on a development split that shares no person with the faces it will be used on.

    Writes a small JSON file: the value, the target, the rates achieved with intervals, and hashes of the networks and
    the data. `pipeline.evaluate_dataset --threshold @FILE` and identification read it.
    """

    development: Annotated[Path, typer.Argument(help="A split's folder.")] = Path("dataset/val_processed")
    target: Annotated[str, typer.Option(help="far=1e-3 (any share of impostors) or eer.")] = "far=1e-3"
    out: Annotated[Path, typer.Option(help="File to write.")] = Path("runs/threshold.json")
    system: Annotated[
        str, typer.Option(help="bicubic, dsr, finetuned, dsr+finetuned, hr, ...; auto: that which reports lead with.")
    ] = "auto"
    sizes: Annotated[str, typer.Option(help="Input sizes in pixels, joined by commas; pooled.")] = "8,12,16,24,32"
    degradation: options.Degradation = "clean"
    per_size: Annotated[bool, typer.Option(help="A threshold for each input size as well, and full size.")] = False
    device: options.Device = "auto"
    processes: options.Processes = 1
    edgeface: Annotated[str | None, typer.Option(help="Original EdgeFace; none given: that of the last run.")] = None
    dsr: Annotated[str, typer.Option(help="Super-resolver: a file, auto, default, none.")] = "auto"
    finetuned: Annotated[str, typer.Option(help="Fine-tuned EdgeFace: a file, auto, none.")] = "auto"
    adapter: Annotated[
        str,
        typer.Option(
            help="Low-resolution adapter of the original EdgeFace: a file, full or small (shipped), auto (full), none."
        ),
    ] = "auto"
    flip: Annotated[bool, typer.Option(help="Add the embedding of the mirror image.")] = True
    bootstrap: Annotated[int, typer.Option(min=0, help="Replicates of the intervals; 0: none.")] = 500
    seed: Annotated[int, typer.Option(min=0, help="Seed of the replicates.")] = 0
    cache: Annotated[Path, typer.Option(help="Folder of the embeddings kept.")] = Path("runs/embeddings")


def choose_threshold(config: ChooseConfig) -> None:
    """Choose as `config` says."""
    target = parse_target(config.target)
    if target.kind not in ("eer", "far"):
        raise ThresholdError(f"--target {config.target}: give far=1e-3 or eer; a number needs no choosing")
    split = replace(open_split(config.development), degradation=config.degradation)
    device = pick_device(config.device)
    load = partial(
        load_networks,
        choose_edgeface(config.edgeface),
        choose_dsr(config.dsr),
        choose_finetuned(config.finetuned),
        config.adapter,
    )
    networks = load(device)
    system = _system(config.system, networks)
    sizes = () if system.hr else parse_sizes(config.sizes, split)
    sizes = (*sizes, HR_PX) if system.hr or config.per_size else sizes
    with several(config.processes, load, device) as processes:
        embedder = Embedder(split, networks, EmbeddingCache(config.cache), config.flip, processes)
        scores = _scores(embedder, system, sizes, split)
    chosen = _choose(config, target, system, networks, split, scores)
    write_threshold(config.out, chosen)
    print(_in_words(config, chosen))


def _system(key: str, networks: Networks) -> System:
    there = {system.key: system for system in networks.systems()}
    key = next(name for name in MAIN_SYSTEMS if name in there) if key == "auto" else key
    if key not in there:
        raise EvaluationDataError(f"--system {key}: not among those that can be built here: {', '.join(there)}")
    return there[key]


def _scores(embedder: Embedder, system: System, sizes: tuple[int, ...], split: Split) -> dict[int, PairScores]:
    """Return the comparisons at each size; faces of more than 32 px by the row that recognisers take for them."""
    rows = {entry.key: entry for entry in embedder.networks.systems()}
    gallery = embedder.embed([rows["hr"]], HR_PX)["hr"]
    found = {}
    for size in sizes:
        row = _used_at(size, system, rows)
        probes = gallery if row.key == "hr" else embedder.embed([row], size)[row.key]
        seen = split.rows_at(size)
        found[size] = all_pairs(probes[seen], gallery[seen], split.person[seen], split.person[seen])
    return found


def _used_at(size_px: int, system: System, rows: dict[str, System]) -> System:
    """Return the row that embeds faces of a size: larger ones than 32 px never meet an adapted or tuned EdgeFace."""
    if system.hr or size_px <= LARGEST_VLR_PX:
        return system
    if size_px == HR_PX:
        return rows["hr"]
    return system if system.edgeface == "original" else rows["bicubic"]


def _choose(
    config: ChooseConfig,
    target: Target,
    system: System,
    networks: Networks,
    split: Split,
    scores: dict[int, PairScores],
) -> ThresholdFile:
    pooled = [found for size, found in scores.items() if size != HR_PX or system.hr]
    genuine = np.concatenate([found.genuine for found in pooled])
    impostor = np.concatenate([found.impostor for found in pooled])
    value = threshold_for(target, genuine, impostor)
    by_size = (
        {size: threshold_for(target, found.genuine, found.impostor) for size, found in scores.items()}
        if config.per_size
        else {}
    )
    achieved = {
        size_name(size): _achieved(found, by_size.get(size, value), split, size, config)
        for size, found in scores.items()
    }
    roles = [system.edgeface, "original", *(["dsr"] if system.restored else [])]
    return ThresholdFile(
        value,
        by_size,
        str(target),
        system.key,
        {role: networks.hashes[role] for role in roles},
        networks.files(system),
        {
            "root": split.root.as_posix(),
            "sha256": split.sha256,
            "people": len(split.people),
            "images": len(split),
            "sizes_px": list(scores),
        },
        achieved,
        config.flip,
    )


def _achieved(found: PairScores, threshold: float, split: Split, size_px: int, config: ChooseConfig) -> Json:
    rates = error_rates(found.genuine, found.impostor, threshold)
    achieved: Json = {"threshold": threshold, "fmr": rates.fmr, "fnmr": rates.fnmr}
    achieved |= {"impostors": rates.impostors, "genuines": rates.genuines}
    if config.bootstrap:
        weights = draw_people(len(split.people), config.bootstrap, config.seed)
        replicas = resample(found, split.person[split.rows_at(size_px)], weights, config.seed)
        fmr, fnmr = replicas.rates(threshold)
        achieved["interval_people"] = replicas.people
        achieved["fmr_interval"] = rate_interval(rates.fmr, fmr, replicas.people)
        achieved["fnmr_interval"] = rate_interval(rates.fnmr, fnmr, replicas.mated)
    return achieved


def _in_words(config: ChooseConfig, chosen: ThresholdFile) -> str:
    lines = [
        f"{config.out}: {chosen.value:.4f} for {chosen.system} at {chosen.target}, on {chosen.data['people']} people"
    ]
    for size, rates in chosen.achieved.items():
        lines.append(
            f"  {size}: at {rates['threshold']:.4f}, {in_hundred(1 - rates['fnmr'])} comparisons of a person "
            f"accepted, {one_in(rates['fmr'])} of two people"
        )
    return "\n".join(lines)


main = command(
    ChooseConfig,
    choose_threshold,
    example="python -m pipeline choose-threshold dataset/val_processed --target far=1e-3 --out threshold.json",
)

if __name__ == "__main__":
    main()
