"""What the job learns from: 32x32 RGB images of ten classes, as files of data/ and decoded."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from trainkit.errors import TrainError

FILES = {"train": Path("data/train.parquet"), "test": Path("data/test.parquet")}
PIXELS = Path("work/pixels.npz")
SIDE = 32
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_BROKEN = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


@dataclass(frozen=True)
class Images:
    """`pixels` is uint8 [n,32,32,3], RGB; `labels` is int64 [n], places in CLASSES."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: slice) -> "Images":
        return Images(self.pixels[rows], self.labels[rows])


def decode(content: bytes) -> NDArray[np.uint8] | str:
    """uint8 [32,32,3], or why it is none."""
    try:
        with Image.open(io.BytesIO(content), formats=("JPEG", "PNG")) as image:
            if image.size != (SIDE, SIDE) or image.mode != "RGB":
                return f"{image.width}x{image.height} {image.mode} instead of {SIDE}x{SIDE} RGB"
            return np.asarray(image)
    except _BROKEN as error:
        return f"not an image ({str(error).partition(chr(10))[0][:80]})"


def save_images(splits: dict[str, Images]) -> None:
    PIXELS.parent.mkdir(exist_ok=True)
    arrays: dict[str, Any] = {}
    for name, split in splits.items():
        arrays |= {f"{name}_pixels": split.pixels, f"{name}_labels": split.labels}
    draft = PIXELS.with_name("pixels.part.npz")
    np.savez(draft, **arrays)
    draft.replace(PIXELS)


def load_images(split: str) -> Images:
    """`split` is train or test."""
    try:
        with np.load(PIXELS, allow_pickle=False) as found:
            return Images(found[f"{split}_pixels"], found[f"{split}_labels"])
    except FileNotFoundError:
        raise TrainError(f"{PIXELS} is missing: run the stage validate first (dvc repro)") from None
