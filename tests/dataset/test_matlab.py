"""Lists of names in MATLAB's files, against those that scipy writes."""

import random
import struct

import numpy as np
import pytest

from dataset.formats.matlab import number_list, read_matlab, text_table
from dataset.formats.source import FormatError

scipy_io = pytest.importorskip("scipy.io", reason="needs scipy, which comes with scikit-learn")


def cells(rows):
    """A cell array of texts, one row each."""
    made = np.empty((len(rows), len(rows[0])), object)
    for number, row in enumerate(rows):
        made[number] = row
    return made


PAIRS = [["12_cam1_3.jpg", "12_cam2_1.jpg"], ["a b.jpg", "Zoë.png"], ["x", "a name of more than eight letters.jpg"]]


@pytest.mark.parametrize("compressed", [True, False])
def test_cells_of_names_and_lists_of_numbers_are_read_as_scipy_wrote_them(tmp_path, compressed):
    path = tmp_path / "pairs.mat"
    numbers = {
        kind: np.array([[1], [300 if kind != np.uint8 else 200], [7]], kind)
        for kind in (np.uint8, np.uint16, np.float64)
    }
    content = {"pairs": cells(PAIRS), "one": "text", **{f"of_{kind.__name__}": each for kind, each in numbers.items()}}
    scipy_io.savemat(path, content, do_compression=compressed)
    found = read_matlab(path)
    assert text_table(path, found, "pairs") == PAIRS
    assert found["one"] == "text"
    for kind, each in numbers.items():
        assert number_list(path, found, f"of_{kind.__name__}").tolist() == each.reshape(-1).tolist()


def test_columns_stand_behind_each_other_as_matlab_has_them(tmp_path):
    table = np.arange(12, dtype=np.float64).reshape(4, 3)
    scipy_io.savemat(tmp_path / "table.mat", {"table": table})
    np.testing.assert_array_equal(read_matlab(tmp_path / "table.mat")["table"], table)


@pytest.mark.parametrize(
    ("content", "name", "said"),
    [
        ({"pairs": cells(PAIRS)}, "names", "no variable names in it, but pairs"),
        ({"names": np.array([[1.0, 2.0]])}, "names", "names is no cell array of names"),
        ({"names": {"a": 1}}, "names", "a variable of class 2"),
    ],
)
def test_other_variables_are_refused(tmp_path, content, name, said):
    path = tmp_path / "set.mat"
    scipy_io.savemat(path, content)
    with pytest.raises(FormatError, match=said):
        text_table(path, read_matlab(path), name)


def test_fractions_are_no_numbers_of_people(tmp_path):
    scipy_io.savemat(tmp_path / "set.mat", {"ids": np.array([1.5, 2.0])})
    with pytest.raises(FormatError, match="ids is no list of whole numbers"):
        number_list(tmp_path / "set.mat", read_matlab(tmp_path / "set.mat"), "ids")


@pytest.mark.parametrize(
    ("data", "said"),
    [(b"", "no MAT-file"), (b"MATLAB 7.3 MAT-file" + b" " * 500, "version 7.3"), (b"\x89PNG" * 90, "no MAT-file")],
)
def test_other_files_are_refused(tmp_path, data, said):
    (tmp_path / "set.mat").write_bytes(data)
    with pytest.raises(FormatError, match=said):
        read_matlab(tmp_path / "set.mat")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FormatError, match="nowhere.mat"):
        read_matlab(tmp_path / "nowhere.mat")


def test_damaged_files_are_refused_or_read_but_never_more(tmp_path):
    path, draw = tmp_path / "set.mat", random.Random(0)
    for compressed in (True, False):
        scipy_io.savemat(path, {"names": cells(PAIRS * 9), "ids": np.arange(27)}, do_compression=compressed)
        whole = path.read_bytes()
        for _ in range(150):
            data = bytearray(whole)
            for _ in range(draw.randint(1, 4)):
                data[draw.randrange(128, len(data))] = draw.randrange(256)
            path.write_bytes(bytes(data[: draw.choice([len(data), draw.randrange(128, len(data))])]))
            try:
                read_matlab(path)
            except FormatError as error:
                assert str(path) in str(error) and "\n" not in str(error)


def test_a_bomb_is_not_inflated(tmp_path, monkeypatch):
    monkeypatch.setattr("dataset.formats.matlab.MOST_BYTES", 1000)
    scipy_io.savemat(tmp_path / "set.mat", {"ids": np.zeros(100_000)}, do_compression=True)
    with pytest.raises(FormatError, match="larger than any list"):
        read_matlab(tmp_path / "set.mat")


def test_the_other_byte_order_is_read(tmp_path):
    def element(kind, data):
        return struct.pack(">II", kind, len(data)) + data + b"\0" * (-len(data) % 8)

    inner = element(6, struct.pack(">II", 4, 0)) + element(5, struct.pack(">ii", 1, 5)) + element(1, b"name")
    whole = b"MATLAB 5.0".ljust(124) + b"\x01\x00MI" + element(14, inner + element(4, "Hallo".encode("utf-16-be")))
    (tmp_path / "set.mat").write_bytes(whole)
    assert read_matlab(tmp_path / "set.mat") == {"name": "Hallo"}
