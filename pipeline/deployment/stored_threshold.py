"""The threshold that an exported file carries, and where it comes from."""

from dsr.dsr_file import PRETRAINED
from engine.files import sha256_of
from facial_rec.loading.adapter import SHIPPED
from facial_rec.loading.hub import OFFICIAL_SHA256
from pipeline.deployment.parity import Parity

_USUAL = 0.30
"""Of EdgeFace-XXS behind the shipped super-resolver at FAR 1e-3 on LFW: 0.28 to 0.30 from 8 to 112 px."""
_USUAL_FOR = "edgeface_xxs"


def measured_threshold(parities: list[Parity]) -> tuple[float | None, float | None, str]:
    """Return the highest of the sizes' thresholds, so that the false accept rate holds at each of them.

    Returns:
        The threshold or None, the FAR that it was measured at, and its origin in words.
    """
    measured = [(line.threshold, line.threshold_far, line) for line in parities if line.threshold is not None]
    if not measured:
        return None, None, "none: too few comparisons of held-out people to measure one"
    threshold, far, line = max(measured, key=lambda found: found[0])
    return threshold, far, f"measured at FAR {far:g} on {line.people} held-out people, at {line.size_px} px"


def usual_threshold(hashes: dict[str, str]) -> tuple[float | None, float | None, str]:
    """Return what was once measured for networks of these hashes (see `DeployedNetworks`), as `measured_threshold`."""
    shipped = {sha256_of(path) for path in SHIPPED.glob("*.safetensors")} | {None}
    if (
        OFFICIAL_SHA256.get(hashes["edgeface"], "").startswith(_USUAL_FOR)
        and hashes["edgeface_small"] == hashes["edgeface"]
        and hashes.get("adapter") in shipped
        and hashes.get("dsr") == sha256_of(PRETRAINED)
    ):
        return _USUAL, None, "usual for EdgeFace-XXS behind the shipped super-resolver, not measured here"
    return None, None, "none: nothing was prepared to measure one on, and none is known for these networks"
