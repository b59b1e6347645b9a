"""Fit the variant that params.yaml names on the training photographs."""

from model import TrainParams, fitted
from photographs import TRAIN, features, read_photographs

from trainkit.params import read_params
from trainkit.stage import run_stage, save_model


def train() -> str:
    params, photographs = read_params("train", TrainParams), read_photographs(TRAIN)
    scorer = fitted(params, features(photographs, TRAIN.name), photographs.labels)
    save_model(scorer)
    kernel = f", {len(scorer.kernel.support)} support vectors" if scorer.kernel is not None else ""
    return f"{params.variant}: {len(scorer.weights)} features{kernel} from {len(photographs)} images"


if __name__ == "__main__":
    run_stage(train)
