import json
import math
import os
import signal
from pathlib import Path

import pytest
import torch
from torch import nn

from engine.checkpoint import CheckpointError, load_checkpoint
from engine.device import make_accelerator
from engine.optimisation import NonFiniteLossError, Optimisation, Training
from engine.runloop import RunLoop, TrainingStoppedError

SETTINGS = Optimisation(steps=20, rate=0.05, warmup_steps=3, weight_decay=0.01, clip_norm=1.0, ema_decay=0.9)
EPOCHS, PER_EPOCH = 4, 5


class Kill(BaseException):
    """Stands for a process that ends without another line."""


def toy_run(
    folder: Path,
    save_every: int = 1000,
    accumulate: int = 1,
    kill_at: int = -1,
    stop_at: int = -1,
    hours: float | None = None,
) -> RunLoop:
    torch.manual_seed(0)
    accelerator = make_accelerator(torch.device("cpu"), "fp32", accumulate)
    training = Training(nn.Linear(3, 1), SETTINGS, accelerator)
    loop = RunLoop(folder, "toy", training, EPOCHS, PER_EPOCH, save_every, {"best": 0.0}, hours=hours)
    for epoch, index in loop.batches("toy"):
        if loop.batches_done == kill_at:
            raise Kill
        if loop.batches_done == stop_at:
            os.kill(os.getpid(), signal.SIGINT)
        inputs = torch.randn(8, 3, generator=torch.Generator().manual_seed(epoch * 100 + index))
        with accelerator.accumulate(training.model):
            loss = (training.model(inputs) - inputs.sum(1, keepdim=True)).square().mean()
            norm = training.update(loss)
        loop.count({"loss": loss}, norm)
        if loop.epoch_ended:
            with loop.validating():
                means = loop.means()
            loop.log.write("train", loop.batches_done, means)
            loop.kept["best"] = means["loss"]
    return loop


