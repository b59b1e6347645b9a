"""Section `evaluate` of params.yaml."""

from dataclasses import dataclass
from typing import Annotated

from als import AlsParams

from trainkit.limits import Between, Penalty, Resamples, Seed
from trainkit.params import read_params


@dataclass(frozen=True)
class Plan:
    test_share: Annotated[float, Between(0.01, 0.99)]
    top: Annotated[int, Between(1, 1000)]
    stranger_every: Annotated[int, Between(2, 1000)]  # so that users are left
    stranger_films: Annotated[int, Between(1, 1000)]
    als_factors: Annotated[int, Between(1, 4096)]
    als_ridge: Penalty
    als_weight: Penalty
    als_iterations: Annotated[int, Between(1, 10_000)]
    resamples: Resamples
    seed: Seed

    def als(self) -> AlsParams:
        return AlsParams(self.als_factors, self.als_ridge, self.als_weight, self.als_iterations, self.seed)


def evaluation() -> Plan:
    return read_params("evaluate", Plan)
