"""How far new data is from what the last version learned from: the population stability index (PSI) of each column."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from trainkit.checks import Finding, finding
from trainkit.documents import read_json
from trainkit.errors import TrainError
from trainkit.reference import shares_within

LAST = Path("reference.json")
EMPTY = 1e-4  # the share of an empty bin: the index is a sum of logarithms
FIX = "if the new data is meant, put the reference.json of a release that knows it beside job.yaml"


class DriftLimits(Protocol):
    """Of section `validate`: an index above `drift_warn` is told, above `drift_fail` refused. Usual: 0.1, 0.25."""

    @property
    def drift_warn(self) -> float: ...
    @property
    def drift_fail(self) -> float: ...


def last_reference(path: Path = LAST) -> Mapping[str, Any] | None:
    """The committed reference.json of the version that serves; None for a job that never had one."""
    if not path.exists():
        return None
    found = read_json(path, "copy it from the artifact of the last release")
    if not isinstance(found, dict):
        raise TrainError(f"{path} is no reference of a model: copy it from the artifact of the last release")
    return found


def check_drift(
    last: Mapping[str, Any] | None,
    columns: Mapping[str, NDArray[Any]],
    classes: Mapping[str, float],
    limits: DriftLimits,
) -> list[Finding]:
    """Of each column that `last` knows, and of the shares of the classes; without `last` there is nothing to tell."""
    if last is None:
        return []
    try:
        known = {feature["name"]: (feature["quantiles"], feature["shares"]) for feature in last["features"]}
        shares = dict(last.get("classes", {}))
    except (KeyError, TypeError):
        raise TrainError(
            f"{LAST} has no features with quantiles and shares: copy it from an artifact"
        ) from None
    found = [
        _judged(name, psi(known[name][1], shares_within(known[name][0], values)), limits)
        for name, values in columns.items()
        if name in known
    ]
    if classes and shares:
        names = sorted({*classes, *shares})
        pairs = [[part.get(name, 0.0) for name in names] for part in (shares, classes)]
        found.append(_judged("classes", psi(*pairs), limits))
    last_failed = next((one for one in reversed(found) if not one.passed), None)
    return [replace(one, detail=f"{one.detail}; {FIX}") if one is last_failed else one for one in found]


def psi(before: Any, now: Any) -> float:
    """Sum of (now - before) ln(now / before) over the bins; at least 0, symmetric."""
    old, new = (np.maximum(np.asarray(shares, dtype=np.float64), EMPTY) for shares in (before, now))
    return float(((new - old) * np.log(new / old)).sum())


def _judged(name: str, index: float, limits: DriftLimits) -> Finding:
    told = f"PSI {index:.3f} from the last version"
    if index > limits.drift_fail:
        return finding(f"drift of {name}", f"{told}, at most {limits.drift_fail} is allowed")
    level = f"warning: {told} is above {limits.drift_warn}" if index > limits.drift_warn else told
    return Finding(f"drift of {name}", True, level)
