"""Evaluate on a published test set as it is passed on, by the protocol that was published with it."""

import shlex
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from dataset.photographs.detect import is_installed
from dataset.photographs.seen_faces import FaceReader
from engine import options
from engine.cli import command, config_as_dict
from engine.device import pick_device
from engine.files import make_writable
from pipeline.default_files import choose_dsr, choose_edgeface, choose_finetuned
from pipeline.evaluation.embedder import Embedder
from pipeline.evaluation.embedding_cache import EmbeddingCache
from pipeline.evaluation.embedding_processes import several
from pipeline.evaluation.measures import Json
from pipeline.evaluation.systems import load_networks
from pipeline.published.embedding import SetEmbedder, small_face_systems
from pipeline.published.layouts import Name, conditions, open_published
from pipeline.published.native_faces import NativeFaces, parse_native_size
from pipeline.published.pair_trials import PairTrial, TemplateTrial
from pipeline.published.published_set import bands
from pipeline.published.results import print_results, write_results
from pipeline.reporting.score_files import SCORES, parse_formats, write_scores


@dataclass(frozen=True)
class EvaluateProtocolConfig:
    """Evaluate by a published protocol: bin, tinyface, survface, scface, ijbc or xqlfw.

    Every face keeps its native size. One of up to 32 px passes the system under test, on whichever side it stands; a
    larger one the original EdgeFace. Writes report.json and summary.md. docs/protocols.md says what is expected where.
    """

    root: Annotated[Path, typer.Argument(help="The test set: a .bin file, or its folder as it is unpacked.")]
    protocol: Annotated[Name, typer.Option(help="Which protocol.")]
    sizes: Annotated[
        str | None, typer.Option(help="Of bin: also shrink one side, and both, to these sizes in pixels, such as 8,16.")
    ] = None
    native_size: Annotated[
        str | None,
        typer.Option(
            help="Native size of the faces: auto (file, landmarks or detector, and the pixels), file (not the pixels; "
            "default of bin), a number of pixels for all, or a CSV (image,size_px)."
        ),
    ] = None
    crops: options.Crops = False
    min_size: Annotated[int, typer.Option(min=12, help="Smallest face to look for in pictures over 112 px.")] = 20
    device: options.Device = "auto"
    processes: options.Processes = 1
    out: Annotated[
        Path | None, typer.Option(help="Folder that receives the results; none given: runs/protocols/NAME.")
    ] = None
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
        str, typer.Option(help="Low-resolution adapter: a file, full or small (shipped), auto (full), none.")
    ] = "auto"
    systems: Annotated[
        str | None, typer.Option(help="Rows to evaluate (bicubic,dsr,dsr+adapted,...); none given: all there are.")
    ] = None
    flip: Annotated[bool, typer.Option(help="Add the embedding of the mirror image.")] = True
    export_scores: Annotated[
        str | None,
        typer.Option(help="Write scores of pairs to OUT/scores/ as bob4, bob5 or pyeer, joined by commas."),
    ] = None
    cache: Annotated[Path, typer.Option(help="Folder of the embeddings kept for the next evaluation.")] = Path(
        "runs/embeddings"
    )
    keep: Annotated[bool, typer.Option(help="Keep embeddings in --cache.")] = True


def evaluate_protocol(config: EvaluateProtocolConfig) -> None:
    """Run the evaluation that `config` describes."""
    seen_at, formats = conditions(config.protocol, config.sizes), parse_formats(config.export_scores)
    out = config.out or Path("runs/protocols") / config.protocol
    source = open_published(config.protocol, config.root)
    native = parse_native_size(config.native_size, source.aligned)
    make_writable(out)
    device = pick_device(config.device)
    load = partial(
        load_networks,
        choose_edgeface(config.edgeface),
        choose_dsr(config.dsr),
        choose_finetuned(config.finetuned),
        config.adapter,
    )
    networks = load(device)
    systems = small_face_systems(networks, config.systems)
    cache = EmbeddingCache(config.cache if config.keep else None)
    reader = FaceReader(config.min_size, crops=config.crops, prepared=True)
    how = f"crops {config.crops}, from {config.min_size} px, detector {is_installed()}"
    faces = NativeFaces(source, reader, native, how, cache)
    results: list[Json] = []
    with several(config.processes, load, device) as processes:
        embedder = SetEmbedder(faces, Embedder(faces, networks, cache, config.flip, processes), systems)
        for condition in seen_at:
            sides = embedder.sides(condition)
            for trial in source.trials:
                for system in systems:
                    said = {"trial": trial.title, "system": system.key, "name": system.name}
                    rows = trial.measure(sides[system.key])
                    results += [{**said, "condition": condition.name, **row} for row in rows]
                    if formats and isinstance(trial, PairTrial | TemplateTrial):
                        stem = out / SCORES / f"{system.key}_{condition.name.replace(' ', '_')}"
                        write_scores(stem, formats, trial.compared(sides[system.key], source.names))
    report: Json = {
        "protocol": config.protocol,
        "what": f"{source.what}, {len(source.names):,} faces",
        "notes": source.notes,
        "native_px": {name: int(chosen.sum()) for name, chosen in bands(faces.size_px[faces.size_px > 0])},
        "taken": dict(faces.taken),
        "failures": faces.failures,
        "results": results,
        "weights": networks.weights,
        "data_sha256": source.key,
        "options": config_as_dict(config),
        "command": shlex.join(["python", "-m", "pipeline", "evaluate_dataset", *sys.argv[1:]]),
    }
    print_results(report)
    write_results(out, report)
    print(f"\nreport: {out / 'report.json'}, {out / 'summary.md'}")


main = command(
    EvaluateProtocolConfig,
    evaluate_protocol,
    example="python -m pipeline evaluate_dataset --protocol tinyface tinyface/Testing_Set --edgeface edgeface_xxs.pt",
)

if __name__ == "__main__":
    main()
