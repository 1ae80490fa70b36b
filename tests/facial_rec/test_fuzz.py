"""Damaged files by the thousand: each is refused or loads; nothing crashes, hangs or takes much memory.

EDGEFACE_FUZZ sets the number of files a container; a crash of the interpreter would end the test run itself.
"""

import json
import logging
import os
import random
import re
import struct
import time
import zipfile
from collections import Counter
from io import BytesIO
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from facial_rec.embedding import EdgeFaceEmbedding
from facial_rec.loading.refusals import WeightsError

FILES = int(os.environ.get("EDGEFACE_FUZZ", "2000"))
LONGEST_SECONDS = 10
MOST_FILES_OF_MEMORY = 3
DAMAGES = ("flip header", "flip data", "truncate", "duplicate", "rename", "reshape", "zero run", "fixed-up flip")


def rezip(data, edit):
    target = BytesIO()
    with zipfile.ZipFile(BytesIO(data)) as source, zipfile.ZipFile(target, "w") as copy:
        for entry in source.infolist():
            copy.writestr(entry.filename, edit(entry.filename, source.read(entry)))
    return target.getvalue()


def flip(data, start, end, rng):
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 4))):
        changed[rng.randrange(start, max(start + 1, end))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def damage(kind, data, state, write, rng):
    size = len(data)
    if kind == "flip header":
        near_end = rng.random() < 0.5
        return flip(data, max(0, size - 4096) if near_end else 0, size if near_end else min(4096, size), rng)
    if kind == "flip data":
        return flip(data, 0, size, rng)
    if kind == "truncate":
        return data[: rng.randrange(size)]
    if kind == "duplicate":
        cut = rng.randrange(size)
        return data[:cut] + data[max(0, cut - rng.randrange(4096)) :]
    if kind == "zero run":
        start = rng.randrange(size)
        return data[:start] + bytes(min(rng.randrange(1, 9000), size - start)) + data[start + 9000 :]
    if kind == "fixed-up flip":
        return fixed_up(data, rng)
    return write(altered(kind, state, rng))


def altered(kind, state, rng):
    names = list(state)
    first, second = rng.sample(names, 2)
    if kind == "rename":
        shuffled = {first: second, second: first} if rng.random() < 0.5 else {first: first + ".x"}
        return {shuffled.get(name, name): tensor.clone() for name, tensor in state.items()}
    reshaped = state[first].flatten()[: rng.randrange(state[first].numel() + 1)]
    return {name: reshaped.clone() if name == first else tensor for name, tensor in state.items()}


def fixed_up(data, rng):
    """Damage an entry and let the checksums fit: what an attacker, not a bad line, would do."""
    if not data.startswith(b"PK"):
        (header,) = struct.unpack("<Q", data[:8])
        return flip(data, 8, min(8 + header, len(data)), rng)
    with zipfile.ZipFile(BytesIO(data)) as archive:
        names = [name for name in archive.namelist() if name.endswith((".pkl", ".json", ".py"))]
    chosen = rng.choice(names)
    return rezip(data, lambda name, entry: flip(entry, 0, len(entry), rng) if name == chosen and entry else entry)


def as_checkpoint(state, legacy=False):
    file = BytesIO()
    torch.save(state, file, _use_new_zipfile_serialization=not legacy)
    return file.getvalue()


WRITERS = {
    "checkpoint": as_checkpoint,
    "legacy": lambda state: as_checkpoint(state, legacy=True),
    "safetensors": save,
    "torchscript": None,
    "pt2": None,
}


def resident(field):
    """Memory of this process in bytes: "VmRSS" now, "VmHWM" at its peak since `forget_peak`."""
    return 1024 * int(re.search(rf"{field}:\s+(\d+)", Path("/proc/self/status").read_text())[1])


def forget_peak():
    Path("/proc/self/clear_refs").write_text("5")


def attempt(path):
    """Return the outcome of loading a file, its CPU seconds, and by how many bytes the peak of memory grew."""
    before, started = resident("VmRSS"), time.process_time()
    forget_peak()
    try:
        EdgeFaceEmbedding(path)
        outcome = "loads"
    except WeightsError as error:
        assert "\n" not in str(error)
        outcome = type(error).__name__
    return outcome, time.process_time() - started, resident("VmHWM") - before


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="peaks of memory are read from Linux")
@pytest.mark.parametrize("container", WRITERS)
def test_damaged_files_are_refused_or_load(container, xxs, converted, tmp_path, caplog):
    caplog.set_level(logging.ERROR, "facial_rec")
    write = WRITERS[container]
    data = write(xxs) if write else converted[container].read_bytes()
    kinds = [kind for kind in DAMAGES if write or kind not in ("rename", "reshape")]
    rng, outcomes = random.Random(0), Counter()
    slowest, largest = 0.0, 0
    path = tmp_path / "damaged"
    path.write_bytes(data)
    for _ in range(3):  # what torch allocates on first use is not the file's
        assert attempt(path)[0] == "loads"
    for number in range(FILES):
        kind = kinds[number % len(kinds)]
        path.write_bytes(damage(kind, data, xxs, write, rng))
        outcome, seconds, grown = attempt(path)
        outcomes[kind, outcome] += 1
        slowest, largest = max(slowest, seconds), max(largest, grown)
    print(container, json.dumps({" / ".join(key): count for key, count in sorted(outcomes.items())}))
    print(f"slowest {slowest:.2f} s of CPU; memory at most {largest / len(data):.2f} files of {len(data):,} bytes")
    assert sum(outcomes.values()) == FILES and slowest < LONGEST_SECONDS
    assert largest < MOST_FILES_OF_MEMORY * len(data)
