"""A gallery keeps what it acknowledged, forgets what it removed, and touches nothing that is not its own."""

import errno
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from pipeline.recognition.gallery_store import EMBEDDING_SIZE, Gallery, GalleryError
from pipeline.recognition.sqlite_file import writing
from pipeline.recognition.template_cipher import PassphraseError

MODEL = "a" * 64

ENROL_FOREVER = f"""
import sys
from pathlib import Path
import numpy as np
from pipeline.recognition.gallery_store import Gallery
path, writer = Path(sys.argv[1]), sys.argv[2]
limit = int(sys.argv[3])
print("ready", flush=True)
with Gallery.open(path, "{MODEL}") as gallery:
    for number in range(limit):
        embedding = np.random.default_rng(number).normal(size=512).astype(np.float32)
        gallery.add(f"person {{number % 7}}", embedding / np.linalg.norm(embedding), f"{{writer}}-{{number}}", 1.0, 112)
        print(f"{{writer}}-{{number}}", flush=True)
"""

READ_FOR = f"""
import sys, time
from pathlib import Path
from pipeline.recognition.gallery_store import Gallery
until, seen = time.monotonic() + float(sys.argv[2]), 0
while time.monotonic() < until:
    with Gallery.open(Path(sys.argv[1]), "{MODEL}") as gallery:
        count = len(gallery.enrolments())
        gallery.templates()
    if count < seen:
        sys.exit("an enrolment was lost")
    seen = count
"""


def unit(seed: int) -> np.ndarray:
    vector = np.random.default_rng(seed).normal(size=EMBEDDING_SIZE).astype(np.float32)
    return vector / np.linalg.norm(vector)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    gallery = tmp_path / "people.gallery"
    Gallery.create(gallery, MODEL, 0.3)
    return gallery


def run_python(code: str, *arguments: object) -> "subprocess.Popen[str]":
    root = Path(__file__).resolve().parents[2]
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], cwd=root, stdout=subprocess.PIPE, text=True
    )


def test_people_come_back_as_the_unit_mean_of_their_photographs(path: Path) -> None:
    with Gallery.open(path, MODEL) as gallery:
        gallery.add("Zoë", unit(1), "s1", 0.9, 112)
        gallery.add("Zoë", unit(2), "s2", 0.9, 16)
        gallery.add("李雷", unit(3), "s3", 1.0, 112)
    with Gallery.open(path, MODEL) as gallery:
        people, templates = gallery.templates()
        assert gallery.threshold == 0.3
    mean = unit(1) + unit(2)
    assert people == ["Zoë", "李雷"]
    np.testing.assert_allclose(templates, [mean / np.linalg.norm(mean), unit(3)], atol=1e-6)


def test_the_same_photograph_is_enrolled_once(path: Path) -> None:
    with Gallery.open(path, MODEL) as gallery:
        assert gallery.add("Ann", unit(1), "s", 1.0, 112)
        assert not gallery.add("Ann", unit(1), "s", 1.0, 112)
        assert len(gallery.enrolments()) == 1


def test_two_spellings_of_one_name_are_one_person(path: Path) -> None:
    with Gallery.open(path, MODEL) as gallery:
        gallery.add("Zoe\u0308", unit(1), "s1", 1.0, 112)
        gallery.add("Zo\u00eb ", unit(2), "s2", 1.0, 112)
        assert gallery.templates()[0] == ["Zo\u00eb"]


@pytest.mark.parametrize("name", ["", "  ", "two\nlines", "x" * 201, "null\0"])
def test_an_unusable_name_is_refused(path: Path, name: str) -> None:
    with Gallery.open(path, MODEL) as gallery, pytest.raises(GalleryError, match="not a usable name"):
        gallery.add(name, unit(1), "s", 1.0, 112)


