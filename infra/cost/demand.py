"""What models and jobs ask for: cores and GiB, and where autoscaling may take them."""

from collections.abc import Iterator
from dataclasses import dataclass

from infra.declarations.environment import Environment, ModelOverride
from infra.declarations.job import TrainingJob
from infra.declarations.model import ServedModel, by_function
from infra.declarations.quantity import amount
from infra.declarations.repository import Repository
from infra.manifests.serving import replicas

GIB = 1024**3


@dataclass(frozen=True, slots=True)
class Pod:
    """Requests of one pod: cores, GiB, GPUs."""

    cpu: float
    memory: float
    gpus: int = 0

    def times(self, number: float) -> "Pod":
        return Pod(self.cpu * number, self.memory * number, round(self.gpus * number))


@dataclass(frozen=True, slots=True)
class Served:
    """All servers of one model: the fewest and the most replicas, of every version that runs."""

    model: str
    team: str
    pod: Pod
    low: int
    high: int


def served(repository: Repository, environment: Environment) -> Iterator[Served]:
    """Models with a release in the environment that machines serve."""
    for model in released(repository, environment):
        if not by_function(model, environment):
            versions = repository.releases[model.name, environment.name].versions
            ranges = [replicas(model, environment, role) for role in versions]
            low, high = sum(one.min for one in ranges), sum(one.max for one in ranges)
            yield Served(model.name, model.owner, _server(model, environment), low, high)


def released(repository: Repository, environment: Environment) -> Iterator[ServedModel]:
    """Models with a release in the environment, by name, whatever serves them."""
    for name, env in sorted(repository.releases):
        if env == environment.name:
            yield repository.models[name]


def _server(model: ServedModel, environment: Environment) -> Pod:
    override = environment.models.get(model.name, ModelOverride()).resources
    cpu, memory = override.cpu or model.resources.cpu, override.memory or model.resources.memory
    return Pod(float(amount(cpu)), float(amount(memory)) / GIB)


def run(job: TrainingJob) -> Pod:
    """The pod of one node of a run."""
    memory = float(amount(job.resources.memory)) / GIB
    return Pod(float(amount(job.resources.cpu)), memory, job.gpus)
