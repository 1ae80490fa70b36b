import pytest

from dataset.photographs.layout import SPLITS, split_folder
from dataset.store import FaceStore
from dataset.synthesize import main


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return ended.value.code


def test_synthetic_people_are_split_and_packed_like_photographed_ones(tmp_path, capsys):
    options = ["--people", 7, "--photos", 2, "--out", tmp_path, "--vlr-sizes", 8]
    assert run(*options) == 0
    stores = [FaceStore.open(split_folder(tmp_path, split)) for split in SPLITS]
    assert sorted(person for store in stores for person in store.people) == [f"person_{n:05d}" for n in range(7)]
    assert (split_folder(tmp_path, "val") / "vlr_images/8px" / stores[1].images[0]).is_file()
    assert run(*options) == 0
    assert "already holds these faces" in capsys.readouterr().out
    assert run(*options, "--seed", 1) == 2
    assert "seed: 0 there, 1 now" in capsys.readouterr().err