class Clock:
    """A second passes with each look at it, which is one a validation's end, and as often as the loop looks."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


@pytest.fixture
def batches_of_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, draw = Clock(), torch.randn

    def slow(*shape: int, **options: torch.Generator) -> torch.Tensor:
        clock.now += 10.0
        return draw(*shape, **options)

    monkeypatch.setattr(torch, "randn", slow)
    monkeypatch.setattr("engine.time_budget.time.perf_counter", clock)


def state_of(folder: Path) -> dict[str, torch.Tensor]:
    state = load_checkpoint(folder / "last.pth", "toy")
    return {**state["model"], **{f"ema {name}": value for name, value in state["ema"].items()}}


def assert_same_end(one: Path, other: Path) -> None:
    first, second = state_of(one), state_of(other)
    assert [name for name in first if not torch.equal(first[name], second[name])] == []
    assert (one / "metrics.jsonl").read_text() == (other / "metrics.jsonl").read_text()


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("kill_at", [1, 7, 10, 14, 19])
def test_a_run_that_dies_anywhere_ends_like_one_that_did_not(kill_at: int, accumulate: int, tmp_path: Path) -> None:
    toy_run(tmp_path / "whole", accumulate=accumulate)
    with pytest.raises(Kill):
        toy_run(tmp_path / "killed", save_every=2, accumulate=accumulate, kill_at=kill_at)
    loop = toy_run(tmp_path / "killed", save_every=2, accumulate=accumulate)
    assert loop.batches_done == EPOCHS * PER_EPOCH
    assert_same_end(tmp_path / "whole", tmp_path / "killed")


@pytest.mark.parametrize("accumulate", [1, 3])
def test_a_stop_is_saved_after_a_whole_step_and_goes_on(accumulate: int, tmp_path: Path) -> None:
    toy_run(tmp_path / "whole", accumulate=accumulate)
    with pytest.raises(KeyboardInterrupt):
        toy_run(tmp_path / "stopped", accumulate=accumulate, stop_at=7)
    done = load_checkpoint(tmp_path / "stopped" / "last.pth", "toy")["batches_done"]
    assert done == (8 if accumulate == 1 else 9)
    assert toy_run(tmp_path / "stopped", accumulate=accumulate).kept == toy_run(tmp_path / "whole").kept
    assert_same_end(tmp_path / "whole", tmp_path / "stopped")


def test_no_more_than_the_interval_is_lost(tmp_path: Path) -> None:
    with pytest.raises(Kill):
        toy_run(tmp_path, save_every=3, kill_at=14)
    assert load_checkpoint(tmp_path / "last.pth", "toy")["batches_done"] == 12


def test_a_finished_run_gives_no_more_batches_and_keeps_its_values(tmp_path: Path) -> None:
    kept = toy_run(tmp_path).kept
    before = (tmp_path / "last.pth").read_bytes()
    again = toy_run(tmp_path)
    assert again.kept == kept and kept["best"] > 0
    assert (tmp_path / "last.pth").read_bytes() == before


def test_an_epoch_is_the_mean_of_its_batches_and_the_next_begins_anew(tmp_path: Path) -> None:
    loop = toy_run(tmp_path)
    for epoch in (1.0, 2.0):
        for index in range(PER_EPOCH):
            loop.count({"loss": epoch * index}, 0.5)
        assert loop.means() == {"loss": pytest.approx(2 * epoch), "gradient": 0.5}


def test_the_log_of_a_run_that_died_reads_like_that_of_one_that_did_not(tmp_path: Path) -> None:
    with pytest.raises(Kill):
        toy_run(tmp_path, save_every=4, kill_at=11)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"event": "train", "step": 1')
    toy_run(tmp_path)
    events = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [event["step"] for event in events] == [5, 10, 15, 20]


def test_a_figure_that_json_cannot_say_is_null_in_the_log_and_ends_nothing(tmp_path: Path) -> None:
    loop = toy_run(tmp_path)
    figures = {"psnr": math.inf, "sizes": {"8": math.nan, "12": 0.5}, "list": [-math.inf, 1]}
    loop.log.write("validation", 20, figures)
    last = (tmp_path / "metrics.jsonl").read_text().splitlines()[-1]
    assert json.loads(last, parse_constant=pytest.fail) == {
        "event": "validation", "step": 20, "psnr": None, "sizes": {"8": None, "12": 0.5}, "list": [None, 1]
    }  # fmt: skip


def test_the_batch_that_breaks_a_training_is_kept_and_named(tmp_path: Path) -> None:
    loop = toy_run(tmp_path)
    with pytest.raises(TrainingStoppedError) as raised, loop.keeping({"faces": torch.ones(2)}):
        raise NonFiniteLossError("the loss is nan at step 3")
    assert all(
        said in str(raised.value)
        for said in ("the loss is nan at step 3", "nonfinite_batch.pth", "last.pth", "another --out")
    )
    (tmp_path / "last.pth").unlink()
    with pytest.raises(TrainingStoppedError) as raised, loop.keeping({"faces": torch.ones(2)}):
        raise NonFiniteLossError("the loss is nan")
    assert "last.pth" not in str(raised.value)
    assert torch.equal(load_checkpoint(tmp_path / "nonfinite_batch.pth", "nonfinite-batch")["faces"], torch.ones(2))


def test_a_damaged_checkpoint_is_named_and_nothing_is_overwritten(tmp_path: Path) -> None:
    toy_run(tmp_path)
    data = bytearray((tmp_path / "last.pth").read_bytes())
    data[data.index(state_of(tmp_path)["weight"].numpy().tobytes())] ^= 1
    (tmp_path / "last.pth").write_bytes(data)
    with pytest.raises(CheckpointError, match=r"last\.pth"):
        toy_run(tmp_path)
    assert (tmp_path / "last.pth").read_bytes() == data


def test_the_end_of_an_epoch_logs_and_validates_when_it_is_due_and_after_the_last(tmp_path: Path) -> None:
    torch.manual_seed(0)
    training = Training(nn.Linear(3, 1), SETTINGS, make_accelerator(torch.device("cpu"), "fp32", 1))
    loop = RunLoop(tmp_path, "toy", training, 5, 2, 1000, {"best": -1.0})
    validated = []
    for _ in loop.batches("toy"):
        loop.count({"loss": 1.0}, 0.0)
        if loop.epoch_ended:
            loop.end_epoch(validated.append, every=3)
    events = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert validated == [3, 5]
    assert [(event["epoch"], event["step"], event["loss"]) for event in events] == [
        (n, 2 * n, 1.0) for n in range(1, 6)
    ]


def test_a_score_improves_only_on_the_best_so_far(tmp_path: Path) -> None:
    loop = toy_run(tmp_path)
    loop.kept["best"] = -1.0
    assert [loop.improves(score) for score in (0.2, 0.1, 0.2, 0.3)] == [True, False, False, True]
    assert loop.kept["best"] == 0.3


@pytest.mark.usefixtures("batches_of_ten_seconds")
def test_hours_end_when_they_are_over_at_the_schedules_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    loop = toy_run(tmp_path, hours=0.25)
    # 900 s hold batches of 10 s, with a validation of 1 s (and the loop's own looks at the clock) after each five.
    assert 84 <= loop.batches_done <= 88
    assert f"0.25 h: {loop.batches_done} batches" in capsys.readouterr().out
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["batches"] for line in lines if line["event"] == "plan"] == [loop.batches_done]
    assert lines[-1]["event"] == "train" and lines[-1]["step"] == loop.batches_done, "the last epoch may be a part"
    state = load_checkpoint(tmp_path / "last.pth", "toy")
    assert state["step"] == loop.batches_done
    assert state["optimiser"]["param_groups"][0]["lr"] == pytest.approx(SETTINGS.rate / 100)


@pytest.mark.usefixtures("batches_of_ten_seconds")
@pytest.mark.parametrize("kill_at", [32, 33, 60])
def test_a_continuation_keeps_the_end_that_was_measured(kill_at: int, tmp_path: Path) -> None:
    whole = toy_run(tmp_path / "whole", hours=0.25)
    with pytest.raises(Kill):
        toy_run(tmp_path / "died", hours=0.25, kill_at=kill_at)
    assert toy_run(tmp_path / "died", hours=0.25).batches_done == whole.batches_done
    assert_same_end(tmp_path / "whole", tmp_path / "died")
    longer = toy_run(tmp_path / "died", hours=0.5)
    assert longer.batches_done == 2 * whole.batches_done


@pytest.mark.usefixtures("batches_of_ten_seconds")
def test_hours_that_the_timed_batches_use_up_end_with_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert toy_run(tmp_path, hours=0.01).batches_done == 32
    assert "give more --hours" in capsys.readouterr().out


def test_epochs_alone_plan_nothing(tmp_path: Path) -> None:
    loop = toy_run(tmp_path)
    assert not loop.planning and loop.batches_done == EPOCHS * PER_EPOCH
