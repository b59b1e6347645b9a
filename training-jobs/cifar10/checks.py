"""What the images must be before anything learns from them: parquet files to decoded splits and findings."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from images import CLASSES, SIDE, Images, decode
from numpy.typing import NDArray

from trainkit.checks import Finding, finding
from trainkit.errors import TrainError
from trainkit.limits import Count, Share

COLUMNS = {"image": pa.binary(), "label": pa.int8(), "class": pa.string()}


@dataclass(frozen=True)
class Limits:
    """Section `validate` of params.yaml."""

    min_images_per_class: Count
    min_class_share: Share
    max_duplicate_share: Share


def read_split(path: Path) -> tuple[Images, list[Finding]]:
    """The decoded images, those that decode to nothing left grey, and what is wrong with single rows."""
    table = _table(path)
    labels = table["label"].to_numpy(zero_copy_only=False)
    pixels = np.full((len(table), SIDE, SIDE, 3), 128, np.uint8)
    broken = _decoded(table["image"].to_pylist(), pixels)
    findings = [
        finding("images", _listed(broken, "are not what the network takes")),
        finding("labels", _listed(_unknown(labels), f"have no label of 0 to {len(CLASSES) - 1}")),
        finding("class names", _listed(_misnamed(labels, table["class"].to_pylist()), "name another class")),
    ]
    return Images(pixels, np.nan_to_num(labels, nan=-1).astype(np.int64)), findings


def check_balance(images: Images, limits: Limits) -> list[Finding]:
    counts = np.array([(images.labels == at).sum() for at in range(len(CLASSES))])
    few = [f"{CLASSES[at]} has {n}" for at, n in enumerate(counts) if n < limits.min_images_per_class]
    rare = [CLASSES[at] for at, n in enumerate(counts) if n < limits.min_class_share * len(images)]
    return [
        finding("classes", _absent(counts)),
        finding(
            "images per class", f"{', '.join(few)}, {limits.min_images_per_class} asked" if few else None
        ),
        finding("balance", f"share of {', '.join(rare)} is below {limits.min_class_share}" if rare else None),
    ]


def check_copies(splits: Mapping[str, Images], limits: Limits) -> list[Finding]:
    """An image twice in a split weighs double; one in training and test makes the test easier than the world."""
    hashes = {
        name: [sha256(image.tobytes()).digest() for image in split.pixels] for name, split in splits.items()
    }
    found = []
    for name, known in hashes.items():
        share = 1 - len(set(known)) / max(len(known), 1)
        over = f"{name}: share {share:.3f} of copies is above {limits.max_duplicate_share}"
        found.append(finding("copies", over if share > limits.max_duplicate_share else None))
    shared = len(set(hashes["train"]) & set(hashes["test"]))
    return [
        *found,
        finding("split leakage", f"{shared} test images are in training too" if shared else None),
    ]


def _table(path: Path) -> pa.Table:
    try:
        table = pq.read_table(path)
    except FileNotFoundError:
        raise TrainError(f"{path} is missing: python -m trainkit fetch .") from None
    except pa.ArrowException as error:
        raise TrainError(f"{path} is not parquet: {str(error).partition(chr(10))[0]}") from None
    for name, kind in COLUMNS.items():
        found = table.schema.field(name).type if name in table.schema.names else "missing"
        if found != kind:
            raise TrainError(f"{path}: column {name} is {found}, {kind} is asked")
    if not len(table):
        raise TrainError(f"{path} has no rows: is it the right file?")
    return table


def _decoded(contents: list[bytes | None], pixels: NDArray[np.uint8]) -> list[str]:
    """Fills `pixels`; the rows that are no image, each with the reason."""
    broken = []
    for row, content in enumerate(contents):
        found = decode(content) if content else "empty"
        if isinstance(found, str):
            broken.append(f"{row + 1} ({found})")
        else:
            pixels[row] = found
    return broken


def _unknown(labels: NDArray[Any]) -> list[str]:
    return [str(row + 1) for row, label in enumerate(labels.tolist()) if label not in range(len(CLASSES))]


def _misnamed(labels: NDArray[Any], names: list[str | None]) -> list[str]:
    known = dict(enumerate(CLASSES))
    pairs = enumerate(zip(labels.tolist(), names, strict=True))
    return [f"{row + 1} ({name})" for row, (label, name) in pairs if label in known and name != known[label]]


def _listed(rows: list[str], what: str) -> str | None:
    return f"{len(rows)} rows {what}, first row {', '.join(rows[:3])}" if rows else None


def _absent(counts: NDArray[Any]) -> str | None:
    present = [CLASSES[at] for at, count in enumerate(counts) if count]
    return None if len(present) > 1 else f"only one class, {', '.join(present) or 'or none'}"
