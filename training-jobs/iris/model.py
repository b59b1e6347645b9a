"""The two forests of the A/B pair, unfitted: what differs is the depth."""

from dataclasses import dataclass

from sklearn.ensemble import RandomForestClassifier

from trainkit.limits import Depth, Seed, Trees, Variant
from trainkit.params import read_params


@dataclass(frozen=True)
class ForestParams:
    """`max_depth` is the advanced variant's, `baseline_depth` the other's."""

    variant: Variant
    n_estimators: Trees
    max_depth: Depth
    baseline_depth: Depth
    seed: Seed

    @property
    def depth(self) -> int:
        return self.max_depth if self.variant == "advanced" else self.baseline_depth


def params() -> ForestParams:
    return read_params("train", ForestParams)


def forest(chosen: ForestParams) -> RandomForestClassifier:
    """Section `train` of params.yaml as an estimator."""
    return RandomForestClassifier(
        n_estimators=chosen.n_estimators,
        max_depth=chosen.depth,
        max_features=None,  # of four features, two at random often hide both petals, which decide
        random_state=chosen.seed,
    )
