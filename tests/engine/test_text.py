import csv
import io
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.text import TextError, decode_text, first_lines, read_json, read_lines, read_table, read_text

LINE_ENDS = st.sampled_from(["\n", "\r\n", "\r"])
ENCODINGS = st.sampled_from(["utf-8", "utf-8-sig", "utf-16"])
LETTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\n\ufeff")
LINES = st.lists(st.text(LETTERS), max_size=6)
in_any_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)


@in_any_folder
@given(LINES, LINE_ENDS, ENCODINGS, st.integers(0, 3))
def test_lines_are_the_same_whatever_system_wrote_them(tmp_path, lines, end, encoding, blank):
    path = tmp_path / "list.txt"
    path.write_bytes((end.join(lines) + end * blank).encode(encoding))
    while lines and not lines[-1].strip():
        lines.pop()
    assert read_lines(path) == lines
    assert first_lines(path)[: len(lines)] == lines or path.stat().st_size > 2000


@in_any_folder
@given(st.lists(st.tuples(st.text(LETTERS, min_size=1), st.text(LETTERS)), max_size=5), LINE_ENDS, ENCODINGS)
def test_tables_are_the_same_whatever_spreadsheet_wrote_them(tmp_path, rows, end, encoding):
    text = io.StringIO()
    table = csv.writer(text, lineterminator=end)
    table.writerows([["Image", "person", ""], *([*row, ""] for row in rows), ["", " ", ""]])
    path = tmp_path / "table.csv"
    path.write_bytes((end + text.getvalue() + end).encode(encoding))
    kept = [{"image": image, "person": person} for image, person in rows if (image + person).strip()]
    assert [row for _, row in read_table(path, ("image",))] == kept


@in_any_folder
@given(st.dictionaries(st.text(LETTERS), st.text(LETTERS)), LINE_ENDS, ENCODINGS)
def test_json_is_the_same_whatever_editor_saved_it(tmp_path, value, end, encoding):
    path = tmp_path / "value.json"
    path.write_bytes(json.dumps(value, indent=1, ensure_ascii=False).replace("\n", end).encode(encoding))
    assert read_json(path) == value


@given(st.binary(max_size=300))
def test_any_bytes_are_text_or_refused_in_one_line(data):
    try:
        decode_text(data, "list.txt")
    except TextError as error:
        assert str(error).startswith("list.txt, line ") and "save the file as UTF-8" in str(error)
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("Ann\r\nZoë\r\n".encode("cp1252"), "line 2: not UTF-8 text (byte 0xeb after 'Zo')"),
        ("Ann\rBo\rÅsa\r".encode("mac-roman"), "line 3: not UTF-8 text (byte 0x81 after '')"),
        ("李雷".encode("gbk"), "line 1: not UTF-8 text"),
        ("Ann\nBo".encode("utf-16-le"), "line 1: not text (bytes of zero, as in UTF-16 without its mark)"),
        (b"\xff\xfeA", "line 1: not UTF-16 text"),
    ],
)
def test_text_of_another_encoding_is_refused_with_its_line_and_what_to_do(tmp_path, data, said):
    path = tmp_path / "list.txt"
    path.write_bytes(data)
    with pytest.raises(TextError) as refused:
        read_text(path)
    assert str(refused.value).startswith(f"{path}, {said}") and 'save the file as UTF-8 (spreadsheets call it "CSV' in (
        str(refused.value)
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("image,person\na.png\n", "line 2: not CSV (1 values below 2 columns)"),
        ("image,person\n\na.png,A,more\n", "line 3: not CSV (3 values below 2 columns)"),
        ('image,person\n"a.png,A\n', "line 2: not CSV (unexpected end of data)"),
    ],
)
def test_a_row_that_does_not_fit_its_header_is_refused_with_its_line(tmp_path, text, said):
    (tmp_path / "table.csv").write_text(text)
    with pytest.raises(TextError) as refused:
        read_table(tmp_path / "table.csv")
    assert said in str(refused.value)


def test_the_beginning_of_a_file_has_whole_lines_and_may_be_of_any_encoding(tmp_path):
    (tmp_path / "long.txt").write_text("é" * 99 + "\n" + "ü" * 4000, encoding="utf-8")
    assert first_lines(tmp_path / "long.txt") == ["é" * 99]
    (tmp_path / "old.txt").write_bytes("Zoë\r\nBo".encode("cp1252"))
    assert first_lines(tmp_path / "old.txt") == ["Zo\ufffd", "Bo"] and first_lines(tmp_path) == []


def test_json_of_any_depth_is_refused_as_a_value_error(tmp_path):
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(ValueError, match="nested too deeply"):
        read_json(tmp_path / "deep.json")
