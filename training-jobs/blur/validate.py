"""Refuse photographs that the model must not learn from, or be judged on."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from photographs import CLASSES, TEST, TRAIN, Photographs, features, read_photographs

from trainkit.documents import write_json
from trainkit.errors import TrainError
from trainkit.limits import Count, Share
from trainkit.params import read_params
from trainkit.stage import REPORT, run_stage


@dataclass(frozen=True)
class Limits:
    min_images_per_class: Count
    min_class_share: Share


def validate() -> str:
    limits = read_params("validate", Limits)
    splits = {path.name: read_photographs(path) for path in (TRAIN, TEST)}
    problems = [text for name, split in splits.items() for text in _split(name, split, limits)]
    problems += _leakage(*splits.values())
    write_json(
        REPORT, {"passed": not problems, "problems": problems, "rows": {n: len(s) for n, s in splits.items()}}
    )
    if problems:
        raise TrainError(f"the photographs fail {len(problems)} checks: {'; '.join(problems)}")
    return ", ".join(f"{name} {len(split)} images" for name, split in splits.items()) + ", every check passed"


def _split(name: str, split: Photographs, limits: Limits) -> Iterator[str]:
    unknown = np.flatnonzero(~np.isin(split.labels, range(len(CLASSES))))
    if len(unknown):
        yield f"{name}: label of row {unknown[0] + 1} is {split.labels[unknown[0]]}, wanted 0 (sharp) or 1 (blurred)"
        return
    counts = np.bincount(split.labels, minlength=len(CLASSES))
    if not counts.all():
        yield f"{name}: only one class, {CLASSES[int(counts.argmax())]}"
    elif counts.min() < limits.min_images_per_class:
        yield f"{name}: {counts.min()} images of a class, at least {limits.min_images_per_class} are needed"
    elif counts.min() / len(split) < limits.min_class_share:
        yield f"{name}: the share {counts.min() / len(split):.3f} of a class is below {limits.min_class_share}"
    if copies := len(split) - len(set(split.images)):
        yield f"{name}: {copies} images are there twice"
    if not np.isfinite(features(split, name)).all():
        yield f"{name}: an image has features that are not finite"


def _leakage(train: Photographs, test: Photographs) -> Iterator[str]:
    if shared := np.intersect1d(train.scenes, test.scenes).tolist():
        yield f"{len(shared)} scenes are in both splits, first scene {shared[0]}"
    if same := len(set(train.images) & set(test.images)):
        yield f"{same} images are in both splits"


if __name__ == "__main__":
    run_stage(validate)