@pytest.mark.parametrize("embedding", [np.ones(512, np.float32), np.full(512, np.nan, np.float32), unit(0)[:128]])
def test_what_is_not_a_unit_embedding_is_refused(path: Path, embedding: np.ndarray) -> None:
    with Gallery.open(path, MODEL) as gallery, pytest.raises(GalleryError, match="not a unit vector"):
        gallery.add("Ann", embedding, "s", 1.0, 112)


def test_a_removed_person_is_gone_from_the_bytes_of_the_file(path: Path) -> None:
    with Gallery.open(path, MODEL) as gallery:
        gallery.add("Ann", unit(1), "s1", 1.0, 112)
        gallery.add("Bob", unit(2), "s2", 1.0, 112)
        assert unit(1).tobytes()[:64] in path.read_bytes()
        assert gallery.remove("Ann") == 1
        with pytest.raises(GalleryError, match="nobody called 'Ann'"):
            gallery.remove("Ann")
    files = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert unit(1).tobytes()[:64] not in files
    assert unit(1).tobytes()[-64:] not in files
    assert b"Ann" not in files
    assert unit(2).tobytes()[:64] in files


@pytest.mark.parametrize("write", ["remove", "add", "remove nobody"])
def test_no_template_is_left_in_the_bytes_of_a_deleted_journal(path: Path, write: str, tmp_path: Path) -> None:
    with Gallery.open(path, MODEL) as gallery:
        for number in range(5):
            gallery.add(f"person {number}", unit(number), f"s{number}", 1.0, 112)
    journal, kept = path.with_name(f"{path.name}-journal"), tmp_path / "kept"
    journal.write_bytes(bytes(512))
    os.link(journal, kept)  # SQLite takes the file that is there, and what is deleted can still be read
    with Gallery.open(path, MODEL) as gallery:
        if write == "add":
            gallery.add("person 9", unit(9), "s9", 1.0, 112)
        elif write == "remove":
            gallery.remove("person 4")
        else:
            with pytest.raises(GalleryError, match="nobody called"):
                gallery.remove("nobody")
        if write != "remove nobody":
            assert kept.stat().st_size > 2000 and not any(kept.read_bytes())
        assert not journal.exists()
        with Gallery.open(path, MODEL) as other:  # the lock is released
            assert other.add("person 10", unit(10), "s10", 1.0, 112)


def test_a_transaction_that_fails_changes_nothing_and_leaves_nothing(path: Path) -> None:
    with Gallery.open(path, MODEL) as gallery:
        gallery.add("Ann", unit(1), "s1", 1.0, 112)
        with pytest.raises(KeyboardInterrupt), writing(gallery._connection, path):
            gallery._connection.execute("DELETE FROM face")
            raise KeyboardInterrupt
        assert len(gallery.enrolments()) == 1
        assert os.listdir(path.parent) == [path.name]


def test_a_gallery_of_another_model_is_refused(path: Path) -> None:
    with pytest.raises(GalleryError, match="made with model aaaaaaaaaaaa, asked with bbbbbbbbbbbb"):
        Gallery.open(path, "b" * 64)


def test_creating_never_replaces_a_gallery(path: Path) -> None:
    before = path.read_bytes()
    Gallery.create(path, "b" * 64, 0.9)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_a_gallery_for_which_there_is_no_space_is_one_line(tmp_path: Path) -> None:
    code = f"""
import resource, sys
from pathlib import Path
from pipeline.recognition.gallery_store import Gallery, GalleryError
resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))
try:
    Gallery.create(Path(sys.argv[1]), "{MODEL}", 0.3)
except GalleryError as error:
    print(error)
"""
    process = run_python(code, tmp_path / "people.gallery")
    told = process.communicate()[0]
    assert process.returncode == 0
    assert told.startswith(f"{tmp_path / 'people.gallery'}: ") and "check that there is space" in told
    assert os.listdir(tmp_path) == []


