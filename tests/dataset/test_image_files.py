import numpy as np
import pytest
from PIL import Image

from dataset.photographs.image_files import ImageError, read_image, write_png

RED = (200, 30, 40)


def save(path, size=(6, 4), mode="RGB", colour=RED, **options):
    Image.new(mode, size, colour).save(path, **options)
    return path


def test_a_written_png_reads_back_exactly(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (7, 5, 3), np.uint8)
    write_png(tmp_path / "ä b,c.png", image)
    assert np.array_equal(read_image(tmp_path / "ä b,c.png"), image)
    assert [each.name for each in tmp_path.iterdir()] == ["ä b,c.png"]


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("L", 90, (90, 90, 90)),
        ("1", 1, (255, 255, 255)),
        ("LA", (100, 255), (100, 100, 100)),
        ("RGBA", (*RED, 255), RED),
        ("RGBA", (*RED, 0), (0, 0, 0)),
        ("I;16", 0x8000, (128, 128, 128)),
        ("I;16", 200, (0, 0, 0)),
    ],
)
def test_other_colour_modes_become_rgb(tmp_path, mode, colour, expected):
    image = read_image(save(tmp_path / "image.png", mode=mode, colour=colour))
    assert image.shape == (4, 6, 3) and image.dtype == np.uint8
    assert tuple(image[0, 0]) == expected


def test_a_palette_with_a_transparent_colour_is_laid_on_black(tmp_path):
    palette = Image.new("P", (2, 1))
    palette.putpalette([*RED, 10, 20, 30])
    palette.putpixel((1, 0), 1)
    palette.save(tmp_path / "p.png", transparency=1)
    assert read_image(tmp_path / "p.png").tolist() == [[list(RED), [0, 0, 0]]]


def test_cmyk_and_float_pictures_are_converted(tmp_path):
    cmyk = read_image(save(tmp_path / "c.jpg", mode="CMYK", colour=(0, 255, 255, 0)))
    assert np.abs(cmyk[0, 0].astype(int) - (255, 0, 0)).max() < 6
    floats = read_image(save(tmp_path / "f.tif", mode="F", colour=0.5))
    assert tuple(floats[0, 0]) == (127, 127, 127)


def test_the_exif_orientation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    assert read_image(save(tmp_path / "e.jpg", exif=exif)).shape == (6, 4, 3)


def test_the_first_frame_of_an_animation_is_taken(tmp_path):
    frames = [Image.new("RGB", (5, 5), RED), Image.new("RGB", (5, 5), (0, 0, 255))]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert np.abs(read_image(tmp_path / "a.gif")[2, 2].astype(int) - RED).max() < 4


def test_one_pixel_is_an_image(tmp_path):
    assert read_image(save(tmp_path / "1.png", size=(1, 1))).shape == (1, 1, 3)


def test_50_megapixels_are_read_and_100_refused(tmp_path):
    assert read_image(save(tmp_path / "50.png", size=(8000, 6250), mode="1", colour=0)).shape == (6250, 8000, 3)
    for side in (10_000, 20_000):
        large = save(tmp_path / f"{side}.png", size=(side, side), mode="1", colour=0)
        with pytest.raises(ImageError, match="larger than 89 megapixels"):
            read_image(large)


@pytest.mark.parametrize(("data", "reason"), [(b"", "0 bytes"), (b"hello", "not an image"), (None, "no such image")])
def test_what_is_no_image_is_refused_in_one_line(tmp_path, data, reason):
    path = tmp_path / "x.png"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(ImageError, match=reason) as caught:
        read_image(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "webp", "tif", "bmp"])
def test_an_image_cut_or_damaged_anywhere_is_refused_or_reads(tmp_path, suffix):
    random = np.random.default_rng(0)
    path = tmp_path / f"x.{suffix}"
    Image.fromarray(random.integers(0, 256, (40, 40, 3), np.uint8)).save(path)
    data = path.read_bytes()
    refused = 0
    for _ in range(60):
        broken = bytearray(data[: random.integers(1, len(data))])
        if random.random() < 0.5:
            broken = bytearray(data)
            broken[random.integers(0, min(len(data), 400))] ^= 1 << random.integers(0, 8)
        path.write_bytes(broken)
        try:
            assert read_image(path).dtype == np.uint8
        except ImageError:
            refused += 1
    assert refused > 10
