"""The two forests of the A/B pair, unfitted: what differs is the depth."""

from dataclasses import dataclass

from sklearn.ensemble import RandomForestClassifier

from trainkit.params import known_variant, read_params


@dataclass(frozen=True)
class ForestParams:
    """`max_depth` is the advanced variant's, `baseline_depth` the other's."""

    variant: str
    n_estimators: int
    max_depth: int
    baseline_depth: int
    seed: int

    @property
    def depth(self) -> int:
        return self.max_depth if known_variant(self.variant) == "advanced" else self.baseline_depth


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
