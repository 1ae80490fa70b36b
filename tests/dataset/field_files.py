"""Writes files as the field passes them on, from their published descriptions and without the readers under test."""

import io
import json
import pickle
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

MAGIC = struct.pack("<I", 0xCED7230A)


def encoded(seed, size=(112, 112), kind="PNG"):
    """A face-like picture as the bytes of a file."""
    coarse = np.random.default_rng(seed).integers(0, 256, (7, 7, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(file, kind)
    return file.getvalue()


def pictures(people=6, photos=3, **how):
    """(person's number, bytes) of every picture, in order."""
    return [(person, encoded(100 * person + photo, **how)) for person in range(people) for photo in range(photos)]


def record(content):
    """One RecordIO record, in parts where an aligned magic number stands in it (dmlc-core, recordio.h)."""
    parts, first = [], 0
    for at in range(0, len(content) // 4 * 4, 4):
        if content[at : at + 4] == MAGIC:
            parts.append(content[first:at])
            first = at + 4
    parts.append(content[first:])
    kinds = [0] if len(parts) == 1 else [1, *[2] * (len(parts) - 2), 3]
    return b"".join(
        MAGIC + struct.pack("<I", kind << 29 | len(part)) + part + b"\0" * (-len(part) % 4)
        for kind, part in zip(kinds, parts, strict=True)
    )


def labelled(labels, image, key=0):
    """A record's content (MXNet, image_recordio.h): one number as label, or several behind the header."""
    if isinstance(labels, (int, float)):
        return struct.pack("<IfQQ", 0, labels, key, 0) + image
    return struct.pack(f"<IfQQ{len(labels)}f", len(labels), 0, key, 0, *labels) + image


def write_recordio(path, contents, index=True, people=None):
    """Write records; `index` writes the .idx."""
    data, lines = b"", []
    for key, content in enumerate(contents):
        lines.append(f"{key}\t{len(data)}\n")
        data += record(content)
    path.write_bytes(data)
    if index:
        path.with_suffix(".idx").write_text("".join(lines))
    if people is not None:
        path.with_name("property").write_text(f"{people},112,112")
    return path


def insightface_contents(faces):
    """Contents as InsightFace writes them: a header, the images, then a record of keys for each person."""
    keys = {person: [key for key, (each, _) in enumerate(faces, 1) if each == person] for person, _ in faces}
    end = len(faces) + 1
    return [
        labelled((end, end + len(keys)), b""),
        *(labelled((person, 0), image, key) for key, (person, image) in enumerate(faces, 1)),
        *(labelled((rows[0], rows[-1] + 1), b"") for rows in keys.values()),
    ]


def write_bin(path, pairs, protocol=4, arrays=True):
    """Write a verification set of (first, second, same)."""
    images = [image for first, second, _ in pairs for image in (first, second)]
    if arrays:
        images = [np.frombuffer(image, np.uint8) for image in images]
    path.write_bytes(pickle.dumps((images, [same for *_, same in pairs]), protocol))
    return path


def write_tar(path, files, mode="w"):
    """Write (name, bytes) into a tar archive."""
    with tarfile.open(path, mode) as archive:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def write_zip(path, files):
    """Write (name, bytes) into a zip archive."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files:
            archive.writestr(name, data)
    return path


def samples(faces):
    """Files of a WebDataset shard: KEY.png with the person in KEY.cls or KEY.json."""
    for number, (person, image) in enumerate(faces):
        yield f"{number:06d}.png", image
        if number % 2:
            yield f"{number:06d}.cls", str(person).encode()
        else:
            yield f"{number:06d}.json", json.dumps({"label": person, "caption": "a face"}).encode()


def write_parquet(path, faces, names=None, bare=False, group=4):
    """Write images and labels as hubs do; `names` stand in the schema."""
    import pyarrow
    from pyarrow import parquet

    data = [image for _, image in faces]
    column = data if bare else [{"bytes": image, "path": None} for image in data]
    kind = pyarrow.binary() if bare else pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    table = pyarrow.table({"image": pyarrow.array(column, kind), "label": [person for person, _ in faces]})
    if names:
        features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    parquet.write_table(table, path, row_group_size=group, write_page_checksum=True)
    return path


def write_folder(root: Path, faces, name="{person:07d}/{number:03d}.png"):
    """Write a folder of people's folders; return the names."""
    names = []
    for number, (person, image) in enumerate(faces):
        names.append(name.format(person=person, number=number))
        path = root / names[-1]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image)
    return names
