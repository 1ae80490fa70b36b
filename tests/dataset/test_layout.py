import pytest

from dataset.photographs.layout import (
    Face,
    LayoutError,
    hr_faces,
    identify,
    list_images,
    read_index,
    split_folder,
    vlr_images,
)
from dataset.photographs.photograph_folders import FolderError
from engine.text import TextError


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def test_images_are_listed_sorted_without_hidden_and_other_files(tmp_path):
    touch(tmp_path, "b/2.PNG", "b/1.jpg", "a/x y,z.webp", "a/notes.txt", ".cache/1.png", "a/.hidden.png", "Zoë/é.png")
    assert list_images(tmp_path) == ["Zoë/é.png", "a/x y,z.webp", "b/1.jpg", "b/2.PNG"]


def test_a_missing_or_empty_folder_is_refused(tmp_path):
    with pytest.raises(LayoutError, match="no such folder"):
        list_images(tmp_path / "nowhere")
    with pytest.raises(FolderError, match="no images"):
        list_images(tmp_path)


def test_a_person_comes_from_the_index_else_the_sub_folder_else_the_pattern(tmp_path):
    touch(tmp_path, "hr_images/p/1.png")
    assert hr_faces(tmp_path) == ([Face("p/1.png", "p")], "name of the sub-folder")
    (tmp_path / "index.csv").write_text("image,person\np/1.png,Someone\n")
    faces, rule = hr_faces(tmp_path)
    assert faces == [Face("p/1.png", "Someone")] and rule.startswith("index")
    images = ["ann_lee_1.png", "bo_22.png"]
    assert [face.person for face in identify(tmp_path, images, r"(.+)_\d+")[0]] == ["ann_lee", "bo"]
    assert [face.person for face in identify(tmp_path, images, "[a-z]+")[0]] == ["ann", "bo"]


@pytest.mark.parametrize(
    ("pattern", "said"), [(None, "--identity-pattern"), ("(", "not a regular"), ("x", "no person")]
)
def test_flat_files_without_a_working_pattern_are_refused(tmp_path, pattern, said):
    with pytest.raises(LayoutError, match=said):
        identify(tmp_path, ["a_1.png"], pattern)


def test_a_pattern_that_would_be_ignored_is_refused(tmp_path):
    with pytest.raises(LayoutError, match="leave the pattern out"):
        identify(tmp_path, ["2019/a_1.png", "2020/a_2.png"], r"(.+)_\d+")


def test_files_beside_folders_of_people_are_refused(tmp_path):
    with pytest.raises(LayoutError, match=r"1 images lie beside .*stray\.png"):
        identify(tmp_path, ["a/1.png", "stray.png"], None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("image,person\n", "no lines"),
        ("file,who\na.png,A\n", "line 2: expected the columns"),
        ("image,person\na.png,\n", "line 2"),
        ("image,person\na.png,A,more\n", "line 2"),
        ("image,person,age\na.png,A\n", "line 2"),
        ("image,person\na.png,A\na.png,A\n", "line 3: a.png is named twice"),
        ("image,person\nb.png,A\n", "does not exist"),
        (b"image,person\n\xff.png,A\n", "line 2: not UTF-8 text"),
    ],
)
def test_a_damaged_index_is_refused_with_its_line(tmp_path, text, said):
    touch(tmp_path, "a.png")
    path = tmp_path / "index.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises((LayoutError, TextError), match=said):
        read_index(path, tmp_path)


def test_low_resolution_images_are_found_by_size_and_as_photographs(tmp_path):
    touch(
        tmp_path, "hr_images/p/a.b.png", "vlr_images/16px/p/a.b.png", "vlr_images/8px/p/a.b.jpg", "vlr_images/p/a.b.png"
    )
    found = vlr_images(tmp_path, [Face("p/a.b.png", "p")])
    assert {size: list(images) for size, images in found.items()} == {16: ["p/a.b"], 8: ["p/a.b"], None: ["p/a.b"]}
    assert found[8]["p/a.b"] == tmp_path / "vlr_images/8px/p/a.b.jpg"


def test_a_low_resolution_image_without_its_hr_face_is_refused(tmp_path):
    touch(tmp_path, "vlr_images/16px/p/z.png")
    with pytest.raises(LayoutError, match="no hr_images/p/z to compare"):
        vlr_images(tmp_path, [Face("p/a.png", "p")])
    assert vlr_images(tmp_path / "other", []) == {}
    assert split_folder(tmp_path, "val") == tmp_path / "val_processed"
