"""The bad inputs, and what is typed to give them to a command."""

from dataclasses import dataclass

from benchmarks.bad_input_makers import (
    CODE,
    POINTER,
    Make,
    changed_weights,
    copied,
    damaged_images,
    half_a_list,
    half_of,
    inverted_pairs,
    keep_one,
    lacking,
    larger_version,
    lone_split,
    odd_files,
    one_each,
    only_text,
    orphan,
    other_checkpoint,
    other_network,
    strange_images,
    strangers,
    two_networks,
    unaligned,
    with_added,
    written,
)

PREPARE = "python -m dataset prepare"
TRAIN = "python -m dsr.train_dsr --preset small --batch 4 --feature 0"
TUNE = "python -m facial_rec.finetune_edgeface --batch 4 --dsr default"
EVALUATE = "python -m pipeline.evaluate_dataset --sizes 8 --bootstrap 0 --no-plots --finetuned none"
PROTOCOL = "python -m pipeline evaluate_dataset --protocol"


@dataclass(frozen=True)
class Case:
    """One bad input.

    Attributes:
        what: The input, in words.
        command: What is typed, in a folder with `photos/`, `dataset/`, `edgeface_xxs.pt` and a run in `runs/dsr`.
        make: Makes the input in that folder.
        code: The exit code that is right.
        interrupts: How many times Ctrl-C is pressed once the training has saved.
        disk: Size of the disk that stands in `full/`, e.g. "2m".
    """

    what: str
    command: str
    make: Make = lambda place: None
    code: int = 2
    interrupts: int = 0
    disk: str = ""


