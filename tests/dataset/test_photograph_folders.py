import os
import socket
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from dataset.photographs.image_files import ImageError, read_image
from dataset.photographs.photograph_folders import SUFFIXES, FolderError, find_photographs


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def link(root, name, target):
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).symlink_to(target)


def test_every_ending_is_that_of_a_format_that_is_read_in_any_case():
    known = Image.registered_extensions()
    assert {known[suffix] for suffix in SUFFIXES} <= {*Image.OPEN, "MPO"}  # JPEG's reader takes that one too


def test_endings_are_taken_in_any_case_and_the_others_counted(tmp_path, capsys):
    taken = ["a.JPG", "b.Jpeg", "c.jfif", "d.jpe", "e.avif", "f.webp", "g.GIF", "h.tiff", "i.jp2", "p/j.PnG"]
    touch(tmp_path, *taken, "x.heic", "y.HEIC", "notes.txt", "README", "movie.mov", "p/x.heif")
    found = find_photographs(tmp_path)
    assert found.names == taken
    assert found.passed_over == {".heic": 2, ".txt": 1, "": 1, ".mov": 1, ".heif": 1}
    found.tell()
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1
    assert f"{tmp_path}: passed over 2 .heic, " in printed.err and ".heic, .heif are not read, convert" in printed.err


def test_what_cameras_drives_and_systems_leave_is_no_photograph(tmp_path):
    left = [".DS_Store", "._a.jpg", ".thumbnails/a.jpg", "@eaDir/a.jpg/SYNOPHOTO_THUMB_XL.jpg", "Thumbs.db"]
    left += ["p/desktop.ini", "__MACOSX/p/._a.jpg", "#recycle/a.jpg", "$RECYCLE.BIN/a.jpg", "lost+found/a.jpg"]
    left += ["p/THUMBS.DB", ".@__thumb/a.jpg", "System Volume Information/x.jpg"]
    touch(tmp_path, "p/a.jpg", *left)
    found = find_photographs(tmp_path)
    assert found.names == ["p/a.jpg"] and found.problems == {}
    assert found.passed_over == {"hidden or of the system": len(left)}


def test_links_to_folders_and_files_are_followed(tmp_path):
    touch(tmp_path, "store/ann/1.jpg", "store/bo/deep/2.jpg", "store/3.jpg")
    for person in ("ann", "bo"):
        link(tmp_path, f"photos/{person}", tmp_path / "store" / person)
    link(tmp_path, "photos/cy/3.jpg", "../../store/3.jpg")
    assert find_photographs(tmp_path / "photos").names == ["ann/1.jpg", "bo/deep/2.jpg", "cy/3.jpg"]
    link(tmp_path, "all", "photos")
    assert find_photographs(tmp_path / "all").names == ["ann/1.jpg", "bo/deep/2.jpg", "cy/3.jpg"]


@pytest.mark.parametrize("target", ["..", "../..", ".", "../bo", "/", "../../photos/bo", "../ann/loop"])
def test_links_back_and_across_give_nobody_the_faces_of_another(tmp_path, target):
    touch(tmp_path, "photos/ann/1.jpg", "photos/bo/2.jpg")
    link(tmp_path, "photos/ann/loop", target)
    found = find_photographs(tmp_path / "photos")
    assert found.names == ["ann/1.jpg", "bo/2.jpg"]
    if target == "../ann/loop":  # a link to itself leads nowhere
        assert "leads nowhere" in found.problems["ann/loop"]
    else:
        assert sum(found.passed_over.values()) == 1 and found.problems == {}


def test_folders_linked_crosswise_are_each_read_once(tmp_path):
    for level in range(12):
        for side in "ab":
            link(tmp_path, f"{level}/{side}", tmp_path / str(level + 1))
    touch(tmp_path, "12/x.jpg")
    assert find_photographs(tmp_path / "0").names == ["/".join("a" * 12) + "/x.jpg"]


def test_photographs_kept_in_a_hidden_store_behind_links_are_found(tmp_path):
    touch(tmp_path, ".git/annex/objects/1.jpg")
    for name in ("ann/1.jpg", "bo/1.jpg"):
        link(tmp_path, name, "../.git/annex/objects/1.jpg")
    assert find_photographs(tmp_path).names == ["ann/1.jpg", "bo/1.jpg"]


def test_pipes_sockets_and_dead_links_named_like_photographs_are_listed_and_say_what_they_are(tmp_path):
    touch(tmp_path, "p/1.jpg")
    os.mkfifo(tmp_path / "p/pipe.jpg")
    os.mkfifo(tmp_path / "p/pipe")
    link(tmp_path, "p/dead.jpg", "nowhere.jpg")
    link(tmp_path, "p/device.png", "/dev/null")
    link(tmp_path, "p/self.png", "self.png")
    link(tmp_path, "gone", "nowhere")
    with socket.socket(socket.AF_UNIX) as ear:
        here = os.getcwd()
        os.chdir(tmp_path)  # the name of a socket may be no longer than about 100 bytes
        ear.bind("p/ear.jpg")
        os.chdir(here)
    found = find_photographs(tmp_path)
    assert found.names == [
        f"p/{name}" for name in ("1.jpg", "dead.jpg", "device.png", "ear.jpg", "pipe.jpg", "self.png")
    ]
    assert list(found.problems) == ["gone"] and found.passed_over == {"": 1}
    said = []
    for path in found.paths[1:]:
        with pytest.raises(ImageError) as caught:
            read_image(path)
        said.append(str(caught.value).removeprefix(f"{path}: "))
    nowhere = "a link that leads nowhere; mend or remove it"
    assert said == [nowhere, *(f"a {kind}, no picture; remove it" for kind in ("device", "socket", "pipe")), nowhere]


