"""The systems that an evaluation compares: what is under test and the controls beside it."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from dsr.dsr_file import load_dsr
from dsr.network import DSR
from engine.errors import UserError
from engine.files import sha256_of
from facial_rec.embedding import EdgeFaceEmbedding
from pipeline.default_files import choose_adapter
from pipeline.evaluation.foreign_recogniser import ForeignRecogniser, Preprocessing
from pipeline.recognition.torch_recognizer import Enlarge

PACKAGES = Path(__file__).parents[2]
"""Where the packages are, with the weights that ship in them."""

MAIN_SYSTEMS = ("dsr+finetuned", "dsr+adapted", "dsr", "finetuned", "adapted", "bicubic")
"""Which row stands for the system under test: the first that is there. A fine-tuned EdgeFace has to be given
or made; an adapter ships."""

Which = Literal["original", "finetuned", "adapted", "unseen"]


@dataclass(frozen=True)
class System:
    """How probes are embedded.

    Attributes:
        key: Short name, stable across reports.
        name: For people.
        edgeface: Which of the recognisers.
        restored: Whether the super-resolver stands in front.
        enlarge_by: How small faces are brought to 112 px.
        hr: Whether it sees the full-size faces: a ceiling, the same for every input size.
    """

    key: str
    name: str
    edgeface: Which
    restored: bool = False
    enlarge_by: Enlarge = "bicubic"
    hr: bool = False

    @property
    def gallery(self) -> str:
        """Key of the full-size row that embeds the gallery: embeddings of other recognisers have another space."""
        return "hr+unseen" if self.edgeface == "unseen" else "hr"


SYSTEMS = (
    System("bicubic", "Bicubic + EdgeFace", "original"),
    System("nearest", "Direct resize, nearest + EdgeFace", "original", enlarge_by="nearest"),
    System("bilinear", "Direct resize, bilinear + EdgeFace", "original", enlarge_by="bilinear"),
    System("dsr", "DSR + EdgeFace", "original", restored=True),
    System("dsr+finetuned", "DSR + fine-tuned EdgeFace", "finetuned", restored=True),
    System("finetuned", "Fine-tuned EdgeFace, no DSR", "finetuned"),
    System("dsr+adapted", "DSR + adapted EdgeFace", "adapted", restored=True),
    System("adapted", "Adapted EdgeFace, no DSR", "adapted"),
    System("hr", "HR, EdgeFace (ceiling)", "original", hr=True),
    System("hr+finetuned", "HR, fine-tuned EdgeFace", "finetuned", hr=True),
    System("hr+adapted", "HR, adapted EdgeFace", "adapted", hr=True),
    System("bicubic+unseen", "Bicubic + unseen recogniser", "unseen"),
    System("dsr+unseen", "DSR + unseen recogniser", "unseen", restored=True),
    System("hr+unseen", "HR, unseen recogniser", "unseen", hr=True),
)
"""Every row of the table of controls, in its order; those whose weights are absent are left out, and it is said."""


@dataclass(frozen=True)
class Networks:
    """The loaded networks.

    Attributes:
        recognisers: Original, and fine-tuned, adapted and unseen where given.
        dsr: The super-resolver; None without one.
        weights: What was loaded, for the report: role to path, hash and kind.
        hashes: Role to a hash of everything that decides its output.
        device: Where they are.
    """

    recognisers: dict[Which, EdgeFaceEmbedding | ForeignRecogniser]
    dsr: DSR | None
    weights: dict[str, dict[str, Any]]
    hashes: dict[str, str]
    device: torch.device

    def files(self, system: System) -> dict[str, str]:
        """Return the SHA-256 of the files that a system is made of, named as recognisers name them."""
        found = {"edgeface": self.weights["original"]["sha256"]}
        if system.edgeface == "adapted":
            found["adapter"] = self.weights["adapted"]["adapter"]["sha256"]
        elif system.edgeface != "original":
            found["edgeface_small"] = self.weights[system.edgeface]["sha256"]
        if system.restored:
            found["dsr"] = self.weights["dsr"]["sha256"]
        return found

    def systems(self) -> list[System]:
        """Return the rows that these networks can fill."""
        return [
            system
            for system in SYSTEMS
            if system.edgeface in self.recognisers and (self.dsr is not None or not system.restored)
        ]


def load_networks(
    edgeface: str,
    dsr: Path | None,
    finetuned: Path | None,
    adapter: str,
    device: torch.device,
    unseen: str | None = None,
    preprocessing: Preprocessing | None = None,
) -> Networks:
    """Load what is given.

    Args:
        edgeface: The original recogniser, which embeds the gallery.
        dsr: The super-resolver, or None.
        finetuned: Fine-tuned recogniser, or None.
        adapter: Low-resolution adapter of the original recogniser; see `default_files.choose_adapter`.
        device: Where the networks are placed.
        unseen: A recogniser that took no part in any training, or None.
        preprocessing: What that one's input wants, where it is an ONNX file of another family; None: an EdgeFace.

    Raises:
        WeightsError: A recogniser that cannot be loaded whole.
        DSRWeightsError: A super-resolver that cannot be loaded whole.
    """
    original = EdgeFaceEmbedding(edgeface, device=device)
    recognisers: dict[Which, EdgeFaceEmbedding | ForeignRecogniser] = {"original": original}
    if finetuned is not None:
        recognisers["finetuned"] = EdgeFaceEmbedding(finetuned, device=device)
    adapted = choose_adapter(adapter, original)
    if adapted is not None:
        recognisers["adapted"] = EdgeFaceEmbedding(edgeface, device=device, adapter=adapted)
    if unseen is not None:
        recognisers["unseen"] = (
            EdgeFaceEmbedding(unseen, device=device)
            if preprocessing is None
            else ForeignRecogniser(unseen, preprocessing)
        )
    weights: dict[str, dict[str, Any]] = {
        role: {"path": _shown(Path(net.source)), "sha256": net.sha256, "arch": net.arch, "kind": net.kind}
        for role, net in recognisers.items()
    }
    if preprocessing is not None:
        weights["unseen"]["input"] = str(preprocessing)
    if adapted is not None:
        weights["adapted"]["adapter"] = {"path": _shown(adapted), "sha256": sha256_of(adapted)}
    network = load_dsr(dsr, device) if dsr is not None else None
    if network is not None and dsr is not None:
        weights["dsr"] = {"path": _shown(dsr), "sha256": sha256_of(dsr), "preset": network.preset}
    hashes = {role: _hash(entry) for role, entry in weights.items()}
    return Networks(recognisers, network, weights, hashes, device)


def _hash(entry: dict[str, Any]) -> str:
    """Return a hash of what decides a network's output, which the place of its files does not."""
    said = {name: _hash(value) if isinstance(value, dict) else value for name, value in entry.items() if name != "path"}
    return hashlib.sha256(repr(sorted(said.items())).encode()).hexdigest()


