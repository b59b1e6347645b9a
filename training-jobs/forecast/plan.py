"""Sections `train` and `evaluate` of params.yaml."""

from dataclasses import dataclass

from series import HORIZON

from trainkit.errors import TrainError
from trainkit.params import above_zero, read_params


@dataclass(frozen=True)
class Plan:
    ets_hours: int
    etth1_stride: int
    resamples: int
    seed: int


@dataclass(frozen=True)
class TrainParams:
    variant: str
    hidden: int
    dropout: float
    epochs: int
    batch: int
    learning_rate: float
    weight_decay: float
    stride: int
    held_out: int
    seed: int


def evaluation() -> Plan:
    plan = read_params("evaluate", Plan)
    above_zero("evaluate", plan, "ets_hours", "etth1_stride", "resamples")
    return plan


def train_params() -> TrainParams:
    return checked(read_params("train", TrainParams))


def checked(params: TrainParams) -> TrainParams:
    if params.variant not in ("advanced", "baseline"):
        raise TrainError(f"params.yaml: train.variant is {params.variant!r}; write advanced or baseline")
    above_zero("train", params, "hidden", "epochs", "batch", "stride", "learning_rate")
    if params.held_out < HORIZON:
        raise TrainError(
            f"params.yaml: train.held_out is {params.held_out}; write at least {HORIZON}, one horizon"
        )
    if not 0 <= params.dropout < 1:
        raise TrainError(f"params.yaml: train.dropout is {params.dropout}; write a share below 1")
    return params
