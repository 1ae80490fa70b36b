"""One optimiser step, made trustworthy: clipping, schedule, EMA, precision, and a state that resumes exactly."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from engine.checkpoint import CheckpointError
from engine.errors import UserError

Tensors = tuple[Tensor, ...] | list[Tensor]

MOST_SKIPPED = 50


class NonFiniteLossError(ArithmeticError):
    """The loss or its gradient became NaN or infinite; the weights are those before the step."""


def steps_of(batches: int, accumulate: int) -> int:
    """Return the steps of a run: one after each `accumulate` batches; what remains at the end takes none.

    Raises:
        UserError: There would be no step.
    """
    if batches < accumulate:
        raise UserError(f"--accumulate {accumulate}: the run has {batches} batches, which make no step; lower it")
    return batches // accumulate


@dataclass(frozen=True)
class Optimisation:
    """How the weights move: AdamW, linear warm-up, cosine decay to a hundredth, clipping (0: none), EMA."""

    steps: int
    rate: float
    warmup_steps: int
    weight_decay: float
    clip_norm: float
    ema_decay: float

    def rate_at(self, step: int) -> float:
        """Return the learning rate after so many steps: it depends on nothing else, so that a run can be prolonged."""
        warmup = max(1, min(self.warmup_steps, self.steps - 1))
        if step < warmup:
            return self.rate * (step + 1) / (warmup + 1)
        fallen = min(1.0, (step - warmup) / max(1, self.steps - warmup))
        return self.rate * (0.01 + 0.99 * (1 + math.cos(math.pi * fallen)) / 2)


class Training:
    """A model with its optimiser, schedule and moving average, advanced one loss at a time.

    Args:
        model: The network that learns; only parameters that require gradients are optimised.
        settings: The numbers of the optimisation.
        accelerator: Places the model, casts, scales and synchronises processes.
        compiled: Compile the forward pass with `torch.compile`.
    """

    def __init__(
        self, model: nn.Module, settings: Optimisation, accelerator: Accelerator, compiled: bool = False
    ) -> None:
        self.settings = settings
        self.accelerator = accelerator
        self.raw = model.to(accelerator.device)
        self.ema = AveragedModel(self.raw, multi_avg_fn=_warm_average(settings.ema_decay))
        trained = [parameter for parameter in self.raw.parameters() if parameter.requires_grad]
        self._optimiser = torch.optim.AdamW(
            trained, lr=settings.rate, weight_decay=settings.weight_decay, fused=accelerator.device.type != "mps"
        )
        wrapped, self.optimiser = accelerator.prepare(self.raw, self._optimiser)
        if compiled:
            torch._dynamo.config.disable = False  # the environment may have been read before it was looked at
        self.model = cast(nn.Module, torch.compile(wrapped) if compiled else wrapped)
        self._skipped = 0
        self._stand_at(0)

    @property
    def rate(self) -> float:
        """The learning rate of the next step."""
        return float(self._optimiser.param_groups[0]["lr"])

    def end_at(self, steps: int) -> None:
        """Let the learning rate reach its end after so many steps in all."""
        self.settings = replace(self.settings, steps=steps)
        self._stand_at(self.step)

    def update(self, loss: Tensor) -> float:
        """Back-propagate; at the end of an accumulation also clip, step, schedule and average.

        Returns:
            The gradient's norm before clipping (0 while accumulating, and where the fp16 scaler skips the step).

        Raises:
            NonFiniteLossError: Loss or gradient is not finite, under fp16 the gradient `MOST_SKIPPED` times in a row;
                nothing was changed.
        """
        if not math.isfinite(loss.item()):
            raise NonFiniteLossError(f"the loss is {loss.item()} at step {self.step + 1}")
        self.accelerator.backward(loss)
        if not self.accelerator.sync_gradients:
            return 0.0
        self.accelerator.unscale_gradients(self.optimiser)  # of this optimiser alone: a run may train a critic beside
        norm = float(nn.utils.clip_grad_norm_(self.raw.parameters(), self.settings.clip_norm or math.inf))
        if math.isfinite(norm):
            self._skipped = 0
        else:
            self._skipped += 1
            scaled = self.accelerator.scaler is not None  # the fp16 scaler skips steps that overflow by itself
            if not scaled or self._skipped >= MOST_SKIPPED:
                raise NonFiniteLossError(f"the gradient's norm is {norm} at step {self.step + 1}")
            norm = 0.0
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.ema.update_parameters(self.raw)
        self._stand_at(self.step + 1)
        return norm

    def state_dict(self) -> dict[str, Any]:
        """Return all that the next step depends on."""
        scaler = self.accelerator.scaler
        return {
            "step": self.step,
            "model": self.raw.state_dict(),
            "ema": self.ema.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "scaler": scaler.state_dict() if scaler is not None else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state`.

        Raises:
            CheckpointError: It belongs to another network.
        """
        try:
            self.raw.load_state_dict(state["model"])
            self.ema.load_state_dict(state["ema"])
            self._optimiser.load_state_dict(state["optimiser"])
        except (RuntimeError, ValueError, KeyError) as error:
            reason = str(error).splitlines()[:2][-1].strip()[:80]  # torch's second line says which tensors
            raise CheckpointError(f"last.pth belongs to another network ({reason}); use another --out") from None
        if self.accelerator.scaler is not None and state["scaler"] is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        self._stand_at(int(state["step"]))

    def _stand_at(self, step: int) -> None:
        self.step = step
        for group in self._optimiser.param_groups:
            group["lr"] = self.settings.rate_at(step)


def _warm_average(decay: float) -> Callable[[Tensors, Tensors, Tensor | int], None]:
    """Return an average whose memory grows with the steps taken, so that short runs forget their first weights."""

    def average(averaged: Tensors, current: Tensors, taken: Tensor | int) -> None:
        count = int(taken)
        torch._foreach_lerp_(averaged, current, 1 - min(decay, (1 + count) / (10 + count)))

    return average
