"""Fit the regression on every row; evaluation fits its own on the rows of its folds."""

from model import regression
from schema import DATA, SCHEMA

from trainkit.stage import run_stage, save_model
from trainkit.table import read_table


def train() -> str:
    table = read_table(DATA, SCHEMA)
    # In float64, as evaluation fits: the sums of float32 features would stop the solver early.
    model = regression().fit(table.features.astype("float64"), table.labels)
    save_model(model)
    return f"{model[-1].coef_.size} coefficients after {model[-1].n_iter_[0]} steps from {len(table)} rows"


if __name__ == "__main__":
    run_stage(train)
