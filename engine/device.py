"""Where a run happens: seeds, device, precision, processes."""

import ctypes
import random
import sys
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs

from engine.environment import let_flags_decide
from engine.errors import UserError


class DeviceError(UserError):
    """A device that this machine does not have."""


def pick_device(name: str) -> torch.device:
    """Return the device of that name.

    Args:
        name: "auto" (CUDA, else Apple's MPS, else the CPU), "cpu", "cuda", "cuda:1", "mps".

    Raises:
        DeviceError: The device is unknown or absent.
    """
    let_flags_decide()
    if name == "auto":
        return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda", "mps") or (device.type != "cuda" and device.index):
        raise DeviceError(f"--device {name}: unknown device; use auto, cpu, cuda, cuda:1 or mps")
    if device.type == "cuda":
        count = torch.cuda.device_count()
        if (device.index or 0) >= count:
            raise DeviceError(
                f"--device {name}: this machine has {count} usable CUDA devices; use --device cpu or auto"
            )
    elif device.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceError("--device mps: not available here; use --device cpu or auto")
    return device


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch (every device)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def has_fast_bf16(device: torch.device) -> bool:
    """Return whether the device multiplies bfloat16 faster than float32 (AVX-512 BF16, AMX, CUDA since Ampere)."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and torch.backends.cpu.get_cpu_capability() != "DEFAULT" and _cpu_has_bf16()


def _cpu_has_bf16() -> bool:
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def make_accelerator(device: torch.device, precision: str, accumulate: int = 1) -> Accelerator:
    """Return the `Accelerator` that places, casts, scales and synchronises a training.

    Under `torchrun` (or `accelerate launch`) every process gets one; alone it is a thin layer over torch.

    Args:
        device: Where to train; with several processes each takes its own CUDA device.
        precision: "auto" (bf16 where the processor multiplies it natively, else fp32), "fp32", "bf16", or "fp16"
            (CUDA only, with a gradient scaler).
        accumulate: Batches a step.

    Raises:
        DeviceError: fp16 was asked for where no gradient scaler exists.
    """
    let_flags_decide()
    torch.set_float32_matmul_precision("highest")  # which the environment may have lowered before it was looked at
    if precision == "fp16" and device.type != "cuda":
        raise DeviceError(f"--precision fp16 needs CUDA (found {device.type}); use bf16 or fp32")
    if device.type == "cpu":
        _keep_freed_memory()
    elif device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)  # accelerate takes the current device; under torchrun each process its own
    if precision == "auto":
        precision = "bf16" if has_fast_bf16(device) else "fp32"
    return Accelerator(
        cpu=device.type == "cpu",
        mixed_precision="no" if precision == "fp32" else precision,
        gradient_accumulation_steps=accumulate,
        kwargs_handlers=[DistributedDataParallelKwargs(broadcast_buffers=False)],
    )


def computes_with(accelerator: Accelerator) -> dict[str, Any]:
    """Return what a run really computes with, for its config.json: options such as "auto" do not say."""
    return {
        "device": str(accelerator.device),
        "precision": {"no": "fp32"}.get(accelerator.mixed_precision, accelerator.mixed_precision),
        "accumulate": accelerator.gradient_accumulation_steps,
        "processes": accelerator.num_processes,
        "threads": torch.get_num_threads(),
    }


def _keep_freed_memory() -> None:
    """Let glibc keep what a step frees for the next step, instead of asking the system for zeroed pages each time.

    Saves 5 to 10 % of a step's processor time; elsewhere than on Linux with glibc it does nothing.
    """
    if sys.platform == "linux" and hasattr(ctypes.CDLL(None), "mallopt"):
        trim_threshold, mmap_threshold = -1, -3  # malloc.h
        ctypes.CDLL(None).mallopt(mmap_threshold, 2**30)
        ctypes.CDLL(None).mallopt(trim_threshold, 2**31 - 1)


def mean_over_processes(accelerator: Accelerator, sums: dict[str, float], count: int) -> dict[str, float]:
    """Return each sum divided by `count` and averaged over the processes; every process must call it."""
    values = torch.tensor(list(sums.values()), dtype=torch.float32, device=accelerator.device) / count
    return dict(zip(sums, accelerator.reduce(values, "mean").tolist(), strict=True))
