"""Section `evaluate` of params.yaml."""

from dataclasses import dataclass

from als import AlsParams


@dataclass(frozen=True)
class Plan:
    test_share: float
    top: int
    stranger_every: int
    stranger_films: int
    als_factors: int
    als_ridge: float
    als_weight: float
    als_iterations: int
    resamples: int
    seed: int

    def als(self) -> AlsParams:
        return AlsParams(self.als_factors, self.als_ridge, self.als_weight, self.als_iterations, self.seed)
