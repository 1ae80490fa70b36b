"""The course of a training: which batch comes next, when to save, how to stop, how to go on."""

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor

from engine.checkpoint import load_checkpoint, save_checkpoint
from engine.device import mean_over_processes
from engine.errors import UserError
from engine.optimisation import NonFiniteLossError, Training
from engine.runlog import RunLog, progress_bar
from engine.time_budget import UNPLANNED, TimeBudget

BATCH_FORMAT = "nonfinite-batch"


class TrainingStoppedError(UserError):
    """A training that cannot go on."""


class RunLoopError(UserError):
    """Processes that do not stand at the same batch."""


class RunLoop:
    """Where a training stands in its folder; what is trained, and on what, stays with the command.

        for epoch, index in loop.batches("DSR"):
            batch = batches.at(epoch, index)
            with loop.keeping(batch.tensors()):
                gradient = training.update(loss_of(batch))
            loop.count({"loss": loss}, gradient)
            if loop.epoch_ended:
                loop.end_epoch(validate)

    An earlier `last.pth` in the folder is continued; a finished one gives no more batches.

    Args:
        folder: The run's folder.
        kind: Format mark of its checkpoints.
        training: What learns.
        epochs: Passes.
        per_epoch: Batches a pass.
        save_every: Batches between checkpoints; an epoch's end and a stop are saved too.
        kept: Plain values of the command's own that belong to the checkpoint, as they are at the start.
        beside: What else learns, by name.
        hours: Train for so long instead of `epochs`: the first batches are timed, then the end is set, and with it the
            learning rate's way there. It is saved, so that a continuation has the same one; where that is given more
            hours, it moves in proportion.

    Attributes:
        batches_done: Batches counted, over all epochs.
        kept: See above; the command changes them as it goes.
        log: The run's log.

    Raises:
        CheckpointError: `last.pth` is damaged, of another kind, or belongs to another network.
        RunLoopError: The processes found different checkpoints.
    """

    def __init__(
        self,
        folder: Path,
        kind: str,
        training: Training,
        epochs: int,
        per_epoch: int,
        save_every: int,
        kept: dict[str, Any] | None = None,
        beside: dict[str, Training] | None = None,
        hours: float | None = None,
    ) -> None:
        self.folder, self._kind, self._training = folder, kind, training
        self._per_epoch, self._total, self._save_every = per_epoch, epochs * per_epoch, save_every
        self._accelerator = training.accelerator
        self.kept, self._beside = kept or {}, beside or {}
        self._hours, self._budget = hours, TimeBudget(hours) if hours is not None else None
        if hours is not None:
            self._end_at(UNPLANNED)
        self.batches_done = 0
        self._sums: dict[str, float] = {}
        self._due = False
        self._bar = progress_bar(0, 0, "batch", "", enabled=False)
        self._restore()
        self.log = RunLog(folder, self.batches_done, self._accelerator.is_main_process)

    @property
    def epoch_ended(self) -> bool:
        """Whether the batch that was counted last was its epoch's last."""
        return self.batches_done % self._per_epoch == 0 or self.batches_done == self._total

    @property
    def planning(self) -> bool:
        """Whether hours are given and their batches are not counted yet."""
        return self._budget is not None

    def batches(self, title: str) -> Iterator[tuple[int, int]]:
        """Yield (epoch, index) of each batch that is left, both from 0; save where it is due.

        Args:
            title: Shown by the progress bar.

        Raises:
            KeyboardInterrupt: Somebody asked to stop; the run is saved.
        """
        main = self._accelerator.is_main_process
        bar = progress_bar(0 if self.planning else self._total, self.batches_done, "batch", title, main)
        try:
            with graceful_stop() as stop, bar as self._bar:
                while self.batches_done < self._total:
                    yield divmod(self.batches_done, self._per_epoch)
                    self._after_batch(stop)
        finally:
            self.log.close()

    def count(self, terms: Mapping[str, Tensor | float], gradient: float, shown: tuple[str, ...] = ()) -> None:
        """Count a batch that was trained on.

        Args:
            terms: Figures by name, to be averaged over the epoch; "loss" among them.
            gradient: Norm of the step's gradient; 0 while one is accumulated.
            shown: Names beside the loss that the progress bar shows.
        """
        values = {name: value.item() if isinstance(value, Tensor) else value for name, value in terms.items()}
        # The mean over an epoch's batches is that over its steps.
        values["gradient"] = gradient * self._accelerator.gradient_accumulation_steps
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self.batches_done += 1
        self._bar.update()
        if self._budget is not None and self._budget.count():
            self._plan(self._budget)
        self._bar.set_postfix_str(
            "  ".join(f"{name} {values[name]:.3f}" for name in ("loss", *shown) if name in values)
        )

    def end_epoch(self, validate: Callable[[int], None], every: int = 1) -> None:
        """Log the epoch's means, and validate on one process, while the others wait.

        Args:
            validate: Called with the number of epochs done.
            every: Epochs from one validation to the next; after the last epoch there is one in any case.
        """
        epoch = -(-self.batches_done // self._per_epoch)
        self.log.write("train", self.batches_done, {"epoch": epoch, "rate": self._training.rate, **self.means()})
        due = epoch % every == 0 or self.batches_done == self._total
        with self.validating():
            if due and self._accelerator.is_main_process:
                validate(epoch)
            self._accelerator.wait_for_everyone()

    @contextmanager
    def validating(self) -> Iterator[None]:
        """Count the time of a validation where hours are given: it is no batch's, and others will follow."""
        with self._budget.validating() if self._budget is not None else nullcontext():
            yield

    def improves(self, score: float) -> bool:
        """Whether a score is above the best of all epochs so far, which it then is."""
        better: bool = score > self.kept["best"]
        self.kept["best"] = max(score, self.kept["best"])
        return better

    def means(self) -> dict[str, float]:
        """Return the epoch's mean figures over all processes, each of which must call it, and begin anew."""
        in_epoch = (self.batches_done - 1) % self._per_epoch + 1
        means = mean_over_processes(self._accelerator, self._sums, in_epoch)
        self._sums = {}
        return means

    @contextmanager
    def keeping(self, batch: dict[str, Tensor]) -> Iterator[None]:
        """Keep a batch that breaks the training beside the run.

        Raises:
            TrainingStoppedError: Its loss was not finite.
        """
        try:
            yield
        except NonFiniteLossError as error:
            raise self._stopped(error, batch) from None

    def _plan(self, budget: TimeBudget) -> None:
        left, batch_s = budget.batches_left(self._per_epoch, self._accelerator)
        self._end_at(self.batches_done + left)
        self._budget = None
        self._due = True  # a continuation goes by this plan
        self._bar.total = self._total
        self.log.write("plan", self.batches_done, {"batches": self._total, "batch_seconds": batch_s})
        self._accelerator.print(
            f"{self._hours:g} h: {self._total:,} batches of {batch_s:.3g} s fit, validations counted"
            if left
            else f"{self._hours:g} h: used up by the {self.batches_done} batches that were timed; give more --hours"
        )

    def _end_at(self, batches: int) -> None:
        """Set the number of batches, and the schedules that end with them."""
        self._total = batches
        for training in (self._training, *self._beside.values()):
            training.end_at(max(1, batches // self._accelerator.gradient_accumulation_steps))

    def _stopped(self, error: NonFiniteLossError, batch: dict[str, Tensor]) -> TrainingStoppedError:
        path = self.folder / f"nonfinite_batch{self._accelerator.process_index or ''}.pth"
        tensors = {name: tensor.detach().cpu() for name, tensor in batch.items()}
        save_checkpoint(path, {"format": BATCH_FORMAT, "batch": self.batches_done, **tensors})
        earlier = ", last.pth holds earlier weights" if (self.folder / "last.pth").is_file() else ""
        return TrainingStoppedError(
            f"{self.folder}: {error}; the batch is in {path.name}{earlier}; "
            "begin anew (another --out, or --overwrite) with a lower --rate or --precision fp32"
        )

    def _after_batch(self, stop: "StopRequest") -> None:
        wanted = self._anyone(stop.requested)
        self._due |= wanted or self.epoch_ended or self.batches_done % self._save_every == 0
        # Half an accumulated gradient is in no checkpoint, so that saving waits for the step.
        if self._due and (self._accelerator.sync_gradients or self.batches_done == self._total):
            self._save()
            self._due = False
            if wanted and self.batches_done < self._total:
                self._accelerator.print(f"saved in {self.folder}; the same command goes on from there")
                raise KeyboardInterrupt

    def _anyone(self, asked: bool) -> bool:
        """Whether any process was asked to stop: they stop after the same batch, or the others would wait for ever."""
        if self._accelerator.num_processes == 1:
            return asked
        flag = torch.tensor(float(asked), device=self._accelerator.device)
        return bool(self._accelerator.reduce(flag, "sum").item())

    def _save(self) -> None:
        """Write `last.pth`: all that the next batch depends on."""
        if self._accelerator.num_processes > 1:  # one process writes, so its sums must speak for all
            self._sums = mean_over_processes(self._accelerator, self._sums, 1)
        if self._accelerator.is_main_process:
            own = {"batches_done": self.batches_done, "sums": dict(self._sums), **self.kept}
            if self._hours is not None and not self.planning:
                own |= {"planned": self._total, "hours": self._hours}
            own |= {name: training.state_dict() for name, training in self._beside.items()}
            save_checkpoint(self.folder / "last.pth", {"format": self._kind, **self._training.state_dict(), **own})

    def _restore(self) -> None:
        self._accelerator.wait_for_everyone()  # the first process may have cleared the folder only now
        path = self.folder / "last.pth"
        if path.is_file():
            state = load_checkpoint(path, self._kind)
            self._training.load_state_dict(state)
            for name, training in self._beside.items():
                training.load_state_dict(state[name])
            self.batches_done, self._sums = state["batches_done"], dict(state["sums"])
            if self._hours is not None and "planned" in state:
                self._budget = None
                self._end_at(round(state["planned"] * self._hours / state["hours"]))
            self.kept = {name: state[name] for name in self.kept}
            of = "" if self.planning else f" of {self._total:,}"
            self._accelerator.print(
                f"continuing {self.folder} from batch {self.batches_done:,}{of}, "
                f"learning rate {self._training.rate:.2g}"
            )
        places = self._accelerator.gather(torch.tensor([self.batches_done], device=self._accelerator.device))
        if len(set(places.tolist())) > 1:
            raise RunLoopError(
                f"{path}: the processes found different checkpoints (batches done: {places.tolist()}); "
                "all machines must see the same --out"
            )


class StopRequest:
    """Whether the user asked to stop."""

    def __init__(self) -> None:
        self.requested = False


@contextmanager
def graceful_stop() -> Iterator[StopRequest]:
    """Turn the first Ctrl-C (or SIGTERM) into a request; a further Ctrl-C ends the process at once.

    The loop checks `request.requested` after each step, saves, and raises `KeyboardInterrupt` itself. A SIGTERM never
    ends at once: torchrun sends one right after the Ctrl-C that the process has had already.
    """
    request = StopRequest()

    def handle(number: int, frame: FrameType | None) -> None:
        if request.requested:
            if number == signal.SIGINT:
                raise KeyboardInterrupt
            return
        request.requested = True
        print("\nstopping after this step and saving; press Ctrl-C again to stop at once", flush=True)

    earlier = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
