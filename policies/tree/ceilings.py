"""What all servers and running Jobs of a team, and of an environment, may grow to together."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from infra.declarations.ceiling import Ceiling, Ceilings
from policies.request import Object
from policies.tree.found import Found, inside, items_of, labels_of, pod_templates

NAME = "team-ceilings"
GPU = "nvidia.com/gpu"
MODEL_LABEL = "mainline.dev/model"
JOB_LABEL = "mainline.dev/job"


@dataclass(frozen=True, slots=True)
class Demand:
    """The most that one object may run: replicas of a server, and GPUs."""

    object: Object
    team: str
    replicas: int
    gpus: int


def beyond(objects: Sequence[Object], ceilings: Ceilings, owners: Mapping[str, str]) -> Iterator[Found]:
    """`owners`: `model/<name>` and `job/<name>` -> team. Names the largest of those that are too much together."""
    runtimes = {item["metadata"]["name"]: item for item in objects if item["kind"] == "TrainingRuntime"}
    demands = [found for item in objects if (found := demand(item, owners, runtimes))]
    whole = Ceiling(replicas=ceilings.replicas, gpus=ceilings.gpus)
    yield from _beyond("the environment", demands, whole)
    for team, ceiling in sorted(ceilings.teams.items()):
        yield from _beyond(f"team {team}", [one for one in demands if one.team == team], ceiling)


def demand(item: Object, owners: Mapping[str, str], runtimes: Mapping[str, Object]) -> Demand | None:
    """`runtimes`: of TrainJobs, by name. A suspended run uses nothing."""
    labels, spec = labels_of(item["metadata"]), inside(item, "spec")
    if item["kind"] == "InferenceService":
        predictor = inside(spec, "predictor")
        replicas = _whole(predictor.get("maxReplicas") or predictor.get("minReplicas"), 1)
        team = owners.get(f"model/{labels.get(MODEL_LABEL)}", "")
        return Demand(item, team, replicas, replicas * _gpus([predictor.get("model")]))
    if item["kind"] in ("Job", "TrainJob") and not spec.get("suspend"):
        return Demand(item, owners.get(f"job/{labels.get(JOB_LABEL)}", ""), 0, _of_run(item, runtimes))
    return None


def _of_run(item: Object, runtimes: Mapping[str, Object]) -> int:
    """GPUs of all nodes of a run."""
    spec = inside(item, "spec")
    runtime = runtimes.get(str(inside(spec, "runtimeRef").get("name")), {"kind": "", "metadata": {}})
    nodes = _whole(spec.get("parallelism") or inside(runtime, "spec", "mlPolicy").get("numNodes"), 1)
    templates = [*pod_templates(item), *pod_templates(runtime)]
    return nodes * sum(_gpus(items_of(inside(one, "spec").get("containers"))) for one in templates)


def _gpus(containers: Sequence[object]) -> int:
    """GPUs are whole, and their requests are their limits."""
    return sum(_whole(inside(one, "resources", "limits").get(GPU), 0) for one in containers)


def _whole(value: object, otherwise: int) -> int:
    """Numbers come as numbers or as text; the API server refuses what is neither."""
    return int(str(value)) if str(value).isdecimal() else otherwise


def _beyond(who: str, demands: Sequence[Demand], ceiling: Ceiling) -> Iterator[Found]:
    for what, most in (("replicas", ceiling.replicas), ("gpus", ceiling.gpus)):
        total = sum(getattr(one, what) for one in demands)
        if most is not None and total > most:
            largest = max(demands, key=lambda one: int(getattr(one, what)))
            asked = f"{who} may scale to {total} {what}, the ceiling is {most}"
            fix = f"lower a model's {what}, or raise mainline:ceilings in a reviewed commit"
            yield Found(largest.object, f"{asked}; {fix}")
