from pathlib import Path

import pytest

from dataset.photographs.assembly import is_prepared, publish, staging
from dataset.photographs.layout import split_folder
from dataset.synthesize import SynthesizeConfig, synthesize

OLD = {"of": "old"}


def make(folder, text, splits):
    for split in splits:
        split_folder(folder, split).mkdir(parents=True)
        (split_folder(folder, split) / "face").write_text(text)
    (folder / "problems.csv").write_text(text)


def content(out):
    return {path.relative_to(out): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


@pytest.fixture
def out(tmp_path):
    with staging(tmp_path / "out") as folder:
        make(folder, "old", ("train", "val"))
        publish(folder, tmp_path / "out", OLD, {}, ["problems.csv"])
    return tmp_path / "out"


def fail_at(monkeypatch, number):
    """Let the n-th rename fail, and all before it and after it succeed."""
    rename, left = Path.rename, [number]

    def failing(path, target):
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", failing)


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("number", range(1, 9))
def test_a_publication_that_stops_at_any_step_leaves_the_earlier_splits(out, monkeypatch, number, killed):
    before = content(out)
    with monkeypatch.context() as patched:
        fail_at(patched, number)
        with pytest.raises(KeyboardInterrupt), staging(out) as folder:
            make(folder, "new", ("train", "test"))
            if killed:  # as if nothing ran after the rename
                patched.setattr("dataset.photographs.assembly._clear", lambda out: None)
            publish(folder, out, {"of": "new"}, {}, ["problems.csv"])
    if killed:
        assert list(out.glob(".staging-*"))
        is_prepared(out, OLD, overwrite=False)
    assert content(out) == before and not list(out.glob(".staging-*"))


def test_a_publication_replaces_all_that_was_there(out):
    with staging(out) as folder:
        make(folder, "new", ("train", "test"))
        publish(folder, out, {"of": "new"}, {}, ["problems.csv"])
    names = {"train_processed", "test_processed", "problems.csv", "prepare.json"}
    assert {path.name for path in out.iterdir()} - {".prepare.lock"} == names
    assert (out / "train_processed/face").read_text() == "new"


@pytest.mark.parametrize("damage", ["version", "missing"])
def test_splits_whose_store_cannot_be_opened_are_made_again(tmp_path, capsys, damage):
    config = SynthesizeConfig(out=tmp_path, people=6, photos=1, vlr_sizes="none")
    synthesize(config)
    before = content(tmp_path)
    header = tmp_path / "val_processed/faces.json"
    if damage == "version":
        header.write_text(header.read_text().replace('"version": 2', '"version": 1'))
    else:
        (tmp_path / "val_processed/faces.u8").unlink()
    synthesize(config)
    assert content(tmp_path) == before
    capsys.readouterr()
    synthesize(config)
    assert "already holds these faces" in capsys.readouterr().out
