"""A model as a Lambda function: what it is told, which versions there are, and how calls are shared out."""

from infra.declarations import naming
from infra.declarations.environment import Environment
from infra.declarations.model import ServedModel
from infra.declarations.release import Release, ReleasedVersion
from infra.manifests import names
from infra.manifests.serving import named

COMMAND = ("python", "-m", "v2serve")
VERB = ("lambda",)
LIVE = "live"  # the alias that the HTTP API calls
TIMEOUT = 30  # seconds: an HTTP API waits no longer
_ANSWERS = 28.0  # seconds for an answer of v2serve's own, before Lambda cuts it off
_CORE = 1769  # MiB of memory that come with one core
_SCRATCH = "/tmp"  # noqa: S108 (the only place where a function writes; each instance has its own)


def name(env: str, model: str) -> str:
    """Of the function, unique in the account and region; Lambda takes 64 characters."""
    return naming.role(env, model)


def newest(release: Release) -> ReleasedVersion:
    """What is published when it is new: the candidate, or what serves."""
    return release.candidate or release.stable


def variables(model: ServedModel, environment: Environment, version: ReleasedVersion) -> dict[str, str]:
    """v2serve's settings: it brings the bytes itself, and refuses others, as in a cluster."""
    return {
        **named(model, version),
        "V2SERVE_MODEL_DIR": f"{_SCRATCH}/model",
        "V2SERVE_STORAGE_URI": names.storage_uri(environment.store, model.name, version),
        "V2SERVE_THREADS": str(max(1, model.function.memory // _CORE)),
        "V2SERVE_DEADLINE_SECONDS": f"{min(model.serving.deadline, _ANSWERS):g}",
    }


def pin(version: ReleasedVersion) -> str:
    """The alias that remembers which of Lambda's numbers a release was published under."""
    return f"release-{version.short}"


def share(release: Release) -> float | None:
    """Of calls that the candidate answers; None while nothing is on trial."""
    candidate = release.candidate
    return None if candidate is None or candidate.traffic is None else candidate.traffic / 100


def routes(model: str) -> tuple[str, str]:
    """The V2 paths of one model, as keys of an HTTP API."""
    return f"ANY /v2/models/{model}", f"ANY /v2/models/{model}/{{proxy+}}"
