"""Fit the forest on every row: the flowers that evaluation holds back are too few to waste."""

from model import forest, params
from schema import DATA, SCHEMA

from trainkit.stage import run_stage, save_model
from trainkit.table import read_table


def train() -> str:
    table, chosen = read_table(DATA, SCHEMA), params()
    model = forest(chosen).fit(table.features, table.labels)
    save_model(model)
    leaves = sum(tree.get_n_leaves() for tree in model.estimators_)
    trees = f"{len(model.estimators_)} trees of depth {chosen.depth} with {leaves} leaves"
    return f"{chosen.variant}, {trees} from {len(table)} rows"


if __name__ == "__main__":
    run_stage(train)