@pytest.fixture
def no_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system like those of memory sticks."""

    def refuse(source: Path, target: Path) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)


def test_a_gallery_is_made_and_kept_where_there_are_no_links(tmp_path: Path, no_links: None) -> None:
    path = tmp_path / "people.gallery"
    Gallery.create(path, MODEL, 0.3)
    Gallery.create(path, "b" * 64, 0.9)
    with Gallery.open(path, MODEL) as gallery:
        assert gallery.add("Ann", unit(1), "s", 1.0, 112) and gallery.threshold == 0.3
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such rights")
@pytest.mark.parametrize("links", [True, False])
def test_only_its_owner_may_read_a_gallery(tmp_path: Path, links: bool, request: pytest.FixtureRequest) -> None:
    if not links:
        request.getfixturevalue("no_links")
    path = tmp_path / "people.gallery"
    Gallery.create(path, MODEL, 0.3)
    assert path.stat().st_mode & 0o777 == 0o600


def other_database(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE mine (x)")
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.write_bytes(b""), "empty file"),
        (lambda path: path.write_bytes(b"hello"), "not a gallery"),
        (other_database, "not a gallery"),
        (lambda path: path.write_bytes(os.urandom(9000)), "not a gallery"),
    ],
)
def test_other_files_are_refused_and_untouched(tmp_path: Path, make: object, message: str) -> None:
    path = tmp_path / "other"
    make(path)  # type: ignore[operator]
    before = path.read_bytes()
    with pytest.raises(GalleryError, match=message):
        Gallery.open(path, MODEL)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["other"]


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
def test_a_gallery_cut_short_is_refused_and_untouched(path: Path, share: float) -> None:
    with Gallery.open(path, MODEL) as gallery:
        for number in range(30):
            gallery.add(f"person {number}", unit(number), f"s{number}", 1.0, 112)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    before = path.read_bytes()
    with pytest.raises(GalleryError) as raised, Gallery.open(path, MODEL) as gallery:
        gallery.templates()
    assert "\n" not in str(raised.value)
    assert path.read_bytes() == before


def test_a_flipped_bit_in_a_template_is_an_error_and_not_another_person(path: Path) -> None:
    with Gallery.open(path, MODEL) as gallery:
        gallery.add("Ann", unit(1), "s1", 1.0, 112)
    damaged = bytearray(path.read_bytes())
    position = damaged.find(unit(1).tobytes()[:64]) + 3
    damaged[position] ^= 0x40
    path.write_bytes(damaged)
    with Gallery.open(path, MODEL) as gallery, pytest.raises(GalleryError, match="'Ann' is damaged"):
        gallery.templates()


def test_a_gallery_that_cannot_be_written_can_be_read(path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("the superuser may write every file")
    path.chmod(0o444)
    before = path.read_bytes()
    with Gallery.open(path, MODEL) as gallery:
        assert gallery.templates()[0] == []
        with pytest.raises(GalleryError, match="readonly"):
            gallery.add("Ann", unit(1), "s", 1.0, 112)
    assert path.read_bytes() == before


class TestPassphrase:
    @pytest.fixture
    def sealed(self, tmp_path: Path) -> Path:
        pytest.importorskip("cryptography")
        path = tmp_path / "sealed.gallery"
        Gallery.create(path, MODEL, 0.3, passphrase="correct horse")
        with Gallery.open(path, MODEL, "correct horse") as gallery:
            gallery.add("Ann", unit(1), "s", 1.0, 112)
        return path

    def test_opens_the_templates_and_their_bytes_are_not_in_the_file(self, sealed: Path) -> None:
        with Gallery.open(sealed, MODEL, "correct horse") as gallery:
            np.testing.assert_allclose(gallery.templates()[1], [unit(1)], atol=1e-6)
        assert unit(1).tobytes()[:16] not in sealed.read_bytes()

    @pytest.mark.parametrize(("passphrase", "message"), [(None, "is encrypted"), ("wrong", "wrong passphrase")])
    def test_is_needed_and_checked(self, sealed: Path, passphrase: str | None, message: str) -> None:
        with pytest.raises(PassphraseError, match=message):
            Gallery.open(sealed, MODEL, passphrase)

    def test_is_not_needed_to_list_or_remove(self, sealed: Path) -> None:
        with Gallery.open(sealed) as gallery:
            assert [enrolment.person for enrolment in gallery.enrolments()] == ["Ann"]
            assert gallery.remove("Ann") == 1

    def test_is_asked_for_by_what_reads_or_writes_templates(self, sealed: Path) -> None:
        with Gallery.open(sealed) as gallery:
            with pytest.raises(PassphraseError, match="is encrypted; give --passphrase-file"):
                gallery.templates()
            with pytest.raises(PassphraseError, match="is encrypted"):
                gallery.add("Bob", unit(2), "s2", 1.0, 112)
            assert [enrolment.person for enrolment in gallery.enrolments()] == ["Ann"]

    def test_is_refused_where_nothing_is_encrypted(self, path: Path) -> None:
        with pytest.raises(PassphraseError, match="not encrypted"):
            Gallery.open(path, MODEL, "needless")

    def test_a_template_moved_to_another_person_does_not_open(self, sealed: Path) -> None:
        connection = sqlite3.connect(sealed)
        connection.execute("UPDATE face SET person = 'Eve'")
        connection.commit()
        connection.close()
        with Gallery.open(sealed, MODEL, "correct horse") as gallery, pytest.raises(PassphraseError, match="'Eve'"):
            gallery.templates()


def killed_while_enrolling(path: Path, writer: str, after_seconds: float) -> list[str]:
    """Start an enrolment, kill it, and return what it had acknowledged."""
    process = run_python(ENROL_FOREVER, path, writer, 100_000)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(after_seconds)
    process.send_signal(signal.SIGKILL)
    acknowledged = [line.strip() for line in process.stdout.readlines() if line.endswith("\n")]
    process.wait()
    process.stdout.close()
    return acknowledged


def check_kills(path: Path, times: int) -> None:
    draw = random.Random(0)
    acknowledged: set[str] = set()
    for number in range(times):
        acknowledged |= set(killed_while_enrolling(path, f"w{number}", draw.uniform(0, 0.08)))
        with Gallery.open(path, MODEL) as gallery:
            sources = {enrolment.source for enrolment in gallery.enrolments()}
            gallery.templates()
        assert acknowledged <= sources
        assert len(sources - acknowledged) <= number + 1  # at most the one in flight of each kill
    while not acknowledged:  # on a busy machine every process may have died before its first answer
        acknowledged |= set(killed_while_enrolling(path, "late", 1.0))
    with Gallery.open(path, MODEL) as gallery:
        assert acknowledged <= {enrolment.source for enrolment in gallery.enrolments()}


def test_a_killed_enrolment_loses_nothing_acknowledged(path: Path) -> None:
    check_kills(path, 6)


@pytest.mark.slow
def test_200_killed_enrolments_lose_nothing_acknowledged(path: Path) -> None:
    check_kills(path, 200)


def check_concurrency(path: Path, photographs: int, seconds: float, readers: int) -> None:
    writers = [run_python(ENROL_FOREVER, path, f"w{number}", photographs) for number in range(2)]
    watching = [run_python(READ_FOR, path, seconds) for _ in range(readers)]
    acknowledged = {line for writer in writers for line in writer.communicate()[0].split("\n")[1:-1]}
    for process in watching:
        process.communicate()
    assert [process.returncode for process in [*writers, *watching]] == [0] * (2 + readers)
    with Gallery.open(path, MODEL) as gallery:
        assert {enrolment.source for enrolment in gallery.enrolments()} == acknowledged
    assert len(acknowledged) == 2 * photographs


def test_two_writers_and_two_readers_lose_nothing(path: Path) -> None:
    check_concurrency(path, photographs=60, seconds=1, readers=2)


@pytest.mark.slow
def test_two_writers_and_ten_readers_lose_nothing_in_a_minute(path: Path) -> None:
    check_concurrency(path, photographs=2500, seconds=60, readers=10)
