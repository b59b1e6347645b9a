"""A Job for each state of a training job's inputs: other inputs are another Job, and the old one is pruned."""

from infra.declarations.environment import Environment
from infra.declarations.job import TrainingJob
from infra.manifests import names
from infra.manifests.container import container_security, env, pod_security, resources
from infra.manifests.manifest import JOB_LABEL, Manifest, manifest
from infra.manifests.network import policy, to_addresses

_WORK = "/work"


def training(job: TrainingJob, environment: Environment, inputs: str) -> list[Manifest]:
    """`inputs`: sha256 of what the result depends on, the training image among it."""
    return [_account(job), _network(job, environment), _job(job, environment, inputs)]


def _job(job: TrainingJob, environment: Environment, inputs: str) -> Manifest:
    spec: Manifest = {
        "activeDeadlineSeconds": job.deadline,
        "backoffLimit": job.retries,
        "template": {"metadata": {"labels": {JOB_LABEL: job.name}}, "spec": _pod(job, environment)},
    }
    if not environment.trains:
        spec["suspend"] = True
    labels = {JOB_LABEL: job.name}
    return manifest("batch/v1/Job", names.run(job, inputs), names.TRAINING, labels=labels, spec=spec)


def _pod(job: TrainingJob, environment: Environment) -> Manifest:
    """Stages write beside their sources, and the image is read-only: so the job runs on a copy of them."""
    run = ["python", "-m", "trainkit", "run", f"training-jobs/{job.name}"]
    told = env(MLFLOW_TRACKING_URI=environment.registry, HOME=_WORK, TMPDIR=_WORK)
    copy = ["cp", "-R", "training-jobs", _WORK]
    return {
        "automountServiceAccountToken": False,
        "containers": [
            {**_container("train", job, environment), "command": run, "env": told, "workingDir": _WORK}
        ],
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
        egress=to_addresses(environment.registry, environment.store, *sources),
    )
