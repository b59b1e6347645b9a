"""Sections `train` and `evaluate` of params.yaml."""

from dataclasses import dataclass
from typing import Annotated

from series import DAY, ETTH1_TEST, HORIZON

from trainkit.limits import Batch, Between, Count, Epochs, Rate, Resamples, Seed, Variant
from trainkit.params import read_params

LEAST_ORIGINS = 10  # whose mean is a promotion gate
LARGEST_STRIDE = (ETTH1_TEST - HORIZON) // (LEAST_ORIGINS - 1)


@dataclass(frozen=True)
class Plan:
    ets_hours: Annotated[int, Between(2 * DAY, 1_000_000)]  # less has no season to find
    etth1_stride: Annotated[int, Between(1, LARGEST_STRIDE)]
    resamples: Resamples
    seed: Seed


@dataclass(frozen=True)
class TrainParams:
    variant: Variant
    hidden: Annotated[int, Between(1, 65_536)]
    dropout: Annotated[float, Between(0, 0.99)]
    epochs: Epochs
    batch: Batch
    learning_rate: Rate
    weight_decay: Annotated[float, Between(0, 10)]
    stride: Count
    held_out: Annotated[int, Between(HORIZON, 100_000)]  # and no more than windows.check_held_out allows
    seed: Seed


def evaluation() -> Plan:
    return read_params("evaluate", Plan)


def train_params() -> TrainParams:
    return read_params("train", TrainParams)
