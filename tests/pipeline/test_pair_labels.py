"""Lists of pairs that do not fit the people they name: refused, or counted and told."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataset.store import FaceStore
from pipeline.compare import main as compare_main
from pipeline.evaluate_dataset import main as evaluate_main
from pipeline.evaluation.pair_labels import check_labels, one_kind
from pipeline.evaluation.protocols import ProtocolError, read_image_list, read_image_sets, read_pair_list

NAMES = [f"{person}/{number}" for person in ("Ann", "Bo", "Zoë") for number in range(4)]
PERSON = np.repeat(np.arange(3), 4)
PAIRS = [(first, second) for first in range(12) for second in range(first + 1, 12)]
IS_SAME = [bool(PERSON[first] == PERSON[second]) for first, second in PAIRS]
WORDS = st.sampled_from(
    [("1", "0"), ("1.0", "0.0"), ("1", "-1"), ("True", "False"), ("YES", "no"), ("same", "different")]
)
quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def written(path: Path, labels, words=("1", "0"), header=("first", "second", "same"), spell=lambda name: name):
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(header)
        rows.writerows(
            [spell(NAMES[first]), spell(NAMES[second]), words[0] if same else words[1]]
            for (first, second), same in zip(PAIRS, labels, strict=True)
        )
    return path


def read(path: Path):
    return read_pair_list(path, NAMES, path.parent)


@quick
@given(wrong=st.sets(st.sampled_from(range(len(PAIRS)))), words=WORDS)
def test_contradictions_are_counted_and_too_many_refused(tmp_path: Path, wrong: set[int], words) -> None:
    labels = [same != (number in wrong) for number, same in enumerate(IS_SAME)]
    listed = read(written(tmp_path / "pairs.csv", labels, words))
    assert listed.same.tolist() == labels
    if len(wrong) * 3 > len(PAIRS):
        with pytest.raises(ProtocolError, match=rf"{len(wrong)} of {len(PAIRS)} pairs contradict the people"):
            check_labels(listed, NAMES, PERSON)
    else:
        assert check_labels(listed, NAMES, PERSON).contradicting == len(wrong)


def test_an_inverted_column_is_refused_with_what_to_do(tmp_path: Path) -> None:
    listed = read(written(tmp_path / "pairs.csv", [not same for same in IS_SAME]))
    with pytest.raises(
        ProtocolError, match="'Ann/0' and 'Ann/1': two people by the list, one person by the split; the c"
    ):
        check_labels(listed, NAMES, PERSON)


def test_a_column_that_slid_by_some_rows_belongs_to_other_pictures(tmp_path: Path) -> None:
    labels = [number % 2 == 0 for number in range(len(PAIRS))]
    with pytest.raises(ProtocolError, match="belong to other pictures"):
        check_labels(read(written(tmp_path / "pairs.csv", labels)), NAMES, PERSON)


@pytest.mark.parametrize(
    "spell",
    [
        lambda name: name + ".jpg",
        lambda name: "./" + name,
        lambda name: name.replace("/", "\\") + ".png",
        lambda name: name.replace("ë", "e\N{COMBINING DIAERESIS}"),
        lambda name: "hr_images/" + name,
    ],
)
def test_names_in_another_spelling_are_the_same_names(tmp_path: Path, spell) -> None:
    path = written(tmp_path / "pairs.csv", IS_SAME, header=("First", " second", "SAME "), spell=spell)
    assert read(path).rows.tolist() == [list(pair) for pair in PAIRS]


def test_pairs_turned_round_contradict_as_well(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("first,second,same\nAnn/0,Ann/1,1\nAnn/1,Ann/0,0\n")
    with pytest.raises(ProtocolError, match="as one person and as two"):
        read(tmp_path / "pairs.csv")


@pytest.mark.parametrize(("label", "words"), [(True, "show one person"), (False, "show two people")])
def test_pairs_of_one_kind_are_named(tmp_path: Path, label: bool, words: str) -> None:
    listed = read(written(tmp_path / "pairs.csv", IS_SAME)).only(np.array(IS_SAME) == label)
    assert words in one_kind(listed)
    assert one_kind(read(written(tmp_path / "pairs.csv", IS_SAME))) == ""


def test_an_image_counts_once_in_a_list_and_twice_in_a_set_is_refused(tmp_path: Path, capsys) -> None:
    (tmp_path / "list.txt").write_text("Ann/0\nBo/1\nAnn/0.png\n")
    assert read_image_list(tmp_path / "list.txt", NAMES, tmp_path).tolist() == [0, 5]
    assert "1 of 3 lines name an image again" in capsys.readouterr().out
    (tmp_path / "sets.csv").write_text("set,image\ns,Ann/0\ns,Ann/0.png\n")
    with pytest.raises(ProtocolError, match="set 's' names 'Ann/0' twice"):
        read_image_sets(tmp_path / "sets.csv", NAMES, PERSON, tmp_path)


def pairs_of(people: list[str], labels: tuple[int, int]) -> str:
    same = [f"{name}/0,{name}/1,{labels[0]}" for name in people]
    other = [f"{one}/0,{two}/1,{labels[1]}" for one, two in zip(people, people[1:], strict=False)]
    return "\n".join(["first,second,same", *same, *other]) + "\n"


def test_the_evaluation_refuses_an_inverted_list_and_reports_a_few_contradictions(
    chain, tmp_path, run, arguments, capsys
):
    people = ["Eve", "Finn", "Gil", "Hao", "Ida"]
    base = ["--systems", "bicubic", "--sizes", "8", "--bootstrap", "0", "--pairs", tmp_path / "pairs.csv"]
    (tmp_path / "pairs.csv").write_text(pairs_of(people, (0, 1)))
    assert run(evaluate_main, arguments(chain, tmp_path / "out", *base)) == 2
    assert "9 of 9 pairs contradict" in capsys.readouterr().err
    (tmp_path / "pairs.csv").write_text(pairs_of(people, (1, 1)))
    assert run(evaluate_main, arguments(chain, tmp_path / "out", *base)) == 2
    assert "all of its 9 pairs show one person" in capsys.readouterr().err
    (tmp_path / "pairs.csv").write_text(pairs_of(people, (1, 0)) + "Eve/2,Gil/1,1\n")
    assert run(evaluate_main, arguments(chain, tmp_path / "out", *base)) == 0
    assert "1 of 10 pairs contradict the people of the split, the first is 'Eve/2' and" in capsys.readouterr().out
    assert json.loads((tmp_path / "out" / "report.json").read_text())["protocol"]["pairs_contradicting"] == 1


def test_embeddings_named_twice_are_refused_and_missing_ones_are_told(chain, report_folder, tmp_path, run, capsys):
    store = FaceStore.open(chain / "test_processed")
    names = [*store.images][:-2]
    values = np.random.default_rng(0).normal(size=(len(names) + 1, 16))
    given = [report_folder, tmp_path / "x.npz", "--dataset-root", chain / "test_processed", "--bootstrap", "50"]
    np.savez(tmp_path / "x.npz", names=np.array([*names, names[0].removesuffix(".png")]), embeddings=values)
    assert run(compare_main, [*given, "--out", tmp_path / "out"]) == 2
    assert "1 faces are named twice" in capsys.readouterr().err
    np.savez(tmp_path / "x.npz", names=np.array([*names, "nobody/1"]), embeddings=values)
    assert run(compare_main, [*given, "--out", tmp_path / "out"]) == 0
    said = capsys.readouterr().out
    assert (
        f"1 of its {len(names) + 1} names are not in" in said and f"2 of {len(store)} faces have no embedding" in said
    )
