"""Fit the served model on every rating; evaluate fits another on the older ones."""

from histories import histories
from model import fitted, train_params
from ratings import read_ratings

from trainkit.stage import run_stage, save_model


def train() -> str:
    params = train_params()
    known = histories(read_ratings(), params.items)
    model = fitted(known, params)
    save_model(model)
    ratings = int(known.seen.sum())
    return f"{params.variant}, {len(known.users)} users, {len(known.items)} films, {ratings} ratings"


if __name__ == "__main__":
    run_stage(train)
