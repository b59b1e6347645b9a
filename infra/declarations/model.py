"""What a team declares about a served model: its owner, what it needs, and what a candidate must show."""

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from infra.declarations.declaration import Declaration, Many
from infra.declarations.environment import Environment
from infra.declarations.errors import MisfitError
from infra.declarations.function import Function
from infra.declarations.quantity import Cpu, Memory
from infra.declarations.scalars import Metric, Number, Replicas, Sentence, Slug


class Gate(Declaration):
    """A bar for one metric, and by how much a candidate may be worse than what serves."""

    metric: Metric
    at_least: Number | None = None
    at_most: Number | None = None
    tolerance: Annotated[Number, Field(ge=0)] = 0.0

    @model_validator(mode="after")
    def _one_bar(self) -> Self:
        if (self.at_least is None) == (self.at_most is None):
            raise MisfitError(("metric",), f"{self.metric!r} needs one bar; write either at_least or at_most")
        return self


class Resources(Declaration):
    cpu: Cpu = "250m"
    memory: Memory = "256Mi"


class ReplicaRange(Declaration):
    """The floor and the ceiling of autoscaling."""

    min: Replicas = 1
    max: Replicas = 1

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min > self.max:
            raise MisfitError(("min",), f"{self.min} is above max {self.max}; lower min or raise max")
        return self


class Objective(Declaration):
    """What clients may expect: the 95th percentile of latency in ms, and the share of good answers."""

    latency_p95_ms: Annotated[Number, Field(gt=0)]
    availability: Annotated[Number, Field(gt=0, lt=1)]


class Serving(Declaration):
    """How one server runs the model; what the fields mean to it is in docs/v2serve.md, Lanes."""

    concurrency: Annotated[int, Field(ge=1, le=256)] = 1  # inferences at once
    queue: Annotated[int, Field(ge=0, le=100_000)] = 128  # requests that wait; more are told to come back
    batch: Annotated[int, Field(ge=1, le=65_536)] = 1  # rows that one run may take together
    deadline: Annotated[Number, Field(ge=0.01, le=600)] = 30.0  # seconds


class ServedModel(Declaration):
    name: Slug
    owner: Slug
    description: Sentence
    job: Slug
    gates: Annotated[Many[Gate], Field(min_length=1)]
    resources: Resources = Resources()
    replicas: ReplicaRange = ReplicaRange()
    scale_at: Annotated[int, Field(ge=10, le=95)] = (
        80  # per cent of the requested CPU; then replicas are added
    )
    target: Literal["kserve", "lambda"] = "kserve"  # `lambda`: a function, where the environment is in AWS
    function: Function = Function()  # how large, with `target: lambda`
    objective: Objective
    serving: Serving = Serving()

    @model_validator(mode="after")
    def _one_gate_a_metric(self) -> Self:
        for metric in _twice(gate.metric for gate in self.gates):
            raise MisfitError(("gates",), f"{metric!r} has two gates; keep one")
        return self


def by_function(model: ServedModel, environment: Environment) -> bool:
    """Whether AWS Lambda serves it there, and nothing in the cluster does."""
    return model.target == "lambda" and environment.functions


def _twice(names: Iterator[str]) -> Iterator[str]:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            yield name
        seen.add(name)
