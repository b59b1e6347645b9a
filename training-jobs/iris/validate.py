"""Refuse data that the model must not learn from."""

from schema import DATA, SCHEMA

from trainkit.stage import run_stage
from trainkit.validation import validated


def validate() -> str:
    return validated(DATA, SCHEMA)


if __name__ == "__main__":
    run_stage(validate)