def test_a_folder_that_may_not_be_entered_is_a_problem_and_the_rest_is_found(tmp_path, monkeypatch):
    touch(tmp_path, "ann/1.jpg", "bo/2.jpg")
    scan = os.scandir

    def refusing(path):
        if os.path.basename(path) == "ann":
            raise PermissionError(13, "no", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", refusing)
    found = find_photographs(tmp_path)
    assert found.names == ["bo/2.jpg"]
    said = f"{tmp_path / 'ann'}: cannot be looked into (permission denied); allow this user to read it"
    assert found.problems == {"ann": said}


def test_names_that_are_no_text_are_problems_of_one_line(tmp_path):
    touch(tmp_path, "a/1.jpg", os.fsdecode(b"a/\xff.jpg"), os.fsdecode(b"b\xfe/2.jpg"), "a/new\nline.jpg")
    found = find_photographs(tmp_path)
    assert found.names == ["a/1.jpg", "a/new\nline.jpg"]
    assert found.problems == {
        "a/\\udcff.jpg": f"{tmp_path}/a/\\udcff.jpg: the name is not UTF-8; rename it",
        "b\\udcfe": f"{tmp_path}/b\\udcfe: the name is not UTF-8; rename it",
    }


def test_a_file_given_by_itself_is_taken_whatever_its_ending(tmp_path):
    touch(tmp_path, "scan", "folder/notes.txt")
    assert find_photographs(tmp_path / "scan").paths == [tmp_path / "scan"]
    with pytest.raises(FolderError, match=r"no images in this folder \(passed over 1 \.txt\)"):
        find_photographs(tmp_path / "folder")
    with pytest.raises(FolderError, match="no such file or folder"):
        find_photographs(tmp_path / "nothing")


def test_what_is_left_out_is_neither_found_nor_counted(tmp_path):
    touch(tmp_path, "a/1.jpg", "out/2.jpg", "sheet.png")
    link(tmp_path, "linked", "out")
    found = find_photographs(tmp_path, [tmp_path / "out", tmp_path / "sheet.png"])
    assert (found.names, dict(found.passed_over)) == (["a/1.jpg"], {})


NAMES = st.sampled_from(["a", "b.jpg", "c.PNG", "d", ".e", "f.heic", "@eaDir", "ü.webp", "new\nline.gif", "\udcff.jpg"])
PLACES = st.lists(NAMES, min_size=1, max_size=3).map("/".join)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    files=st.lists(PLACES, max_size=6),
    pipes=st.lists(PLACES, max_size=2),
    links=st.lists(st.tuples(PLACES, PLACES | st.sampled_from([".", "..", "../.."])), max_size=5),
)
def test_any_folder_gives_what_a_naive_walk_finds_and_each_photograph_once(tmp_path_factory, files, pipes, links):
    root = tmp_path_factory.mktemp("any")
    for name in files:
        make(root, name, lambda path: path.write_bytes(b"x"))
    for name in pipes:
        make(root, name, os.mkfifo)
    for name, target in links:
        make(root, name, lambda path, target=target: path.symlink_to(target))
    expected = reachable(os.path.realpath(root))
    try:
        found = find_photographs(root)
    except FolderError:
        assert not expected
        return
    assert found.names == sorted(set(found.names))
    for name in found.names:
        assert Path(name).suffix.lower() in SUFFIXES and not any(part.startswith(".") for part in Path(name).parts)
        name.encode()
        assert not (root / name).is_dir()
    places = [(os.path.realpath((root / name).parent), Path(name).name) for name in found.names]
    assert len(places) == len(set(places)) and set(places) == expected  # nothing is found by two ways
    assert all("\n" not in line for line in [*found.problems.values(), found.words()])


def make(root: Path, name: str, write) -> None:
    path = root / name
    try:
        if not Path(os.path.realpath(path.parent)).is_relative_to(os.path.realpath(root)):
            return  # behind a link that leads out
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path)
    except OSError:
        pass  # a name that another thing has already


def reachable(root: str) -> set[tuple[str, str]]:
    """Return the real folder and the name of each photograph to which folders and links lead, none of them back up."""
    found, entered, ahead = set(), set(), [root]
    while ahead:
        folder = ahead.pop()
        if folder in entered:
            continue
        entered.add(folder)
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            target = os.path.realpath(path)
            if name.startswith((".", "@")) or "\udcff" in name:
                continue
            if os.path.isdir(path):
                around = any(os.path.commonpath([target, inner]) == target for inner in (folder, root))
                ahead += [] if os.path.islink(path) and around else [target]
            elif os.path.splitext(name)[1].lower() in SUFFIXES:
                found.add((folder, name))
    return found
