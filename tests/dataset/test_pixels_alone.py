"""What stands beside the pixels may be anything: the picture stays the same."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from dataset.photographs.image_files import ImageError, decode_image

RAMP = np.add.outer(np.arange(40), np.arange(60))[..., None] * np.array([2, 1, 1.5])
PICTURE = RAMP.clip(0, 255).astype(np.uint8)
NOTES = st.one_of(
    st.binary(max_size=300),
    st.sampled_from(
        [
            b"key\0\0" + zlib.compress(bytes(1000)),
            b"ICC_PROFILE\0\1\1" + b"x" * 10,
            b"MPF\0MM\0*\0\0\0\x08\0\1",
            b"Photoshop 3.0\x008BIM\x04\x04\0\0\xff\xff\xff\xff",
            b"Exif\0\0MM\0*\xff\xff\xff\xff",
            b"MM\0*" + b"\xff" * 40,
            b"Adobe",
            b"JFIF\0",
        ]
    ),
)
CHUNKS = b"tEXt zTXt iTXt iCCP gAMA cHRM sRGB pHYs tIME eXIf bKGD sBIT hIST sPLT acTL fcTL fdAT caNv abCd".split()


def encoded(suffix: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(PICTURE).save(file, suffix, **options)
    return file.getvalue()


PNG, JPEG, WEBP = encoded("PNG"), encoded("JPEG", quality=95), encoded("WEBP", lossless=True)


def png_with(name: bytes, note: bytes, whole: bool = True, late: bool = False) -> bytes:
    at = len(PNG) - 12 if late else 33
    crc = zlib.crc32(name + note) ^ (not whole)
    return PNG[:at] + struct.pack(">I", len(note)) + name + note + struct.pack(">I", crc) + PNG[at:]


def jpeg_with(marker: int, note: bytes) -> bytes:
    return JPEG[:2] + bytes([0xFF, marker]) + struct.pack(">H", len(note) + 2) + note + JPEG[2:]


def webp_with(name: bytes, note: bytes, flags: int) -> bytes:
    canvas = bytes([flags, 0, 0, 0]) + struct.pack("<I", 59)[:3] + struct.pack("<I", 39)[:3]
    extra = name + struct.pack("<I", len(note)) + note + bytes(len(note) % 2)
    body = b"WEBP" + b"VP8X" + struct.pack("<I", len(canvas)) + canvas + WEBP[12:] + extra
    return b"RIFF" + struct.pack("<I", len(body)) + body


@settings(max_examples=300)
@given(st.sampled_from(CHUNKS), NOTES, st.booleans(), st.booleans())
@example(b"zTXt", b"key\0\0" + zlib.compress(bytes(80_000_000)), True, False)
def test_a_png_keeps_its_pixels_whatever_stands_beside_them(name, note, whole, late):
    assert np.array_equal(decode_image(png_with(name, note, whole, late), "x.png"), PICTURE)


@settings(max_examples=200)
@given(st.sampled_from([*range(0xE0, 0xF0), 0xFE]), NOTES)
def test_a_jpeg_keeps_its_pixels_whatever_stands_beside_them(marker, note):
    assert np.array_equal(decode_image(jpeg_with(marker, note), "x.jpg"), decode_image(JPEG, "x.jpg"))


@settings(max_examples=200)
@given(st.sampled_from([(b"EXIF", 8), (b"XMP ", 4), (b"ICCP", 32), (b"ANIM", 2), (b"ANMF", 2), (b"junk", 0)]), NOTES)
def test_a_webp_keeps_its_pixels_whatever_stands_beside_them(chunk, note):
    assert np.array_equal(decode_image(webp_with(chunk[0], note, chunk[1]), "x.webp"), PICTURE)


def phone_exif(orientation: int) -> bytes:
    """Exif as a phone writes it: the orientation, and a sub-folder with the signed rational -2/0."""
    start = struct.pack(">2sHIH", b"MM", 42, 8, 2)
    start += struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0) + struct.pack(">HHII", 0x8769, 4, 1, 38) + bytes(4)
    folder = struct.pack(">HHHIIi", 1, 0x9204, 10, 1, 56, 0)
    return b"Exif\0\0" + start + folder + struct.pack(">ii", -2, 0)


@pytest.mark.parametrize(
    ("orientation", "upright"),
    [(3, PICTURE[::-1, ::-1]), (6, PICTURE.swapaxes(0, 1)[:, ::-1]), (8, PICTURE.swapaxes(0, 1)[::-1])],
)
@pytest.mark.parametrize("junk", [b"", b"beside it"])
def test_the_orientation_is_used_beside_values_that_cannot_be_written(orientation, upright, junk):
    exif = phone_exif(orientation)
    jpeg = jpeg_with(0xE1, exif)
    assert np.abs(decode_image(jpeg, "x.jpg").astype(int) - upright).max() < 30
    assert np.array_equal(decode_image(webp_with(b"EXIF", exif[6:], 8), "x.webp"), upright)
    turned = png_with(b"eXIf", exif[6:])
    note = struct.pack(">I", len(junk)) + b"zTXt" + junk + struct.pack(">I", zlib.crc32(b"zTXt" + junk))
    assert np.array_equal(decode_image(turned[:33] + note + turned[33:], "x.png"), upright)


@pytest.mark.parametrize("data", [PNG, JPEG, WEBP], ids=["png", "jpg", "webp"])
def test_damaged_pixels_are_damaged_with_and_without_what_stands_beside_them(data):
    with pytest.raises(ImageError, match="damaged image"):
        decode_image(data[: len(data) - 60], "x")
