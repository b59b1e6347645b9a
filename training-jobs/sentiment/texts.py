"""What train.csv, validation.csv and test.csv hold."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trainkit.errors import TrainError

TRAIN, VALIDATION, TEST = (Path(f"data/{name}.csv") for name in ("train", "validation", "test"))
CLASSES = ("negative", "positive")  # label 0 and 1
COLUMNS = ["text", "label"]


@dataclass(frozen=True)
class Texts:
    texts: list[str]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.texts)


def read_frame(path: Path) -> pd.DataFrame:
    """The file as it is, all of it text; TrainError if it is missing, or no CSV in UTF-8 with our two columns."""
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    except FileNotFoundError:
        raise TrainError(f"{path} is missing: python -m trainkit fetch .") from None
    except (ValueError, OSError) as error:
        raise TrainError(f"{path} is not CSV in UTF-8: {str(error).splitlines()[0]}") from None
    if list(frame.columns) != COLUMNS:
        raise TrainError(f"{path}: columns are {list(frame.columns)}, wanted {COLUMNS}")
    return frame


def joined(*parts: Texts) -> Texts:
    texts = [text for part in parts for text in part.texts]
    return Texts(texts, np.concatenate([part.labels for part in parts]))


def read_texts(path: Path) -> Texts:
    """Texts that the stage validate has passed."""
    frame = read_frame(path)
    return Texts(frame["text"].tolist(), frame["label"].to_numpy().astype(np.int64))
