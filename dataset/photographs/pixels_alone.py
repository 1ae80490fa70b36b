"""What stands beside the pixels of a PNG, JPEG or WebP file, taken away: a damaged note is no reason to lose a picture.

Kept is what the pixels need, and Exif, which holds the orientation; whoever reads that may find it damaged as well.
"""

import struct
import zlib

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_NEEDED = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"eXIf"})
_WEBP_NEEDED = frozenset({b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"EXIF"})
_WEBP_ALPHA_AND_EXIF = 0x18
_JPEG_EXIF, _JPEG_JFIF, _JPEG_ADOBE, _JPEG_COMMENT, _JPEG_SCAN = 0xE1, 0xE0, 0xEE, 0xFE, 0xDA
_JPEG_NOTES = frozenset({*range(0xE0, 0xF0), _JPEG_COMMENT})


def pixels_alone(data: bytes) -> bytes | None:
    """Return the same file without what its pixels do not need; None where it is of another format or breaks off.

    Args:
        data: A whole image file.
    """
    try:
        if data.startswith(_PNG):
            return _png(data)
        if data.startswith(b"\xff\xd8"):
            return _jpeg(data)
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _webp(data)
    except (struct.error, IndexError):
        pass
    return None


def _png(data: bytes) -> bytes:
    kept, at = [_PNG], len(_PNG)
    while at < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        name, end = data[at + 4 : at + 8], at + 8 + size
        whole = name != b"eXIf" or struct.unpack_from(">I", data, end)[0] == zlib.crc32(data[at + 4 : end])
        if name in _PNG_NEEDED and whole:
            kept.append(data[at : end + 4])
        at = end + 4
    return b"".join(kept)


def _jpeg(data: bytes) -> bytes:
    kept, at = [data[:2]], 2
    while (marker := data[at + 1]) != _JPEG_SCAN:
        if marker == 0xFF:  # any number of them may stand before a marker
            at += 1
            continue
        end = at + 2 + struct.unpack_from(">H", data, at + 2)[0]
        if marker not in _JPEG_NOTES or _needed(marker, data[at + 4 : end]):
            kept.append(data[at:end])
        at = end
    return b"".join([*kept, data[at:]])


def _needed(marker: int, note: bytes) -> bool:
    """Whether a note says how colours are coded, or which way is up."""
    colours = {_JPEG_JFIF: (b"JFIF\0", 14), _JPEG_ADOBE: (b"Adobe", 12), _JPEG_EXIF: (b"Exif\0\0", 6)}
    start, least = colours.get(marker, (b"", len(note) + 1))
    return len(note) >= least and note.startswith(start)


def _webp(data: bytes) -> bytes:
    kept, at = [b"WEBP"], 12
    while at < len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        chunk = data[at : at + 8 + size + size % 2]
        if name == b"VP8X":
            chunk = chunk[:8] + bytes([chunk[8] & _WEBP_ALPHA_AND_EXIF]) + chunk[9:]
        if name in _WEBP_NEEDED:
            kept.append(chunk)
        at += len(chunk)
    body = b"".join(kept)
    return b"RIFF" + struct.pack("<I", len(body)) + body
