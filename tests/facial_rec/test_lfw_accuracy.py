"""Official weights on Labeled Faces in the Wild, folds 1-8: embeddings of image and mirror image, cosine."""

import numpy as np
import pytest

from dataset.photographs.pairs import read_pairs
from dataset.photographs.seen_faces import FaceReader
from facial_rec.embedding import EdgeFaceEmbedding
from facial_rec.embedding_in_batches import embed_folder
from metrics.folds import fold_accuracy

# Published for the float models, per cent; the files are their (or a sibling's) quantised linears.
PUBLISHED = {"edgeface_xxs_q": 99.57, "edgeface_xs_q": 99.73}


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", PUBLISHED)
def test_official_weights_reach_their_published_accuracy(name, shared):
    faces = shared / "faces" / "lfw"
    pairs = read_pairs(faces / "pairs.txt")
    pairs = [pair for pair in pairs if all((faces / f"{key}.jpg").is_file() for key in pair.keys)]
    images = sorted({f"{key}.jpg" for pair in pairs for key in pair.keys})
    edgeface = EdgeFaceEmbedding(shared / "weights" / f"{name}.pt")
    embeddings, reasons = embed_folder(edgeface, faces, images, 64, True, FaceReader(prepared=True))
    assert reasons == {}
    of = dict(zip(images, embeddings, strict=True))
    scores = np.array([of[f"{pair.keys[0]}.jpg"] @ of[f"{pair.keys[1]}.jpg"] for pair in pairs])
    same, folds = np.array([pair.same for pair in pairs]), np.array([pair.fold for pair in pairs])
    accuracy = 100 * fold_accuracy(scores, same, folds).mean
    print(f"{name}: {accuracy:.3f} % on {len(pairs)} pairs")
    assert abs(accuracy - PUBLISHED[name]) <= 0.2
