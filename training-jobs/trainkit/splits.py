"""Who is trained on and who is tested on: stratified, seeded, never the same row on both sides."""

import numpy as np
from numpy.typing import NDArray

from trainkit.errors import TrainError
from trainkit.table import Table

Rows = NDArray[np.intp]
Fold = tuple[Rows, Rows]


def stratified_folds(table: Table, folds: int, seed: int) -> list[Fold]:
    """`folds` pairs (train rows, test rows); each class is spread evenly, each row is tested once."""
    random = np.random.default_rng(seed)
    home = np.empty(len(table), dtype=np.intp)
    for name in np.unique(table.labels):
        members = random.permutation(np.flatnonzero(table.labels == name))
        home[members] = np.arange(len(members)) % folds
    return [(np.flatnonzero(home != fold), np.flatnonzero(home == fold)) for fold in range(folds)]


def check_folds(folds: int, most: int) -> None:
    """`most`: rows of the smallest class, or groups; TrainError unless each fold gets one."""
    if not 2 <= folds <= most:
        raise TrainError(f"params.yaml: evaluate.folds is {folds}; write 2 to {most}")


def repeated_folds(table: Table, folds: int, repeats: int, seed: int) -> list[list[Fold]]:
    """`repeats` independent splits: the mean over them depends little on how rows happened to fall."""
    known = table.labels[table.labels != ""]  # the others are the data's fault, and said by its checks
    check_folds(folds, int(np.unique(known, return_counts=True)[1].min(initial=len(table))))
    return [stratified_folds(table, folds, seed + repeat) for repeat in range(repeats)]


def leaked_rows(table: Table, split: list[Fold]) -> int:
    """How many test rows of a split are also, feature for feature, training rows of the same fold."""
    _, kind = np.unique(table.features, axis=0, return_inverse=True)
    kinds = kind.reshape(-1)
    return int(sum(np.isin(kinds[test], kinds[train]).sum() for train, test in split))
