"""What the libraries below read from the environment: taken from them where a flag decides, else written down."""

import os
import sys

DECIDING = (
    "ACCELERATE_",
    "FSDP_",
    "MEGATRON_LM_",
    "DNNL_DEFAULT_FPMATH_MODE",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "NVIDIA_TF32_OVERRIDE",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
    "TORCHDYNAMO_DISABLE",
    "TORCH_COMPILE_DISABLE",
)
"""Beginnings of the names by which libraries are told precision, accumulation, device or sharding from outside."""
_NOTED = (
    "CUBLAS",
    "CUDA",
    "CUDNN",
    "DNNL",
    "GOMP",
    "HIP",
    "KMP",
    "MKL",
    "NCCL",
    "NVIDIA_",
    "OMP",
    "ONEDNN",
    "OPENBLAS",
)
_NOTED_TOO = ("PYTORCH", "ROCR", "TORCH", "LOCAL_RANK", "RANK", "WORLD_SIZE")
_RANKS = ("LOCAL_RANK", "RANK", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE")


def let_flags_decide() -> list[str]:
    """Take the variables away by which a library would do otherwise than the flags say; later calls find none.

    A number of processes without this process's place among them is one of these: it was left behind by another run,
    and the run would wait for processes that do not come.

    Returns:
        Their names. One line on standard error names them too.
    """
    taken = [name for name in sorted(os.environ) if name.startswith(DECIDING)]
    if "WORLD_SIZE" in os.environ and not any(name in os.environ for name in _RANKS):
        taken.append("WORLD_SIZE")
    values = {name: os.environ.pop(name) for name in taken}
    told = [
        f"{name}={value}" for name, value in values.items() if value.strip().lower() not in ("", "0", "no", "false")
    ]
    if told:
        print(f"not used, since the flags decide: {', '.join(told)}; unset to silence this", file=sys.stderr)
    return taken


def noted() -> dict[str, str]:
    """Return the variables that are left to the libraries: threads, visible devices, ways of talking."""
    return {name: os.environ[name] for name in sorted(os.environ) if name.startswith(_NOTED + _NOTED_TOO)}
