import pytest
import torch
from torch.nn import functional as F

from dataset.views.degrade import enlarge
from pipeline.recognition.torch_recognizer import Recognizer


def colour_sensitive(faces):
    """Embed by channel and place, so that a swap of channels or a mirror image shows."""
    return F.normalize(F.adaptive_avg_pool2d(faces, 4).flatten(1) * torch.arange(1, 49), dim=1)


def test_embeddings_are_unit_and_do_not_depend_on_the_batch():
    """A peer skips the channel swap of its last batch: a face must embed alike wherever it stands."""
    faces = torch.rand(7, 3, 16, 16)
    recogniser = Recognizer(colour_sensitive)
    whole = recogniser.embed(faces)
    parts = torch.cat([recogniser.embed(part) for part in faces.split(3)])
    torch.testing.assert_close(whole, parts)
    torch.testing.assert_close(whole.norm(dim=1), torch.ones(7))
    assert (whole - recogniser.embed(faces.flip(1))).abs().max() > 0.01


def test_flip_adds_the_mirror_image_and_normalises():
    faces = torch.rand(2, 3, 112, 112)
    single = [colour_sensitive(view) for view in (faces, faces.flip(-1))]
    torch.testing.assert_close(Recognizer(colour_sensitive).embed(faces), F.normalize(single[0] + single[1], dim=1))
    torch.testing.assert_close(Recognizer(colour_sensitive, flip=False).embed(faces), single[0])


@pytest.mark.parametrize(("size", "restored"), [(8, True), (32, True), (33, False), (112, False), (200, False)])
def test_only_faces_up_to_32_pixels_are_restored(size, restored):
    seen = []

    def dsr(canvas):
        seen.append(canvas.shape)
        return canvas

    faces = torch.rand(2, 3, size, size)
    Recognizer(colour_sensitive, dsr, flip=False).embed(faces)
    assert seen == ([(2, 3, 112, 112)] if restored else [])


def test_the_controls_enlarge_in_their_own_ways():
    faces = torch.rand(1, 3, 12, 12)
    views = {
        how: Recognizer(colour_sensitive, None, False, how).views(faces)[0]
        for how in ("bicubic", "nearest", "bilinear")
    }
    torch.testing.assert_close(views["bicubic"], enlarge(faces))
    torch.testing.assert_close(views["nearest"], F.interpolate(faces, (112, 112), mode="nearest"))
    torch.testing.assert_close(
        views["bilinear"], F.interpolate(faces, (112, 112), mode="bilinear", align_corners=False)
    )
