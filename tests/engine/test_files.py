from pathlib import Path

import numpy as np
import pytest

from engine.files import atomic_path, sha256_of, write_array, write_json, write_text


def test_a_failed_write_leaves_the_earlier_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "value.txt"
    write_text(path, "before")
    with pytest.raises(OSError, match="full"), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise OSError("disk full")
    assert path.read_text() == "before"
    assert [each.name for each in tmp_path.iterdir()] == ["value.txt"]


def test_a_successful_write_replaces_the_file_and_makes_folders(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.json"
    write_json(path, {"x": 1})
    write_json(path, {"x": "é"})
    assert path.read_text(encoding="utf-8") == '{\n  "x": "é"\n}\n'
    assert len(list(path.parent.iterdir())) == 1


def test_nan_is_refused_since_it_is_not_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "x.json", {"x": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_sha256_is_that_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    assert sha256_of(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_an_array_reads_back_exactly_whatever_its_strides(tmp_path: Path) -> None:
    table = np.arange(24, dtype=np.float16).reshape(4, 6)
    for array in (table, table[:, 1::2], table.T, table[:0], np.float32(3)[None]):
        write_array(tmp_path / "a.npy", array)
        found = np.load(tmp_path / "a.npy", allow_pickle=False)
        assert found.dtype == array.dtype
        np.testing.assert_array_equal(found, array)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, which Linux has")
def test_an_array_on_a_full_disk_names_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.open
    monkeypatch.setattr(
        Path, "open", lambda path, mode="r", *more: real(Path("/dev/full") if mode == "wb" else path, mode, *more)
    )
    with pytest.raises(OSError, match="No space left"):
        write_array(tmp_path / "a.npy", np.zeros(100_000))
    assert list(tmp_path.iterdir()) == []
