"""A Job for each state of a training job: other inputs or another spec are another Job; the old one is pruned."""

import json
from hashlib import sha256

from infra.declarations.environment import Environment
from infra.declarations.job import TrainingJob
from infra.manifests import names
from infra.manifests.container import container_security, env, pod_security, resources, store_access
from infra.manifests.manifest import JOB_LABEL, Manifest, manifest
from infra.manifests.network import egress, policy

_WORK = "/work"


def training(job: TrainingJob, environment: Environment, inputs: str) -> list[Manifest]:
    """`inputs`: sha256 of the declaration, parameters, stages and code of the job."""
    return [_account(job), _network(job, environment), _job(job, environment, inputs)]


def _job(job: TrainingJob, environment: Environment, inputs: str) -> Manifest:
    spec: Manifest = {
        "activeDeadlineSeconds": job.deadline,
        "backoffLimit": job.retries,
        "template": {"metadata": {"labels": {JOB_LABEL: job.name}}, "spec": _pod(job, environment)},
    }
    name = names.run(job, _state(inputs, spec))
    if not environment.trains:
        spec["suspend"] = True
    return manifest("batch/v1/Job", name, names.TRAINING, labels={JOB_LABEL: job.name}, spec=spec)


def _state(inputs: str, spec: Manifest) -> str:
    """Kubernetes never changes the template of a Job: another spec needs another name. `suspend` alone may change."""
    return sha256(f"{inputs} {json.dumps(spec, sort_keys=True)}".encode()).hexdigest()


def _pod(job: TrainingJob, environment: Environment) -> Manifest:
    """Stages write beside their sources, and the image is read-only: so the job runs on a copy of them."""
    run = ["python", "-m", "trainkit", "run", f"training-jobs/{job.name}"]
    access = store_access(environment)
    told = [
        *env(MLFLOW_TRACKING_URI=environment.registry, HOME=_WORK, TMPDIR=_WORK),
        *access.pop("env", []),
    ]
    train = {
        **_container("train", job, environment),
        "command": run,
        "env": told,
        "workingDir": _WORK,
        **access,
    }
    copy = ["cp", "-R", "training-jobs", _WORK]
    return {
        "automountServiceAccountToken": False,
        "containers": [train],
        "initContainers": [{**_container("sources", job, environment), "command": copy}],
        "restartPolicy": "Never",
        "securityContext": pod_security(),
        "serviceAccountName": job.name,
        "volumes": [{"emptyDir": {}, "name": "work"}],
    }


def _container(name: str, job: TrainingJob, environment: Environment) -> Manifest:
    return {
        "name": name,
        "image": environment.images.training,
        "imagePullPolicy": "IfNotPresent",
        "resources": resources(job.resources),
        "securityContext": container_security(),
        "volumeMounts": [{"mountPath": _WORK, "name": "work"}],
    }


def _account(job: TrainingJob) -> Manifest:
    return manifest(
        "v1/ServiceAccount",
        job.name,
        names.TRAINING,
        labels={JOB_LABEL: job.name},
        automountServiceAccountToken=False,
    )


def _network(job: TrainingJob, environment: Environment) -> Manifest:
    """A job reads its data and writes to the registry; nobody calls it."""
    sources = [data.url for data in job.data if data.url]
    return policy(
        f"job-{job.name}",
        names.TRAINING,
        {JOB_LABEL: job.name},
        {JOB_LABEL: job.name},
        policyTypes=["Egress", "Ingress"],
        egress=egress(environment, environment.registry, environment.endpoint or environment.store, *sources),
    )
