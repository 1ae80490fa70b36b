"""The input sizes of an evaluation, as `--sizes` names them."""

from dataset.photographs.layout import VLR_FOLDER
from pipeline.evaluation.faces import NATIVE_PX, EvaluationDataError, Split, refuse_few


def listed_sizes(text: str) -> set[int]:
    """Read the numbers of `--sizes`.

    Raises:
        EvaluationDataError: Not numbers from 6 to 64.
    """
    try:
        sizes = {int(size) for size in text.split(",") if size.strip()}
    except ValueError:
        sizes = set()
    if not sizes or min(sizes) < 6 or max(sizes) > 64:
        raise EvaluationDataError(f"--sizes {text}: give whole numbers from 6 to 64 joined by commas, such as 8,16,32")
    return sizes


def parse_sizes(text: str, split: Split) -> tuple[int, ...]:
    """Read `--sizes`, and take photographs of any low resolution along where the split has them.

    Raises:
        EvaluationDataError: Not numbers from 6 to 64; or too few such photographs to compare.
    """
    sizes = listed_sizes(text)
    if NATIVE_PX in split.vlr_files:
        refuse_few(split.root / VLR_FOLDER, split.person[split.rows_at(NATIVE_PX)])
        sizes.add(NATIVE_PX)
    return tuple(sorted(sizes))
