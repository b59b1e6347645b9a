"""A repository with declarations, a registry with versions, and an embedded Git host, all real, made for tests."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from mainline.git import Git
from mainline.places import Places
from mainline.publish import publish
from mainline.rendering import rendering
from tests.mainline.artifacts import artifact
from tests.repository.tracked import ROOT, tracked

# version -> (metrics, was the code committed?)
VERSIONS = {
    1: ({"accuracy": 0.96, "log_loss": 0.15}, True),
    2: ({"accuracy": 0.97, "log_loss": 0.14}, True),
    3: ({"accuracy": 0.90, "log_loss": 0.13}, True),  # below the bar
    4: ({"log_loss": 0.12}, True),  # accuracy was not measured
    5: ({"accuracy": 0.98, "log_loss": 0.11}, False),  # trained from uncommitted code
    6: ({"accuracy": 0.98, "log_loss": 0.10}, True),
}
CODE = "c0de" * 10


@dataclass(frozen=True)
class World:
    """A checkout, and what is registered for the model iris."""

    places: Places
    digests: dict[int, str]

    @property
    def clone(self) -> Git:
        return Git(self.places.root)

    @property
    def remote(self) -> Git:
        return Git(self.places.remote)

    def commit(self, path: str, text: str) -> str:
        """Commit one file in the clone."""
        file = self.places.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        self.clone.run("add", "-A")
        self.clone.run("commit", "-q", "-m", f"change {path}")
        return self.clone.resolve("HEAD")


@pytest.fixture(scope="session")
def registered(tmp_path_factory) -> tuple[Path, dict[int, str]]:
    """(an MLflow folder with a SQLite registry, version -> digest) of the model iris."""
    from mlflow import MlflowClient

    folder = tmp_path_factory.mktemp("registry")
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.create_experiment("iris", artifact_location=(folder / "artifacts").as_uri())
    client.create_registered_model("iris")
    digests = {}
    for version, (metrics, committed) in VERSIONS.items():
        digests[version] = _register(client, experiment, folder, version, metrics, committed)
    client._tracking_client.store.engine.dispose()
    return folder, digests


def _register(client, experiment, folder, version, metrics, committed) -> str:
    digest = artifact(folder / str(version), model=f"weights {version}".encode(), contract=b"{}")
    tags = {
        "mainline.digest": digest,
        "mainline.code": CODE,
        "mainline.data": json.dumps({"iris.csv": f"sha256:{'a' * 64}"}),
        "mainline.dirty": "false" if committed else "true",
    }
    run = client.create_run(experiment, tags=tags).info.run_id
    for name, value in metrics.items():
        client.log_metric(run, name, value)
    client.set_terminated(run)
    client.create_model_version("iris", source=(folder / str(version)).as_uri(), run_id=run)
    return digest


_MODEL = """\
name: {name}
owner: flowers
description: a model of the tests
job: {name}
gates:
  - {{metric: accuracy, at_least: 0.95}}
  - {{metric: log_loss, at_most: 0.5}}
objective: {{latency_p95_ms: 20, availability: 0.999}}
"""
_JOB = """\
name: {name}
owner: flowers
model: {name}
data:
  - {{name: iris.csv, sha256: %s, package: sklearn.datasets.data/iris.csv}}
""" % ("a" * 64)


@pytest.fixture(scope="session")
def template(tmp_path_factory) -> Path:
    """Two models and this repository's environments in a Git repository of their own, rendered and committed."""
    folder = tmp_path_factory.mktemp("template") / "repository"
    texts = {
        path: (ROOT / path).read_text() for path in tracked() if path.startswith(("Pulumi", ".gitignore"))
    }
    for name in ("iris", "production-tabular"):
        texts[f"model-servers/{name}/model.yaml"] = _MODEL.format(name=name)
        texts[f"training-jobs/{name}/job.yaml"] = _JOB.format(name=name)
    for path, text in texts.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    rendering(Places(folder), [], check=False)
    git = Git(folder)
    git.run("init", "-q", "--initial-branch=main")
    git.run("add", "-A")
    git.run("commit", "-q", "-m", "the declarations")
    return folder


@pytest.fixture(scope="session", autouse=True)
def _git_of_the_tests(tmp_path_factory):
    """No configuration of the machine, and an identity that is not the tool's."""
    config = tmp_path_factory.mktemp("git") / "config"
    config.write_text("[user]\n\tname = Tester\n\temail = tester@localhost\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_CONFIG_GLOBAL", str(config))
        patch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
        yield


@pytest.fixture
def world(tmp_path, template, registered) -> World:
    """A fresh clone with a registry and a published embedded remote; nothing is released yet."""
    root = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(template), str(root)], check=True)
    Git(root).run("remote", "remove", "origin")
    places = Places(root)
    places.state.mkdir()
    (places.state / "mlflow").symlink_to(registered[0])
    publish(places)
    return World(places, registered[1])
