import pytest

from dataset.photographs.pairs import Pair, PairsError, read_pairs, write_kept_pairs, write_pairs
from pipeline.evaluation.protocols import read_pair_list

A12 = Pair(("Ann Lee", 1), ("Ann Lee", 2), 1)
A1B3 = Pair(("Ann Lee", 1), ("Zoë", 3), 1)
C12 = Pair(("Cy", 1), ("Cy", 12), 2)
C1D1 = Pair(("Cy", 1), ("Di", 1), 2)


def test_pairs_written_read_back_the_same(tmp_path):
    path = tmp_path / "pairs.txt"
    write_pairs(path, [C1D1, A12, C12, A1B3])
    assert path.read_text(encoding="utf-8").startswith("2\t1\nAnn Lee\t1\t2\nAnn Lee\t1\tZoë\t3\nCy")
    assert read_pairs(path) == [A12, A1B3, C12, C1D1]


def test_folds_of_different_sizes_keep_their_bounds(tmp_path):
    write_pairs(tmp_path / "p.txt", [A12, A12, A1B3, C12, C1D1])
    assert (tmp_path / "p.txt").read_text(encoding="utf-8").startswith("2\t*\n")
    assert read_pairs(tmp_path / "p.txt") == [A12, A12, A1B3, C12, C1D1]


def test_a_fold_without_a_kind_keeps_its_bounds_in_a_csv(tmp_path):
    (tmp_path / "pairs.csv").touch()
    write_kept_pairs(tmp_path / "pairs.txt", [A12, A1B3, C12, C1D1])
    assert [path.name for path in tmp_path.iterdir()] == ["pairs.txt"]
    write_kept_pairs(tmp_path / "pairs.txt", [A12, C12, C1D1])
    assert [path.name for path in tmp_path.iterdir()] == ["pairs.csv"]
    keys = ["Ann Lee/Ann Lee_0001", "Ann Lee/Ann Lee_0002", "Cy/Cy_0001", "Cy/Cy_0012", "Di/Di_0001"]
    listed = read_pair_list(tmp_path / "pairs.csv", keys, tmp_path)
    assert listed.folds.tolist() == [1, 2, 2] and listed.same.tolist() == [True, True, False]


def test_a_byte_order_mark_is_no_part_of_the_list(tmp_path):
    (tmp_path / "p.txt").write_text("1\t1\nAl\t1\t2\nAl\t1\tBo\t1\n", encoding="utf-8-sig")
    assert len(read_pairs(tmp_path / "p.txt")) == 2


def test_a_pair_knows_its_images_and_people():
    assert C12.same and not C1D1.same
    assert C12.keys == ("Cy/Cy_0001", "Cy/Cy_0012")
    assert C1D1.people == {"Cy", "Di"}


def test_a_development_list_is_one_fold(tmp_path):
    (tmp_path / "p.txt").write_text("1\nAl\t1\t2\nAl\t1\tBo\t1\n")
    assert [pair.fold for pair in read_pairs(tmp_path / "p.txt")] == [1, 1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "an empty file"),
        ("hello\n", "hello"),
        ("1\t1\nAl\t1\n", "line 2"),
        ("1\t1\nAl\tx\t2\n", "line 2"),
        ("2\t1\nAl\t1\t2\n", "announces 4"),
        ("2\t*\nAl\t1\t2\nBo\t1\t2\n", "announces 2"),
    ],
)
def test_another_text_is_refused_with_its_line(tmp_path, text, said):
    (tmp_path / "p.txt").write_text(text)
    with pytest.raises(PairsError, match=said):
        read_pairs(tmp_path / "p.txt")
    with pytest.raises(PairsError, match="no such list"):
        read_pairs(tmp_path / "other.txt")


def test_the_official_list_has_300_pairs_of_each_kind_a_fold(shared):
    pairs = read_pairs(shared / "faces" / "lfw" / "pairs.txt")
    assert len(pairs) == 4800
    for fold in range(1, 9):
        assert sum(pair.same for pair in pairs if pair.fold == fold) == 300
