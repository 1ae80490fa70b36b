import numpy as np

from metrics.templates import media_templates


def naive(embeddings, template, media, weights):
    """One template after the other, one medium after the other."""
    made = []
    for number in sorted(set(template)):
        total = np.zeros(embeddings.shape[1])
        for medium in sorted(set(media[template == number])):
            rows = [
                weights[row] * embeddings[row].astype(np.float64)
                for row in np.flatnonzero((template == number) & (media == medium))
                if not np.isnan(embeddings[row, 0])
            ]
            total += np.mean(rows, axis=0) if rows else 0
        length = np.linalg.norm(total)
        made.append(total / length if length else total * np.nan)
    return np.array(made)


def test_templates_are_those_of_a_loop_over_templates_and_media():
    draw = np.random.default_rng(0)
    embeddings = draw.normal(size=(200, 16)).astype(np.float32)
    embeddings[::17] = np.nan
    template, media = draw.integers(5, 30, 200), draw.integers(0, 12, 200)
    template[:3], embeddings[:3] = 99, np.nan
    weights = draw.uniform(0.2, 1, 200).astype(np.float32)
    names, found = media_templates(embeddings, template, media, weights)
    assert names.tolist() == sorted(set(template.tolist()))
    np.testing.assert_allclose(found, naive(embeddings, template, media, weights), atol=1e-6)
    assert np.isnan(found[-1]).all()


def test_a_long_video_speaks_as_loud_as_a_still():
    still, frame = np.array([1.0, 0.0], np.float32), np.array([0.0, 1.0], np.float32)
    embeddings = np.stack([still, *[frame] * 50])
    _, found = media_templates(embeddings, np.zeros(51, int), np.array([0, *[1] * 50]))
    np.testing.assert_allclose(found[0], np.sqrt([0.5, 0.5]), atol=1e-6)
