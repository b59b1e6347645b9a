"""Fit the variant that params.yaml names."""

from texts import TRAIN, VALIDATION, read_texts
from variant import TrainParams, trained

from trainkit.params import read_params
from trainkit.stage import run_stage, save_model


def train() -> str:
    params = read_params("train", TrainParams)
    model, found = trained(params, read_texts(TRAIN), read_texts(VALIDATION))
    save_model(model)
    return f"{params.variant}: {found}"


if __name__ == "__main__":
    run_stage(train)
