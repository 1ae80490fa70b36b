import numpy as np
import pytest
import torch

from dataset.synthetic.people import synthetic_faces
from dataset.views.degrade import enlarge, shrink


def photograph(people, photos, seed=0):
    person = torch.arange(people).repeat_interleave(photos)
    return synthetic_faces(person, torch.arange(photos).repeat(people), seed)


@pytest.fixture(scope="module")
def faces():
    return photograph(24, 4)


def test_faces_are_8_bit_rgb_of_112_pixels(faces):
    assert faces.shape == (96, 3, 112, 112) and faces.dtype == torch.uint8
    assert 60 < faces.float().mean() < 190 and faces.float().std() > 40


def test_a_photograph_depends_on_its_three_numbers_alone(faces):
    alone = synthetic_faces(torch.tensor([5]), torch.tensor([2]), 0)[0]
    # Sums in another order may move a rounding by one step.
    assert (alone.int() - faces[5 * 4 + 2].int()).abs().max() <= 1
    assert torch.equal(photograph(2, 2), photograph(2, 2))
    assert (photograph(2, 2, seed=1).int() - photograph(2, 2).int()).abs().float().mean() > 10


def test_no_two_photographs_are_alike(faces):
    flat = faces.float().flatten(1)
    distances = torch.cdist(flat, flat)
    distances.fill_diagonal_(torch.inf)
    assert distances.min() > 500


def test_eyes_and_mouth_stand_on_the_template(faces):
    mean = faces.float().mean((0, 1))
    eyes, cheeks = mean[48:55, 33:44].mean(), mean[60:67, 33:44].mean()
    assert eyes < cheeks - 5
    darkest = mean[85:102, 50:63].mean(1).argmin() + 85
    assert 88 <= darkest <= 97


def test_a_recogniser_knows_the_people_in_full_resolution_and_not_at_8_pixels(shared, faces, capsys):
    from facial_rec.embedding import EdgeFaceEmbedding

    recogniser = EdgeFaceEmbedding(shared / "weights" / "edgeface_xxs_q.pt")
    same = np.equal.outer(np.arange(96) // 4, np.arange(96) // 4)
    pairs = ~np.eye(96, dtype=bool)

    def accepted_at_one_percent(probes):
        with torch.no_grad():
            scores = (recogniser(faces.float() / 255) @ recogniser(probes).T).numpy()
        return (scores[same & pairs] >= np.quantile(scores[~same], 0.99)).mean()

    full = faces.float() / 255
    assert accepted_at_one_percent(full) > 0.65
    assert accepted_at_one_percent(enlarge(shrink(full, 8))) < 0.25
