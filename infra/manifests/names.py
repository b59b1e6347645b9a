"""The names that objects refer to each other by; docs/architecture.md has them as a table."""

from infra.declarations.job import TrainingJob
from infra.declarations.release import ReleasedVersion

MODELS = "models"
TRAINING = "training"
GATEWAY = "gateway"
ARGOCD = "argocd"
PROJECT = "mainline"
RUNTIME = "v2serve"
FETCHER = "v2serve-fetch"
HTTP_PORT = 8080
USER = 65532  # the images' user; a number, because the kubelet cannot check a name against runAsNonRoot


def service(model: str, version: ReleasedVersion) -> str:
    """The InferenceService of a released version."""
    return f"{model}-{version.short}"


def backend(model: str, version: ReleasedVersion) -> str:
    """The Service that KServe makes for it."""
    return f"{service(model, version)}-predictor"


def storage_uri(store: str, model: str, version: ReleasedVersion) -> str:
    return f"{store}/{model}/{version.hex}"


def run(job: TrainingJob, state: str) -> str:
    """The Job of one state of a training job: its inputs, and how they are run."""
    return f"{job.name}-{state[:8]}"
