"""Section `evaluate` of params.yaml."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    ets_hours: int
    etth1_stride: int
    resamples: int
    seed: int
