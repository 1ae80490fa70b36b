"""Fetching weights from the Hugging Face model hub, with the optional package huggingface_hub."""

from dataclasses import dataclass
from pathlib import Path

from engine.files import sha256_of
from facial_rec.loading.refusals import HubError

HUB_SCHEME = "hf://"
_WEIGHTS_SUFFIXES = (".pt", ".pth", ".safetensors", ".pt2", ".bin", ".ckpt")
LICENCE = "CC BY-NC-SA 4.0"


@dataclass(frozen=True)
class Published:
    """A published file: where it is, in which state of its repository, and the checksum of its bytes."""

    repository: str
    file: str
    revision: str
    sha256: str


OFFICIAL: dict[str, Published] = {
    "edgeface_xxs": Published(
        "Idiap/EdgeFace-XXS",
        "edgeface_xxs.pt",
        "e710f4647ac4dde011c13f82224539d24800ab92",
        "5b6bac48ea660aca185be8a8ac934db2093b51259461721da53c468230bc24c9",
    ),
    "edgeface_xs_gamma_06": Published(
        "Idiap/EdgeFace-XS-GAMMA",
        "edgeface_xs_gamma_06.pt",
        "735c1b59bdc798260e56f12533fddfe8a8c4c568",
        "5ae7504cd9aee0a5d52c2115fd2eb66b0985dd1730f40134b5854e0cb658ce16",
    ),
    "edgeface_s_gamma_05": Published(
        "Idiap/EdgeFace-S-GAMMA",
        "edgeface_s_gamma_05.pt",
        "a1c171036159e94bd4c766088370a37d0899d31f",
        "dc59abda2e8580399fd115a1eeb07e1f21156196db604b884407bcf0f17efb07",
    ),
    "edgeface_base": Published(
        "Idiap/EdgeFace-Base",
        "edgeface_base.pt",
        "2944a63d6a73efb3754c553e119b57fe7e54a179",
        "95861c09b22810136f43ec98845e7f09bfc3c43f5a804984a7bd2eac20abc30c",
    ),
}
# Published in the authors' code repository, not on the hub.
QUANTISED_SHA256 = {
    "edgeface_xxs_q": "46be7cc7e8d6e23501c0627fe5fbef101922ee9b85ccbef476987ab1a320b053",
    "edgeface_xs_q": "a31314377876ab9fa2a75e5638bc528efe79fd17d5c9c0a228fb7f846d7581a6",
}
OFFICIAL_SHA256 = {published.sha256: published.file for published in OFFICIAL.values()}
OFFICIAL_SHA256 |= {sha256: f"{name}.pt" for name, sha256 in QUANTISED_SHA256.items()}


def fetch_official(name: str) -> Path:
    """Download a published file and compare it with its checksum, or take it from the hub's cache.

    Args:
        name: As in `OFFICIAL`.

    Raises:
        HubError: It is not on the hub, was not delivered, or has other bytes than were published.
    """
    if name in QUANTISED_SHA256:
        raise HubError(
            f"{name}: not on the model hub; download checkpoints/{name}.pt from github.com/otroshi/edgeface, "
            f"and look whether `python -m facial_rec inspect {name}.pt` calls it official"
        )
    if name not in OFFICIAL:
        raise HubError(
            f"{name}: not published under that name; one of: {', '.join(OFFICIAL)}, or hf://owner/name[/file]"
        )
    published = OFFICIAL[name]
    path = fetch(f"{HUB_SCHEME}{published.repository}/{published.file}", published.revision)
    if (found := sha256_of(path)) != published.sha256:
        raise HubError(f"{path}: sha256 {found[:12]}, published {published.sha256[:12]}; delete it and get it again")
    return path


def fetch(address: str, revision: str | None = None) -> Path:
    """Download a file from the hub, or take it from the hub's cache.

    Args:
        address: `hf://owner/name` (its only weights file) or `hf://owner/name/folder/file`.
        revision: State of the repository; None takes the latest.

    Raises:
        HubError: The package is missing, the network is, or the hub has no such file; the line says which.
    """
    owner, name, file = _parts(address)
    try:
        from huggingface_hub import HfApi, hf_hub_download, try_to_load_from_cache
        from huggingface_hub.errors import (
            HfHubHTTPError,
            HFValidationError,
            LocalEntryNotFoundError,
            OfflineModeIsEnabled,
        )
    except ImportError:
        raise HubError(f"{address}: needs huggingface_hub; install it: pip install 'dsr-edgeface[hub]'") from None
    import httpx

    repository = f"{owner}/{name}"
    try:
        if file and isinstance(cached := try_to_load_from_cache(repository, file, revision=revision), str):
            return Path(cached)
        # Listing the files fails at once without a network, where the download would try again for half a minute.
        file = _chosen(address, file, HfApi().list_repo_files(repository, revision=revision))
        return Path(hf_hub_download(repository, file, revision=revision))
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, httpx.TransportError, ConnectionError):
        raise HubError(
            f"{address}: the model hub cannot be reached; check the network, or download the file elsewhere and "
            "give its path"
        ) from None
    except (HfHubHTTPError, HFValidationError) as error:
        reason = " ".join((str(error).strip() or type(error).__name__).splitlines()[0].split())[:100]
        raise HubError(f"{address}: the model hub refused it ({reason}); check owner, name and file") from None


def _parts(address: str) -> tuple[str, str, str]:
    parts = address.removeprefix(HUB_SCHEME).split("/", 2)
    if len(parts) < 2 or not all(parts[:2]) or ".." in parts[-1].split("/"):
        raise HubError(f"{address}: not a model hub address; use hf://owner/name or hf://owner/name/file")
    return parts[0], parts[1], parts[2] if len(parts) > 2 else ""


def _chosen(address: str, file: str, files: list[str]) -> str:
    weights = [each for each in files if each.endswith(_WEIGHTS_SUFFIXES)]
    shown = ", ".join(weights[:4]) or "none"
    if file and file not in files:
        raise HubError(f"{address}: no such file there; its weights files: {shown}")
    if not file and len(weights) != 1:
        raise HubError(f"{address}: {len(weights)} weights files ({shown}); name one: {address.rstrip('/')}/FILE")
    return file or weights[0]
