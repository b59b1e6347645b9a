"""What the training data and the answers on it were, from `reference.json`, and where calls hold the same."""

import logging
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from v2serve.contract import Contract, TensorSpec
from v2serve.tensors import Array

REFERENCE = "reference.json"
_log = logging.getLogger("v2serve")
_MOST_FEATURES = 256  # 13 series each: more would be no metric but a data set
_MOST_CLASSES = 1000
_MOST_OUTPUTS = 16
_ROUNDED = 0.01  # shares may add up to so much more or less than 1
_BOOLEANS = {"false", "true"}
_NUMBERS = frozenset(("FP16", "FP32", "FP64"))


class FeatureReference(msgspec.Struct, frozen=True):
    """Bin i holds quantiles[i-1] < value <= quantiles[i]; `shares` has one more, for above the last."""

    name: str
    min: float
    max: float
    quantiles: tuple[float, ...]
    shares: tuple[float, ...]


class Predictions(msgspec.Struct, frozen=True):
    """What the artifact answered on reference rows: the shares of its classes, and of a few outputs what numbers."""

    classes: dict[str, float] = {}
    outputs: tuple[FeatureReference, ...] = ()


class Reference(msgspec.Struct, frozen=True):
    """Other fields of the file are not ours to judge."""

    features: tuple[FeatureReference, ...] = ()
    classes: dict[str, float] = {}
    predictions: Predictions = Predictions()

    @property
    def expected_classes(self) -> dict[str, float]:
        """What the model answered; of older artifacts, what the training data had."""
        return self.predictions.classes or self.classes


class Place(NamedTuple):
    """The inputs that hold the features, the output that holds the class, and those of numbers, each with its place."""

    inputs: tuple[str, ...]
    label: str | None = None
    label_at: int = 0
    outputs: tuple[tuple[str, int], ...] = ()

    def matrix(self, arrays: Sequence[Array]) -> Array:
        """[rows, features]."""
        if len(self.inputs) == 1 and arrays[0].ndim == 2:
            return arrays[0]
        return np.column_stack([array.reshape(-1) for array in arrays])


def load_reference(folder: Path, contract: Contract) -> tuple[Reference, Place] | None:
    """None, and one line in the log, where there is nothing that requests could be compared with."""
    found = _found(folder, contract)
    if isinstance(found, str):
        _log.warning("model %s: no statistics of its data: %s: %s", contract.name, REFERENCE, found)
        return None
    return found


def _found(folder: Path, contract: Contract) -> tuple[Reference, Place] | str:
    """The reference and its place, or why there is none."""
    try:
        reference = msgspec.json.decode((folder / REFERENCE).read_bytes(), type=Reference)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return getattr(error, "strerror", None) or str(error)
    if (fault := _fault(reference)) is not None:
        return fault
    place = find_place(reference, contract)
    if place is None:
        names = [feature.name for feature in reference.features[:8]]
        return f"no input is [rows, {len(reference.features)}], none is named as {names}"
    if not place.inputs and place.label is None and not place.outputs:
        return "it has no features, no classes and no predictions that an output of the contract could be compared with"
    return reference, place


def _fault(reference: Reference) -> str | None:
    if len(reference.expected_classes) > _MOST_CLASSES:
        return f"classes: {len(reference.expected_classes)} given; up to {_MOST_CLASSES} are watched"
    if reference.expected_classes and not _is_whole(reference.expected_classes.values()):
        field = "predictions.classes" if reference.predictions.classes else "classes"
        return f"{field}: shares are not those of a whole"
    of_inputs = _features_fault("features", reference.features, _MOST_FEATURES)
    return of_inputs or _features_fault("predictions.outputs", reference.predictions.outputs, _MOST_OUTPUTS)


def _is_whole(shares: Collection[float]) -> bool:
    return min(shares) >= 0 and abs(sum(shares) - 1) <= _ROUNDED


def _features_fault(field: str, features: Sequence[FeatureReference], most: int) -> str | None:
    if len(features) > most:
        return f"{field}: {len(features)} given; up to {most} are watched"
    if len({feature.name for feature in features}) < len(features):
        return f"{field}: a name is given twice"
    faults = (_feature_fault(feature) for feature in features)
    return next((fault for fault in faults if fault is not None), None)


def _feature_fault(feature: FeatureReference) -> str | None:
    edges: Any = np.array(feature.quantiles)
    if not feature.min <= feature.max:
        return f"feature {feature.name}: min {feature.min:g} is above max {feature.max:g}"
    if not feature.quantiles:
        return f"feature {feature.name}: no quantiles, so that all values are in one bin"
    if len(feature.shares) != len(edges) + 1:
        return f"feature {feature.name}: {len(edges)} quantiles need {len(edges) + 1} shares"
    if np.any(np.diff(edges) <= 0) or not np.all(np.isfinite(edges)):
        return f"feature {feature.name}: quantiles do not rise"
    if not _is_whole(feature.shares):
        return f"feature {feature.name}: shares are not those of a whole"
    return None


def find_place(reference: Reference, contract: Contract) -> Place | None:
    """One input [n, features], or inputs named as the features, each a column; None if neither is there."""
    inputs = _inputs(reference, contract) if reference.features else ()
    if inputs is None:
        return None
    told = {feature.name for feature in reference.predictions.outputs}
    outputs = tuple(
        (spec.name, at)
        for at, spec in enumerate(contract.outputs)
        if spec.name in told and spec.datatype in _NUMBERS and spec.shape
    )
    return Place(inputs, *_label(contract, reference.expected_classes), outputs)


def _inputs(reference: Reference, contract: Contract) -> tuple[str, ...] | None:
    names = tuple(feature.name for feature in reference.features)
    specs = {spec.name: spec for spec in contract.inputs if not spec.optional}
    if all(name in specs and _is_column(specs[name]) for name in names):
        return names
    wide = [spec.name for spec in contract.inputs if not spec.optional and _is_matrix(spec, len(names))]
    return (wide[0],) if len(wide) == 1 else None


def _is_matrix(spec: TensorSpec, width: int) -> bool:
    return spec.datatype in _NUMBERS and len(spec.shape) == 2 and spec.shape[1] == width


def _is_column(spec: TensorSpec) -> bool:
    return spec.datatype in _NUMBERS and _is_one(spec)


def _label(contract: Contract, classes: Collection[str]) -> tuple[str | None, int]:
    """A column of names, or else of numbers, of classes; one called `label` before others. Of booleans: the first."""
    datatypes = ("BOOL",) if set(classes) == _BOOLEANS else ("BYTES", "INT64")
    columns = [spec for spec in contract.outputs if spec.datatype in datatypes and _is_one(spec)]
    ranked = sorted(columns, key=lambda spec: (spec.name != "label", spec.datatype != "BYTES"))
    return (ranked[0].name, contract.outputs.index(ranked[0])) if ranked and classes else (None, 0)


def _is_one(spec: TensorSpec) -> bool:
    return len(spec.shape) == 1 or (len(spec.shape) == 2 and spec.shape[1] == 1)
