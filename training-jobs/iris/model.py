"""The forest, unfitted."""

from dataclasses import dataclass

from sklearn.ensemble import RandomForestClassifier

from trainkit.params import read_params


@dataclass(frozen=True)
class ForestParams:
    n_estimators: int
    max_depth: int
    seed: int


def forest() -> RandomForestClassifier:
    """Section `train` of params.yaml as an estimator."""
    params = read_params("train", ForestParams)
    return RandomForestClassifier(
        n_estimators=params.n_estimators,
        max_depth=params.max_depth,
        max_features=None,  # of four features, two at random often hide both petals, which decide
        random_state=params.seed,
    )
