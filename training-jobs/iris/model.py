"""The forest, unfitted."""

from dataclasses import dataclass

from sklearn.ensemble import RandomForestClassifier

from trainkit.params import read_params


@dataclass(frozen=True)
class ForestParams:
    n_estimators: int
    max_depth: int
    min_samples_leaf: int
    seed: int


def forest() -> RandomForestClassifier:
    """Section `train` of params.yaml as an estimator."""
    params = read_params("train", ForestParams)
    return RandomForestClassifier(
        n_estimators=params.n_estimators,
        max_depth=params.max_depth,
        min_samples_leaf=params.min_samples_leaf,
        random_state=params.seed,
    )
