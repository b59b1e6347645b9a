"""A cluster that follows a scratch clone: the root Application is applied, and nothing else."""

import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import yaml

from infra.declarations.environment import Images
from infra.declarations.release import Release, ReleasedVersion
from tests.e2e.cluster.bucket import bucket
from tests.e2e.cluster.fork import ENV, KEYS, MODEL, SECRET, Fork, make_fork
from tests.e2e.cluster.kube import APPLICATION, Kube, wait
from tests.e2e.cluster.load import ask
from tests.e2e.cluster.registry import registry
from tests.e2e.cluster.settings import Settings, missing, settings
from tests.repository.tracked import ROOT


@dataclass(frozen=True)
class Cluster:
    kube: Kube
    fork: Fork
    told: Settings
    registry: str

    def digest(self) -> str:
        """Of the server that answers now; empty if none does."""
        answer = ask(self.told.gateway, MODEL)
        return answer.digest if answer.status == 200 else ""

    def serves(self, version: ReleasedVersion, seconds: float = 150) -> None:
        wait(f"{version.digest[:15]} serves", lambda: self.digest() == version.digest, seconds, 0.25)

    def alone(self, *versions: ReleasedVersion) -> None:
        """The old servers are pruned, and Argo CD has nothing left to do."""
        wanted = {f"{MODEL}-{version.short}" for version in versions}
        wait(f"only {wanted} run", lambda: self.services() == wanted, 120)
        wait(
            "the model's Application is settled",
            lambda: self.kube.applications()[f"model-{MODEL}"] == SETTLED,
            120,
        )

    def services(self) -> set[str]:
        found = self.kube.all("serving.kserve.io/v1beta1/InferenceService", "models")
        return {item["metadata"]["name"] for item in found}


SETTLED = ("Synced", "Healthy")


@pytest.fixture(scope="session")
def told() -> Settings:
    if why := missing():
        pytest.skip(why)
    return settings()


@pytest.fixture(scope="session")
def cluster(told: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """After this the root Application is there, and the platform that it brings."""
    folder = tmp_path_factory.mktemp("cluster")
    _build(told)
    kube = Kube()
    (folder / "bucket").mkdir()
    (folder / "mlflow").mkdir()
    with bucket(told.host, folder / "bucket") as endpoint, registry(told.host, folder / "mlflow") as tracking:
        fork = make_fork(folder / "fork", folder / "bucket", endpoint, tracking, told)
        made = Cluster(kube, fork, told, tracking)
        try:
            _bootstrap(made)
            yield made
        finally:
            _leave(made)


def _build(told: Settings) -> None:
    images = {Images().v2serve: "model-servers", Images().training: "training-jobs"}
    revision = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name, room in images.items() if told.build else ():
        words = {
            "context": str(ROOT),
            "file": f"{room}/Containerfile",
            "name": name,
            "revision": revision.stdout.strip(),
        }
        subprocess.run([word.format(**words) for word in shlex.split(told.build)], cwd=ROOT, check=True)


def _bootstrap(made: Cluster) -> None:
    """The one file, and what is never in Git: the store's keys, once their namespaces are there."""
    folder = made.fork.root / "clusters" / ENV / "argocd" / "1-manifest"
    root = folder / f"argoproj.io_v1alpha1-application-argocd-mainline-{ENV}.yaml"
    made.kube.apply(yaml.safe_load(root.read_text()))
    for space in ("models", "training"):
        wait(f"namespace {space}", lambda space=space: made.kube.get("v1/Namespace", space), 120)
        made.kube.apply(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": SECRET, "namespace": space},
                "stringData": dict(KEYS),
            }
        )
    wait("the platform is settled", lambda: made.kube.applications().get("platform") == SETTLED, 180)


def _leave(made: Cluster) -> None:
    """The root first, so that nothing comes back; models and jobs with their objects; the platform's objects stay.

    Argo CD would wait for a person to confirm that namespaces go.
    """
    made.kube.delete(APPLICATION, f"mainline-{ENV}", "argocd")
    made.kube.merge(APPLICATION, "platform", "argocd", {"metadata": {"finalizers": None}})
    for item in made.kube.all(APPLICATION, "argocd"):
        name = item["metadata"]["name"]
        if item.get("status", {}).get("operationState", {}).get("phase") == "Running":
            ended = {"status": {"operationState": {"phase": "Terminating"}}}  # else it is not deleted
            made.kube.merge(APPLICATION, name, "argocd", ended)
        made.kube.delete(APPLICATION, name, "argocd")
    wait("models and jobs are gone", lambda: made.kube.applications() == {}, 180)


@pytest.fixture
def stable(cluster: Cluster) -> ReleasedVersion:
    """A version that serves alone, as every test finds the model."""
    version = cluster.fork.version(1)
    if cluster.digest() != version.digest or cluster.services() != {f"{MODEL}-{version.short}"}:
        cluster.fork.release(Release(stable=version), "Back to version 1")
    cluster.serves(version)
    cluster.alone(version)
    return version


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """Lines that a test measured; printed at its end, whatever came out."""
    lines: list[str] = []
    yield lines
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print("".join(f"\n  {line}" for line in lines))  # noqa: T201
