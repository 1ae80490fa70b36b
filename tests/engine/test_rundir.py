import json
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from engine.rundir import RunError, open_run


@dataclass(frozen=True)
class Config:
    out: Path
    rate: float = 0.1
    device: str = "cpu"
    save_every: int = 500
    overwrite: bool = False


def test_a_run_is_continued_with_the_same_configuration_only(tmp_path: Path) -> None:
    config = Config(tmp_path / "run")
    with open_run(config, {"train": "abc"}) as folder:
        (folder / "last.pth").touch()
    with open_run(replace(config, device="cuda", save_every=2), {"train": "abc"}) as folder:
        assert (folder / "last.pth").exists()
    with (
        pytest.raises(RunError, match=r"rate: 0.1 there, 0.2 now"),
        open_run(replace(config, rate=0.2), {"train": "abc"}),
    ):
        pass
    with pytest.raises(RunError, match="input"), open_run(config, {"train": "other"}):
        pass


def test_an_input_is_known_by_its_content_and_another_place_of_it_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    @dataclass(frozen=True)
    class Reading(Config):
        dataset: Path = Path("data")
        edgeface: list[str] = field(default_factory=lambda: ["xxs.pt"])

    config = Reading(tmp_path)
    with open_run(config, {"train": "abc"}) as folder:
        (folder / "last.pth").touch()
    moved = replace(config, dataset=Path("/mnt/data"), edgeface=["/weights/xxs.pt"])
    with open_run(moved, {"train": "abc"}):
        assert (tmp_path / "last.pth").exists()
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 2 and "data when the run began, /mnt/data now; the content is the same" in said[0]
    assert json.loads((tmp_path / "config.json").read_text())["options"]["dataset"] == "/mnt/data"
    with open_run(moved, {"train": "abc"}):
        assert capsys.readouterr().out == ""
    with pytest.raises(RunError, match="another input"), open_run(moved, {"train": "other"}):
        pass


def test_a_run_may_have_more_epochs_than_before_and_not_fewer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    @dataclass(frozen=True)
    class Training(Config):
        epochs: int = 4

    config = Training(tmp_path)
    with open_run(config, {}, used={"device": "cpu"}) as folder:
        (folder / "last.pth").touch()
    for epochs, said in ((8, "--epochs: 4 when the run began, 8 now; it goes on"), (8, "")):
        with open_run(replace(config, epochs=epochs), {}, used={"device": "cpu"}):
            assert (tmp_path / "last.pth").exists()
        assert capsys.readouterr().out.startswith(said) and (said or capsys.readouterr().out == "")
    written = json.loads((tmp_path / "config.json").read_text())
    assert written["options"]["epochs"] == 8 and written["continued"] == [{"raised": {"epochs": [4, 8]}}]
    for worse in (replace(config, epochs=4), replace(config, epochs=9, rate=0.2)):
        with pytest.raises(RunError, match="another option"), open_run(worse, {}):
            pass
    assert json.loads((tmp_path / "config.json").read_text()) == written


def test_a_run_from_before_an_option_existed_goes_on_with_its_default(tmp_path: Path) -> None:
    config = Config(tmp_path)
    with open_run(config, {}) as folder:
        (folder / "last.pth").touch()
    path = tmp_path / "config.json"
    written = json.loads(path.read_text())
    del written["options"]["rate"]
    path.write_text(json.dumps(written))
    with open_run(config, {}):
        pass
    with pytest.raises(RunError, match=r"rate: 0.1 there, 0.2 now"), open_run(replace(config, rate=0.2), {}):
        pass


def test_a_folder_that_holds_no_run_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "best.pth").write_text("precious")
    with open_run(Config(tmp_path, overwrite=True), {}):
        pass
    assert (tmp_path / "best.pth").read_text() == "precious"
    (tmp_path / "config.json").unlink()
    (tmp_path / "last.pth").touch()
    with pytest.raises(RunError, match="no run's folder"), open_run(Config(tmp_path), {}):
        pass


def test_a_run_that_saved_nothing_yet_gives_way_to_another_configuration(tmp_path: Path) -> None:
    config = Config(tmp_path / "run")
    with open_run(config, {}) as folder:
        (folder / "metrics.jsonl").touch()
    with open_run(replace(config, rate=0.2), {"train": "abc"}) as folder:
        assert not (folder / "metrics.jsonl").exists()
        assert json.loads((folder / "config.json").read_text())["options"]["rate"] == 0.2


def test_overwrite_begins_anew(tmp_path: Path) -> None:
    config = Config(tmp_path / "run")
    with open_run(config, {}) as folder:
        (folder / "last.pth").touch()
    with open_run(replace(config, rate=0.2, overwrite=True), {}) as folder:
        assert not (folder / "last.pth").exists()


@pytest.mark.parametrize("name", ["best.pth", "a.safetensors", "samples/init.pth"])
def test_what_a_run_reads_is_not_cleared_away(name: str, tmp_path: Path) -> None:
    config, read = Config(tmp_path / "run"), tmp_path / "run" / name
    with open_run(config, {}) as folder:
        read.parent.mkdir(exist_ok=True)
        read.write_text("precious")
        (folder / "last.pth").touch()
    (tmp_path / "link").symlink_to(tmp_path / "run")
    for file in (read, tmp_path / "link" / name):
        anew = open_run(replace(config, overwrite=True), {"init": "abc"}, files=[tmp_path / "other.pth", file])
        with pytest.raises(RunError, match="would delete it"), anew:
            pass
    assert read.read_text() == "precious" and (folder / "last.pth").exists()


@pytest.mark.parametrize("text", ['{"model_type": "bert"}', '{"options": [], "inputs": []}', "[]", "no json"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_config_that_is_no_runs_protects_its_folder(text: str, overwrite: bool, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text)
    (tmp_path / "model.safetensors").write_text("precious")
    opened = open_run(Config(tmp_path, overwrite=overwrite), {})
    with pytest.raises(RunError, match=r"not a run's config\.json"), opened:
        pass
    assert (tmp_path / "config.json").read_text() == text and (tmp_path / "model.safetensors").exists()


def test_leftovers_of_a_killed_run_bind_nobody_and_its_weights_do(tmp_path: Path) -> None:
    config = Config(tmp_path)
    with open_run(config, {}) as folder:
        (folder / ".last.x1y2.pth").touch()
        (folder / "nonfinite_batch1.pth").touch()
    with open_run(replace(config, rate=0.2), {}) as folder:
        assert [path.name for path in folder.glob("*.pth")] == []
        (folder / "a.lowres.safetensors").touch()
    with pytest.raises(RunError, match="another option"), open_run(config, {}):
        pass


def test_a_second_process_on_the_same_folder_is_refused(tmp_path: Path, root: Path) -> None:
    program = (
        "from tests.engine.test_rundir import Config, open_run, RunError\nfrom pathlib import Path\n"
        f"try:\n    open_run(Config(Path({str(tmp_path)!r})), {{}}).__enter__()\nexcept RunError as e: print(e)\n"
    )
    with open_run(Config(tmp_path), {}):
        result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=root, check=True)
    assert "another run is writing here" in result.stdout