CASES = [
    Case("a folder of photographs that is missing", f"{PREPARE} nowhere --out new"),
    Case("a folder without images", f"{PREPARE} nothing --out new", lambda place: (place / "nothing").mkdir()),
    Case("a file that is no folder and no index", f"{PREPARE} edgeface_xxs.pt --out new"),
    Case("images without people", f"{PREPARE} photos/person_0 --out new"),
    Case("one person", f"{PREPARE} one --out new", copied("photos", "one", [0])),
    Case("people too few for three splits", f"{PREPARE} few --out new", copied("photos", "few", [0, 1, 2, 3])),
    Case("shares that leave nobody to train", f"{PREPARE} photos --out new --split 0,50,50"),
    Case(
        "a person with one image",
        f"{PREPARE} single --out single_out",
        with_added("single", keep_one),
        code=0,
    ),
    Case(
        "16-bit, CMYK, animated and EXIF-rotated images",
        f"{PREPARE} strange --out strange_out",
        with_added("strange", strange_images),
        code=0,
    ),
    Case(
        "zero-byte, truncated, text, 1-pixel, 50- and 100-megapixel images and a copy, among good ones",
        f"{PREPARE} damaged --out damaged_out",
        with_added("damaged", damaged_images),
        code=0,
    ),
    Case(
        "a link to nothing, a pipe, a link back up, HEIC and thumbnails, among good ones",
        f"{PREPARE} odd --out odd_out",
        with_added("odd", odd_files),
        code=0,
    ),
    Case("photographs in HEIC alone", f"{PREPARE} heic --out new", written("heic/ann/1.heic", b"\0\0\0\x18ftypheic")),
    Case("images of which none can be read", f"{PREPARE} only_text --out new", only_text),
    Case("a data set made with other settings", f"{PREPARE} photos --vlr-sizes 8 --split 50,25,25 --seed 1"),
    Case("a landmark list that is missing", f"{PREPARE} photos --out new --landmarks points.csv"),
    Case(
        "landmarks of a version of the pictures four times as large",
        f"{PREPARE} photos --out new --landmarks larger.csv",
        larger_version,
    ),
    Case("an upscale of a text file", "python -m dsr.upscale note.png out", written("note.png", b"hello"), code=1),
    Case("an upscale over files that are there", "python -m dsr.upscale photos/person_0 photos/person_0"),
    Case("no data set yet", f"{TRAIN} --dataset elsewhere --out runs/new"),
    Case("a split that is missing", f"{EVALUATE} --dataset-root dataset/nothing_processed"),
    Case("a VLR image without its HR", f"{EVALUATE} --dataset-root orphan", orphan),
    Case("a split with one person", f"{EVALUATE} --dataset-root lone", lone_split),
    Case(
        "a split of people with one image each",
        f"{EVALUATE} --dataset-root one_each --out new",
        one_each,
    ),
    Case(
        "a split of photographs that nobody has aligned",
        f"{EVALUATE} --dataset-root raw --out new",
        unaligned("raw", (250, 250, 250)),
    ),
    Case(
        "a split of photographs of several sizes",
        "python -m pipeline choose-threshold mixed --edgeface edgeface_xxs.pt --out new.json",
        unaligned("mixed", (112, 112, 90)),
    ),
    Case(
        "a list of pairs in which 0 means the same person",
        f"{EVALUATE} --pairs inverted.csv --out new",
        inverted_pairs,
    ),
    Case("a published test set that is missing", f"{PROTOCOL} tinyface nowhere"),
    Case("a published test set of another kind", f"{PROTOCOL} survface photos"),
    Case("a protocol that there is none of", f"{PROTOCOL} lfw photos"),
    Case("a verification set that would run a program", f"{PROTOCOL} bin code.bin", written("code.bin", CODE)),
    Case("a half of a MAT-file", f"{PROTOCOL} tinyface tiny --out new", half_a_list),
    Case("sizes for faces that are small by themselves", f"{PROTOCOL} scface photos --sizes 8"),
    Case("scores in a format that there is none of", f"{EVALUATE} --export-scores csv --out new"),
    Case("an export of pairs where there are none", "python -m dataset export dataset/val_processed pairs.bin"),
    Case("pairs of people unknown", f"{PREPARE} photos --unlabelled --pairs pairs.txt --out new"),
    Case("a training on people unknown alone", f"{TRAIN} --dataset nobody --out runs/new", strangers),
    Case("an evaluation on people unknown", f"{EVALUATE} --dataset-root nobody/train_processed --out new", strangers),
    Case("one data set under two names", f"{TRAIN} --dataset dataset --dataset ./dataset --out runs/new"),
    Case("shares for another number of data sets", f"{TUNE} --shares 1,2 --out runs/new"),
    Case("photographs to be left in a .rec", f"{PREPARE} photos --store source --out new"),
    Case(
        "another store than the one that stands there",
        f"{PREPARE} photos --vlr-sizes 8 --split 50,25,25 --store encoded",
    ),
    Case("weights that are missing", f"{TRAIN} --edgeface nothing.pt --out runs/new"),
    Case("weights that are text", f"{TRAIN} --edgeface text.pt --out runs/new", written("text.pt", b"hello\n")),
    Case("weights that are a Git LFS pointer", f"{TUNE} --edgeface lfs.pt --out runs/new", written("lfs.pt", POINTER)),
    Case("half of a weights file", f"{EVALUATE} --edgeface half.pt --out new", half_of("edgeface_xxs.pt", "half.pt")),
    Case(
        "weights of another network",
        f"{TRAIN} --edgeface resnet.pt --out runs/new",
        changed_weights("resnet.pt", other_network),
    ),
    Case(
        "weights that lack tensors",
        f"{TUNE} --edgeface lacking.pt --out runs/new",
        changed_weights("lacking.pt", lacking),
    ),
    Case("weights with two networks", "python -m facial_rec inspect two.pt", two_networks),
    Case("an ending that no format has", "python -m facial_rec convert edgeface_xxs.pt edgeface.weights"),
    Case("a pickle that would run a program", f"{EVALUATE} --edgeface code.pt --out new", written("code.pt", CODE)),
    Case("a super-resolver that is EdgeFace", f"{EVALUATE} --dsr edgeface_xxs.pt --out new"),
    Case("--threshold 2", f"{EVALUATE} --threshold 2 --out new"),
    Case("--threshold high", f"{EVALUATE} --threshold high --out new"),
    Case("--sizes 3", f"{EVALUATE} --sizes 3 --out new"),
    Case("--epochs 0", f"{TRAIN} --epochs 0 --out runs/new"),
    Case("--epochs 0", f"{TUNE} --epochs 0 --out runs/new"),
    Case("a flag with a slip", f"{TRAIN} --epoch 3 --out runs/new"),
    Case("cuda where there is none", f"{TRAIN} --device cuda --out runs/new"),
    Case("cuda where there is none", f"{TUNE} --device cuda --out runs/new"),
    Case("cuda where there is none", f"{EVALUATE} --device cuda --out new"),
    Case(
        "fine-tuning before a super-resolver is there",
        "python -m facial_rec.finetune_edgeface --dsr runs/none/best.pth",
    ),
    Case("a run with another configuration", f"{TRAIN} --epochs 1 --rate 0.5"),
    Case(
        "a resume with another architecture", "python -m dsr.train_dsr --preset base --batch 4 --feature 0 --epochs 1"
    ),
    Case("a checkpoint of another architecture", f"{TRAIN} --epochs 2 --out runs/swapped", other_checkpoint),
    Case("a full disk, training", f"{TRAIN} --epochs 2 --out full/run", disk="2m"),
    Case("a full disk, preparing", f"{PREPARE} photos --out full/dataset", disk="200k"),
    Case("a full disk, evaluating", f"{EVALUATE} --out full/report --cache full/cache", disk="100k"),
    Case("Ctrl-C", f"{TRAIN} --epochs 9999 --save-every 1 --out runs/stopped", code=130, interrupts=1),
    Case("Ctrl-C twice", f"{TRAIN} --epochs 9999 --save-every 1 --out runs/stopped_twice", code=130, interrupts=2),
    Case("a whole chain on a missing folder", "python -m pipeline run nowhere"),
]
