"""mainline train --compare: parameters and metrics of a run beside those of another version."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mainline.errors import Refusal
from mainline.places import EMBEDDED, Places
from mainline.promote import registry_uri
from mainline.registry import Registry
from mainline.train import Trained
from mainline.truth import stack, truth

_BOUNDS = ("_low", "_high")
_PARTS = ("baseline_", "slice_")  # metrics of something else than the model as a whole


@dataclass(frozen=True, slots=True)
class Side:
    """One version as the registry has it."""

    version: int
    digest: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Row:
    """One parameter or metric on both sides; `change` is empty where nothing changed."""

    name: str
    before: str
    after: str
    change: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """`before` is what serves, or the version that was asked for; `after` is what was trained."""

    model: str
    before: Side
    after: Side

    def as_dict(self) -> dict[str, Any]:
        rows = {"params": self.params(), "metrics": self.metrics()}
        return asdict(self) | {
            "changed": {kind: [r.name for r in of if r.change] for kind, of in rows.items()}
        }

    def params(self) -> list[Row]:
        one, other = self.before.params, self.after.params
        return [
            Row(name, was, now, "" if was == now else "changed")
            for name in sorted(one.keys() | other.keys())
            for was, now in [(one.get(name, "-"), other.get(name, "-"))]
        ]

    def metrics(self) -> list[Row]:
        """Intervals stand behind their metric, not in rows of their own."""
        one, other = self.before.metrics, self.after.metrics
        return [
            Row(name, measured(one, name), measured(other, name), _difference(one.get(name), other.get(name)))
            for name in sorted(one.keys() | other.keys())
            if not is_bound(name, one.keys() | other.keys())
        ]


def compare(places: Places, made: Trained, number: int | None) -> Comparison:
    """With version `number`, or what serves, or, where that is this very version, the one before it."""
    registry = Registry(registry_uri(places, stack(places, EMBEDDED).registry))
    other = number or _other(places, registry, made)
    return Comparison(
        made.model, _side(registry, made.model, other), _side(registry, made.model, made.version)
    )


def _other(places: Places, registry: Registry, made: Trained) -> int:
    serving = _serving(places, made.model)
    if serving not in (None, made.version):
        return int(serving or 0)
    earlier = [version for version in registry.versions(made.model) if version < made.version]
    if not earlier:
        raise Refusal(
            f"{made.model} version {made.version} is the only one, and there is nothing to compare it with; "
            f"change training-jobs/{made.job}/params.yaml, commit and train again"
        )
    return max(earlier)


def _serving(places: Places, model: str) -> int | None:
    """The version that Git says serves here, or None."""
    if not places.remote.is_dir():
        return None
    where = truth(places, EMBEDDED)
    release = where.declared(where.head()).releases.get((model, EMBEDDED))
    return release.stable.version if release else None


def _side(registry: Registry, model: str, number: int) -> Side:
    found = registry.version(model, number)
    return Side(found.version, found.digest, registry.params(found), found.metrics)


def is_bound(name: str, known: Any) -> bool:
    """Is this the end of an interval of another metric?"""
    return any(name.endswith(end) and name.removesuffix(end) in known for end in _BOUNDS)


def interval(metrics: Mapping[str, float], name: str) -> tuple[float, float] | None:
    low, high = (metrics.get(name + end) for end in _BOUNDS)
    return None if low is None or high is None else (low, high)


def measured(metrics: Mapping[str, float], name: str) -> str:
    if name not in metrics:
        return "-"
    within = interval(metrics, name)
    return f"{metrics[name]:.5g}" + (f" ({within[0]:.4g} to {within[1]:.4g})" if within else "")


def _difference(before: float | None, after: float | None) -> str:
    if before is None or after is None:
        return "new" if before is None else "gone"
    return "" if before == after else f"{after - before:+.3g}"


def plot(found: Comparison, path: Path) -> None:
    """A panel a metric of the model as a whole, each on its own scale, with the 95 % interval where there is one."""
    if path.suffix not in (".png", ".svg", ".pdf"):
        raise Refusal(f"--plot {path}: give a file that ends in .png, .svg or .pdf")
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot

    names = [row.name for row in found.metrics() if not row.name.startswith(_PARTS)]
    names = [name for name in names if name in found.before.metrics and name in found.after.metrics]
    figure, axes = pyplot.subplots(
        len(names), 1, figsize=(7, 0.9 * len(names) + 0.6), layout="constrained", squeeze=False
    )
    for axis, name in zip(axes[:, 0], names, strict=True):
        _panel(axis, name, found)
    figure.suptitle(f"{found.model}: version {found.before.version} and version {found.after.version}")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    pyplot.close(figure)


def _panel(axis: Any, name: str, found: Comparison) -> None:
    sides = ((found.before, "#8a929c"), (found.after, "#1f6f8b"))
    for height, (side, colour) in enumerate(sides):
        value, within = side.metrics[name], interval(side.metrics, name)
        reach = [[max(0.0, value - within[0])], [max(0.0, within[1] - value)]] if within else None
        axis.errorbar([value], [-height], xerr=reach, fmt="o", color=colour, capsize=3)
        axis.annotate(
            f"{value:.4g}", (value, -height), (0, 5), textcoords="offset points", ha="center", size=8
        )
    axis.set_yticks([0, -1], [f"version {side.version}" for side, _ in sides])
    axis.set_ylim(-1.6, 0.9)
    axis.set_title(name, loc="left", size=9)
    axis.spines[["top", "right"]].set_visible(False)
