"""A checksum of what the tensors say, whichever file and precision they are kept in."""

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor


def contents_sha256(state: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 over every tensor's name, shape and float32 bytes, in the order of names.

    A converted copy of the same weights has the same checksum; its file's checksum differs.
    """
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().to("cpu", torch.float32).contiguous()
        digest.update(f"{name} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.numpy().data)
    return digest.hexdigest()