def _shown(path: Path) -> str:
    """Return a path as a report names it: from the working directory or the packages where it is below them."""
    path = path.absolute()
    base = next((base for base in (Path.cwd(), PACKAGES) if path.is_relative_to(base)), None)
    return (path.relative_to(base) if base is not None else path).as_posix()


def leading(systems: list[System]) -> System:
    """Return the system that stands for these: the first of `MAIN_SYSTEMS`, else of them."""
    there = {system.key: system for system in systems}
    return next((there[key] for key in MAIN_SYSTEMS if key in there), systems[0])


def choose_systems(networks: Networks, given: str | None) -> list[System]:
    """Return the rows to evaluate, and the full-size ones that embed their galleries.

    Args:
        networks: What is there.
        given: Keys joined by commas; None: all that can be built.

    Raises:
        UserError: A key that is none, or whose weights are absent.
    """
    there = {system.key: system for system in networks.systems()}
    if given is None:
        return list(there.values())
    wanted = {key.strip() for key in given.split(",") if key.strip()}
    unknown = sorted(wanted - set(there))
    if unknown or not wanted:
        raise UserError(
            f"--systems {given}: {unknown[0] if unknown else 'nothing'!r} cannot be built here; "
            f"there are {', '.join(there)}"
        )
    wanted |= {there[key].gallery for key in wanted}
    return [system for key, system in there.items() if key in wanted]
