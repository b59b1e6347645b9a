"""A run for each state of a training job: other inputs or another spec are another run; the old one is pruned.

One node is a batch Job. Several are a TrainJob of Kubeflow's Trainer, with a TrainingRuntime of its own: the runtimes
that the Trainer brings have pods that the restricted standard refuses.
"""

import json
from hashlib import sha256
from typing import Any

from infra.declarations.environment import Environment
from infra.declarations.job import TrainingJob
from infra.manifests import names
from infra.manifests.container import container_security, env, pod_security, resources, store_access
from infra.manifests.manifest import JOB_LABEL, Manifest, manifest
from infra.manifests.network import egress, policy

_WORK = "/work"
_QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
_TRAINER = "trainer.kubeflow.org/v1alpha1"
# By this label the Trainer finds the pods to which it gives the variables of torch.distributed (PET_*).
_TRAINS = {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"}
_NODE = "node"  # the name that the Trainer asks of the replicated job and of its container
_GPU = "nvidia.com/gpu"


def training(job: TrainingJob, environment: Environment, inputs: str) -> list[Manifest]:
    """`inputs`: sha256 of the declaration, parameters, stages and code of the job."""
    run = _distributed if job.nodes > 1 else _alone
    return [_account(job), _network(job, environment), *run(job, environment, inputs)]


def _alone(job: TrainingJob, environment: Environment, inputs: str) -> list[Manifest]:
    spec = _job(job, environment, "train", job.retries)
    name, labels = names.run(job, _state(inputs, spec)), _labels(job, environment)
    return [
        manifest("batch/v1/Job", name, names.TRAINING, labels=labels, spec={**spec, **_rest(environment)})
    ]


def _distributed(job: TrainingJob, environment: Environment, inputs: str) -> list[Manifest]:
    """If a node fails all start again, from the last checkpoint: the others would wait for it for ever."""
    template = {"metadata": {"labels": _TRAINS}, "spec": _job(job, environment, _NODE, 0)}
    runtime: Manifest = {
        "mlPolicy": {"numNodes": job.nodes, "torch": {"numProcPerNode": max(1, job.gpus)}},
        "template": {
            "spec": {
                "failurePolicy": {"maxRestarts": job.retries},
                "replicatedJobs": [{"name": _NODE, "template": template}],
            }
        },
    }
    name = names.run(job, _state(inputs, runtime))
    reference = {"apiGroup": _TRAINER.partition("/")[0], "kind": "TrainingRuntime", "name": name}
    spec = {"runtimeRef": reference, **_rest(environment)}
    labels, own = _labels(job, environment), {JOB_LABEL: job.name}
    return [
        manifest(f"{_TRAINER}/TrainingRuntime", name, names.TRAINING, labels=own, spec=runtime),
        manifest(f"{_TRAINER}/TrainJob", name, names.TRAINING, labels=labels, spec=spec),
    ]


def _rest(environment: Environment) -> Manifest:
    return {} if environment.trains else {"suspend": True}


def _labels(job: TrainingJob, environment: Environment) -> dict[str, str]:
    """Kueue resumes whatever waits in its queue, so that what must not run is not in one."""
    queued = {_QUEUE_LABEL: environment.queue} if environment.queue and environment.trains else {}
    return {JOB_LABEL: job.name, **queued}


def _state(inputs: str, spec: Manifest) -> str:
    """Kubernetes never changes the template of a run: another spec needs another name. `suspend` alone may change."""
    return sha256(f"{inputs} {json.dumps(spec, sort_keys=True)}".encode()).hexdigest()


def _job(job: TrainingJob, environment: Environment, container: str, retries: int) -> Manifest:
    return {
        "activeDeadlineSeconds": job.deadline,
        "backoffLimit": retries,
        "template": {
            "metadata": {"labels": {JOB_LABEL: job.name}},
            "spec": _pod(job, environment, container),
        },
    }


def _pod(job: TrainingJob, environment: Environment, container: str) -> Manifest:
    """Stages write beside their sources, and the image is read-only: so the job runs on a copy of them."""
    run = ["python", "-m", "trainkit", "run", f"training-jobs/{job.name}"]
    access = store_access(environment)
    told = [
        *env(MLFLOW_TRACKING_URI=environment.registry, HOME=_WORK, TMPDIR=_WORK),
        *_data(job, environment),
        *access.pop("env", []),
    ]
    train = {
        **_container(container, job, environment),
        "command": run,
        "env": told,
        "resources": _resources(job),
        "workingDir": _WORK,
        **access,
    }
    copy = ["cp", "-R", "training-jobs", "model-servers", _WORK]
    return {
        "automountServiceAccountToken": False,
        "containers": [train],
        "initContainers": [{**_container("sources", job, environment), "command": copy}],
        "restartPolicy": "Never",
        "securityContext": pod_security(),
        "serviceAccountName": job.name,
        "volumes": [{"emptyDir": {}, "name": "work"}],
        **_tolerations(job),
    }


def _data(job: TrainingJob, environment: Environment) -> list[dict[str, Any]]:
    """The job's own part of the environment's data: its files, and the checkpoints that outlive its pods."""
    if environment.datasets is None:
        return []
    own = f"{environment.datasets}/{job.name}"
    return env(MAINLINE_DATASETS=own, TRAINKIT_CHECKPOINTS=f"{own}/checkpoints")


def _container(name: str, job: TrainingJob, environment: Environment) -> Manifest:
    images = environment.images
    return {
        "name": name,
        "image": images.fleet if job.image == "fleet" else images.training,
        "imagePullPolicy": "IfNotPresent",
        "resources": resources(job.resources),
        "securityContext": container_security(),
        "volumeMounts": [{"mountPath": _WORK, "name": "work"}],
    }


def _resources(job: TrainingJob) -> Manifest:
    found = resources(job.resources)
    if job.gpus:
        found["limits"] = {**found["limits"], _GPU: str(job.gpus)}
        found["requests"] = {**found["requests"], _GPU: str(job.gpus)}
    return found


def _tolerations(job: TrainingJob) -> Manifest:
    """Machines with GPUs keep everybody away who does not say this."""
    return {"tolerations": [{"effect": "NoSchedule", "key": _GPU, "operator": "Exists"}]} if job.gpus else {}


def _account(job: TrainingJob) -> Manifest:
    return manifest(
        "v1/ServiceAccount",
        job.name,
        names.TRAINING,
        labels={JOB_LABEL: job.name},
        automountServiceAccountToken=False,
    )


def _network(job: TrainingJob, environment: Environment) -> Manifest:
    """A job reads its data and writes to the registry; nobody calls it, but its nodes each other."""
    own = {JOB_LABEL: job.name}
    sources = [data.url for data in job.data if data.url]
    stores = [
        environment.endpoint or address for address in (environment.store, environment.datasets) if address
    ]
    out = egress(environment, environment.registry, *stores, *sources)
    rules: Manifest = {"policyTypes": ["Egress", "Ingress"], "egress": out}
    if job.nodes > 1:
        peers = [{"podSelector": {"matchLabels": own}}]
        rules |= {"egress": [*out, {"to": peers}], "ingress": [{"from": peers}]}
    return policy(f"job-{job.name}", names.TRAINING, own, own, **rules)
