"""Fetching weights from the Hugging Face model hub, with the optional package huggingface_hub."""

from dataclasses import dataclass
from pathlib import Path

from facial_rec.refusals import HubError

HUB_SCHEME = "hf://"
_WEIGHTS_SUFFIXES = (".pt", ".pth", ".safetensors", ".pt2", ".bin", ".ckpt")
LICENCE = "CC BY-NC-SA 4.0"


@dataclass(frozen=True)
class Published:
    """A published file: where it is and how large its network is."""

    repository: str
    file: str
    parameters: int


OFFICIAL: dict[str, Published] = {
    "edgeface_xxs": Published("Idiap/EdgeFace-XXS", "edgeface_xxs.pt", 1_244_744),
    "edgeface_xs_gamma_06": Published("Idiap/EdgeFace-XS-GAMMA", "edgeface_xs_gamma_06.pt", 1_770_492),
    "edgeface_s_gamma_05": Published("Idiap/EdgeFace-S-GAMMA", "edgeface_s_gamma_05.pt", 3_652_520),
    "edgeface_base": Published("Idiap/EdgeFace-Base", "edgeface_base.pt", 18_225_812),
}


def address_of(name: str) -> str:
    """Return the `hf://` address of an official name, or of an address itself.

    Raises:
        HubError: The name is neither.
    """
    if name.startswith(HUB_SCHEME):
        return name
    if name not in OFFICIAL:
        raise HubError(
            f"{name}: not published under that name; one of: {', '.join(OFFICIAL)}, or hf://owner/name[/file]"
        )
    published = OFFICIAL[name]
    return f"{HUB_SCHEME}{published.repository}/{published.file}"


def fetch(address: str) -> Path:
    """Download a file from the hub, or take it from the hub's cache.

    Args:
        address: `hf://owner/name` (its only weights file) or `hf://owner/name/folder/file`.

    Raises:
        HubError: The package is missing, the network is, or the hub has no such file; the line says which.
    """
    owner, name, file = _parts(address)
    try:
        from huggingface_hub import HfApi, hf_hub_download
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
        if not file:
            file = _only_weights(address, HfApi().list_repo_files(repository))
        return Path(hf_hub_download(repository, file))
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, httpx.TransportError, ConnectionError):
        raise HubError(
            f"{address}: the model hub cannot be reached; download the file elsewhere and give its path"
        ) from None
    except (HfHubHTTPError, HFValidationError) as error:
        reason = str(error).strip().splitlines()[0][:100]
        raise HubError(f"{address}: the model hub refused it ({reason}); check owner, name and file") from None


def _parts(address: str) -> tuple[str, str, str]:
    parts = address.removeprefix(HUB_SCHEME).split("/", 2)
    if len(parts) < 2 or not all(parts[:2]) or ".." in parts[-1].split("/"):
        raise HubError(f"{address}: not a model hub address; use hf://owner/name or hf://owner/name/file")
    return parts[0], parts[1], parts[2] if len(parts) > 2 else ""


def _only_weights(address: str, files: list[str]) -> str:
    weights = [file for file in files if file.endswith(_WEIGHTS_SUFFIXES)]
    if len(weights) != 1:
        shown = ", ".join(weights[:4]) or "none"
        raise HubError(f"{address}: {len(weights)} weights files ({shown}); name one: {address.rstrip('/')}/FILE")
    return weights[0]
