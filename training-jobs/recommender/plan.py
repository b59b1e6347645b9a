"""Section `evaluate` of params.yaml."""

from dataclasses import dataclass

from als import AlsParams

from trainkit.errors import TrainError
from trainkit.params import above_zero, read_params


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


def evaluation() -> Plan:
    plan = read_params("evaluate", Plan)
    above_zero(
        "evaluate", plan, "top", "stranger_films", "als_factors", "als_ridge", "als_weight", "resamples"
    )
    above_zero("evaluate", plan, "als_iterations")
    if not 0 < plan.test_share < 1:
        raise TrainError(
            f"params.yaml: evaluate.test_share is {plan.test_share}; write a share between 0 and 1"
        )
    if plan.stranger_every < 2:
        raise TrainError(
            f"params.yaml: evaluate.stranger_every is {plan.stranger_every}; write 2 or more, so that users are left"
        )
    return plan
